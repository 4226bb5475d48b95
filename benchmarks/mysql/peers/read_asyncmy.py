"""asyncmy in an environment of its own: copy|log PORT USER FILE OFFSET ROWS... (the password in PEER_PASSWORD)."""

import asyncio
import os
import sys
from typing import Any

import asyncmy
from asyncmy.cursors import SSCursor
from asyncmy.replication import BinLogStream
from asyncmy.replication.row_events import WriteRowsEvent

from benchmarks.mysql.peers.stopwatch import Stopwatch

ROWS_A_FETCH = 2000


async def copy(connection: Any, watch: Stopwatch) -> None:
    async with connection.cursor(SSCursor) as cursor:
        await cursor.execute("SELECT * FROM d.t")
        while rows := await cursor.fetchmany(ROWS_A_FETCH):
            if watch.take(len(rows)):
                return


async def follow(control: Any, connection: Any, file: str, offset: int, watch: Stopwatch) -> None:
    stream = BinLogStream(
        control, connection, server_id=4_000_000_005, master_log_file=file, master_log_position=offset, resume_stream=True,
        blocking=True, only_events=[WriteRowsEvent],
    )  # fmt: skip
    async for event in stream:
        if watch.take(len(event.rows)):
            return


async def main() -> None:
    what, port, user, file, offset, *segments = sys.argv[1:]
    account = {"host": "127.0.0.1", "port": int(port), "user": user, "password": os.environ["PEER_PASSWORD"]}
    watch = Stopwatch([int(rows) for rows in segments])
    connection = await asyncmy.connect(**account)
    if what == "copy":
        await copy(connection, watch)
    else:
        await follow(await asyncmy.connect(**account), connection, file, int(offset), watch)
    watch.tell()


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)  # it has no orderly way to leave a stream that has not ended
