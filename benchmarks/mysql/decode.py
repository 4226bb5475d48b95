"""Our decoder alone, from the socket to finished rows, in a process of its own: PORT FILE OFFSET ROWS..."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from benchmarks.mysql.peers.stopwatch import Stopwatch
from connector_runner.schemas.config import config_schema, fill_defaults
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.log_reader import LogReader
from connector_runner.sources.mysql.server.connection import connect
from connector_runner.sources.mysql.server.definitions import read_definition
from connector_runner.sources.mysql.server.queries import read_server
from connector_runner.sources.mysql.settings import Settings, parse_settings
from connector_runner.sources.mysql.streaming.dump import open_dump, read_block


def decode(settings: Settings, start: LogPosition, segments: Sequence[int]) -> Stopwatch:
    """Reads until all rows have arrived; batches are made as the source makes them, and dropped."""
    connection = connect(settings, purpose="bench")
    definition = read_definition(connection, "d", "t")
    assert definition is not None
    reader = LogReader(settings, read_server(connection), definition, start)
    watch, seen, taken, has_all = Stopwatch(segments), 0, 0, False
    dump = open_dump(settings, start, server_id=4_000_000_001)
    while not has_all:
        reader.receive_data(read_block(dump))
        while batches := reader.events_received():
            taken += sum(len(batch.rows) for batch in batches)
        arrived = taken + reader.waiting
        if arrived > seen:
            has_all, seen = watch.take(arrived - seen), arrived
    dump.abort()
    return watch


def main() -> None:
    port, user, file, offset, *segments = sys.argv[1:]
    account = {"host": "127.0.0.1", "port": int(port), "user": user, "password": os.environ["PEER_PASSWORD"]}
    config = fill_defaults({**account, "ssl": {"mode": "DISABLED"}}, config_schema("MYSQL"))
    start = LogPosition(file, int(offset))
    decode(parse_settings(config, "bench/mysql"), start, [int(rows) for rows in segments]).tell()


if __name__ == "__main__":
    main()
