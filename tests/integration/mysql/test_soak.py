"""Copy and log under writers, while the reader is crashed, sessions are killed, logs rotated: in the end, row for row equal."""

from __future__ import annotations

import asyncio
import random
import time

from connector_runner.protocols.batch import Row
from tests.integration.mysql.conftest import Database
from tests.integration.mysql.load import KEYS, Load, create_table
from tests.integration.mysql.reading import Reading, in_thread
from tests.servers.mysqld import DatabaseServer

ROUNDS = 5


async def read_all(server: DatabaseServer, stream: str) -> dict[Row, Row]:
    """The table as FULL_TABLE reads it: the same types, without the log."""
    async with Reading(server, stream, mode="FULL_TABLE", connector="test/witness") as witness:
        while await witness.step():
            pass
        return witness.table


async def converge(reading: Reading, server: DatabaseServer, stream: str, marker: int) -> None:
    """Writes a last row and reads until it is there."""
    database, table = stream.split(".")
    server.execute(f"REPLACE INTO {table} (id, name) VALUES ({marker}, 'the end')", database=database)
    await reading.until(lambda: (marker,) in reading.table and is_complete(reading), heals=True)


def is_complete(reading: Reading) -> bool:
    return reading.checkpoint is not None and "copy" not in reading.checkpoint.position


async def test_nothing_is_lost_and_nothing_is_left_over(database: Database) -> None:
    server, stream = database.server, f"{database.name}.t"
    await in_thread(create_table, server, database.name, KEYS)
    random_ = random.Random(7)
    reading = Reading(server, stream, connector=f"test/{database.name}", chunkRows=500)
    with Load(server, database.name) as load:
        # A fixed number of each trouble, so that a slow machine sees them all as well.
        troubles = ["crash", "rotate", "kill"] * ROUNDS
        random_.shuffle(troubles)
        for trouble in troubles:
            await read_for(reading, random_.random() * 0.4)
            match trouble:
                case "crash":
                    await reading.crash()
                case "rotate":
                    await in_thread(server.execute, "FLUSH BINARY LOGS")
                case _:
                    await in_thread(kill_readers, server)
        load.stop()
        assert load.changes
    await converge(reading, server, stream, KEYS + 1)
    await reading.close()
    wanted = await read_all(server, stream)
    differing = {key for key in wanted.keys() | reading.table.keys() if wanted.get(key) != reading.table.get(key)}
    assert not differing, f"{len(differing)} of {len(wanted)} rows differ, such as {sorted(differing)[:3]}"
    assert not reading.incidents


async def read_for(reading: Reading, seconds: float) -> None:
    end = time.monotonic() + seconds
    await reading.until(lambda: time.monotonic() > end, heals=True)


def kill_readers(server: DatabaseServer) -> None:
    """Kills the sessions of the copy and of the log, as an administrator does."""
    for number, command in server.query("SELECT id, command FROM information_schema.processlist WHERE user = 'admin'"):
        if "Binlog Dump" in str(command):
            server.execute(f"KILL {number}")


async def test_a_long_transaction_is_split_and_resumed_inside(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200))", "INSERT INTO t (v) VALUES ('first')"
    )
    reading = Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}")
    await reading.until(lambda: is_complete(reading))
    database.execute(
        "INSERT INTO t (v) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
        "SELECT CONCAT(RAND(), REPEAT(MD5(a.i * b.i), 3)) FROM n a JOIN n b ON b.i <= 15"
    )
    inside = 0
    while len(reading.table) < 15001:
        await reading.step()
        assert reading.checkpoint is not None
        if reading.checkpoint.position["log"].get("rows"):
            inside += 1
            await reading.crash()  # each time: what follows must start right behind
    assert inside >= 3
    upserts = [row[0] for operation, row in reading.history if operation == 0]
    assert len(upserts) == len(set(upserts)), "rows came twice"
    await asyncio.sleep(0)
    await reading.close()
    assert reading.table == await read_all(database.server, f"{database.name}.t")
