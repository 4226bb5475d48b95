"""mysql-replication on the log, in an environment of its own: PORT USER FILE OFFSET ROWS... (the password in PEER_PASSWORD)."""

import os
import sys

from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import WriteRowsEvent

from benchmarks.mysql.peers.stopwatch import Stopwatch


def main() -> None:
    port, user, file, offset, *segments = sys.argv[1:]
    account = {"host": "127.0.0.1", "port": int(port), "user": user, "passwd": os.environ["PEER_PASSWORD"]}
    stream = BinLogStreamReader(
        connection_settings=account, server_id=4_000_000_003, log_file=file, log_pos=int(offset), resume_stream=True,
        blocking=False, only_events=[WriteRowsEvent],
    )  # fmt: skip
    watch = Stopwatch([int(rows) for rows in segments])
    for event in stream:
        if watch.take(len(event.rows)):
            watch.tell()
            return
    raise SystemExit("the log ended before all rows had arrived")


if __name__ == "__main__":
    main()
