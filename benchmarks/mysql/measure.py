"""Measures the MYSQL source beside mysql-replication: decoding alone, and rows through the source. Prints a Markdown table.

    python -m benchmarks.mysql.measure [mysql|mariadb] [rows]

CPU seconds of this process are what the decoders are compared by: they hardly depend on what else the machine does.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.sources.mysql import build_source
from connector_runner.sources.mysql.assembler import Assembler
from connector_runner.sources.mysql.connection import connect
from connector_runner.sources.mysql.definitions import read_definition
from connector_runner.sources.mysql.dump import PacketSplitter, open_dump, read_block
from connector_runner.sources.mysql.position import LogPosition
from connector_runner.sources.mysql.server import read_position, read_server
from connector_runner.sources.mysql.settings import parse_settings
from tests.integration.mysql.reading import Told, build_config
from tests.servers.mariadb import mariadb
from tests.servers.mysql import mysql
from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer

TABLE = (
    "CREATE TABLE d.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, a INT, b BIGINT, c DOUBLE, d DECIMAL(12,2), e VARCHAR(40), "
    "f VARCHAR(60), g DATETIME(3), h DATE, i TINYINT)"
)
BULK = (
    "INSERT INTO d.t (a,b,c,d,e,f,g,h,i) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i+1 FROM n WHERE i<1000) "
    "SELECT a.i, a.i*b.i*1000000, RAND(), RAND()*1e6, CONCAT('name ',a.i), CONCAT('some longer text ', a.i*b.i), "
    "'2024-01-01 00:00:00.123' + INTERVAL a.i*b.i SECOND, '2024-01-01' + INTERVAL MOD(a.i,3000) DAY, MOD(a.i,100) "
    "FROM n a JOIN n b ON b.i<=50"
)
SINGLE = 20_000
PEER = "mysql-replication==1.0.17"
VENV = Path(".build/bench-mysql")


def main() -> None:
    dialect = sys.argv[1] if len(sys.argv) > 1 else "mysql"
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    distribution = mysql() if dialect == "mysql" else mariadb()
    options = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"] if dialect == "mysql" else []
    quick = ["--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--binlog-row-metadata=FULL"]
    with DatabaseServer(distribution, [*options, *quick]) as server:
        server.execute("CREATE DATABASE d", TABLE)
        settings = parse_settings(build_config(server), "bench/mysql")
        connection = connect(settings, purpose="bench")
        facts = read_server(connection)
        bulk = read_position(connection, facts)
        connection.query("COMMIT")
        for _ in range(rows // 50_000):
            server.execute(BULK)
        single = read_position(connection, facts)
        connection.query("COMMIT")
        with server.session() as cursor:
            for _ in range(SINGLE):
                cursor.execute(
                    "INSERT INTO d.t (a,e,f,d,g,h,i) VALUES (1,'abc','some text',1.5,'2024-01-01','2024-01-01',3)"
                )
        print(f"| {distribution.name} | rows/s of CPU time | rows/s of wall time |\n|---|---|---|")
        report("log, bulk, decode only", rows, lambda: decode(settings, server, bulk, rows))
        report("log, one-row transactions, decode only", SINGLE, lambda: decode(settings, server, single, SINGLE))
        report("copy, through the source", rows + SINGLE, lambda: asyncio.run(copy(server, rows + SINGLE)))
        peer(server, rows + SINGLE)
        print(f"\nPeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def report(what: str, rows: int, run: Callable[[], None]) -> None:
    wall, processor = time.perf_counter(), time.process_time()
    run()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"| {what} | {rows / processor:,.0f} | {rows / wall:,.0f} |", flush=True)


def decode(settings: Any, server: DatabaseServer, start: LogPosition, rows: int) -> None:
    connection = connect(settings, purpose="bench")
    definition = read_definition(connection, "d", "t")
    assert definition is not None
    assembler = Assembler(definition, start, is_mariadb=server.is_mariadb)
    seen = 0

    def feed(buffer: bytes, begin: int, end: int) -> None:
        nonlocal seen
        assembler.frames.feed(buffer, begin, end)
        if assembler.size > 256 << 10 and (batch := assembler.take(whole=False)):
            seen += len(batch.rows)

    dump = open_dump(settings, start, server_id=4_000_000_001, blocks=False)
    splitter, rest = PacketSplitter(feed), b""
    while not splitter.has_ended and seen + assembler.waiting < rows:
        rest += read_block(dump)
        rest = rest[splitter.split(rest) :]
    dump.abort()


async def copy(server: DatabaseServer, rows: int) -> None:
    source = build_source(SourceContext(build_config(server, snapshot="only"), "bench/copy", WriteMode.UPSERT, Told()))
    await source.open("d.t", None)
    seen = 0
    async for batch in source.batches():
        seen += len(batch.rows)
    assert seen == rows
    await source.close()


PEER_SCRIPT = """
import sys, time
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import WriteRowsEvent
port, rows = int(sys.argv[1]), int(sys.argv[2])
stream = BinLogStreamReader(
    connection_settings=dict(host="127.0.0.1", port=port, user=sys.argv[3], passwd=sys.argv[4]), server_id=4000000003,
    log_file="binlog.000001", log_pos=4, resume_stream=True, blocking=False, only_events=[WriteRowsEvent])
wall, cpu, seen = time.perf_counter(), time.process_time(), 0
for event in stream:
    seen += len(event.rows)
    if seen >= rows:
        break
print(f"{seen / (time.process_time() - cpu):,.0f} | {seen / (time.perf_counter() - wall):,.0f}")
"""


def peer(server: DatabaseServer, rows: int) -> None:
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", PEER, "cryptography"], check=True)
    command = [str(python), "-c", PEER_SCRIPT, str(server.port), str(rows), ADMIN_USER, ADMIN_PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(f"| {PEER}, the same log | {done.stdout.strip() or done.stderr.strip()[-300:]} |")


if __name__ == "__main__":
    main()
