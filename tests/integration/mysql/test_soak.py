"""Copy and log under writers, while the reader is crashed, sessions are killed, logs rotated: in the end, row for row equal."""

from __future__ import annotations

import asyncio
import random
import time

from connector_runner.protocols.batch import Row
from tests.integration.mysql.conftest import VARIANTS, Database
from tests.integration.mysql.load import ALTERATIONS, KEYS, READER, Load, create_reader, create_table
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


async def test_nothing_is_lost_and_nothing_is_left_over(database: Database, variant: str) -> None:
    server, stream = database.server, f"{database.name}.t"
    await in_thread(create_table, server, database.name, KEYS)
    await in_thread(create_reader, server)
    random_ = random.Random(7)
    reading = Reading(server, stream, connector=f"test/{database.name}", chunkRows=500, user=READER)
    killed = 0
    with Load(server, database.name) as load:
        # A fixed number of each trouble, so that a slow machine sees them all as well.
        alterations = list(ALTERATIONS) if VARIANTS[variant].has_names else []
        troubles = ["crash", "rotate", "kill"] * ROUNDS + ["alter"] * len(alterations)
        random_.shuffle(troubles)
        troubles.insert(0, "kill")  # in the middle of the copy
        for trouble in troubles:
            await read_for(reading, random_.random() * 0.4)
            match trouble:
                case "crash":
                    await reading.crash()
                case "rotate":
                    await in_thread(server.execute, "FLUSH BINARY LOGS")
                case "alter":
                    await in_thread(database.execute, alterations.pop(0))
                case _:
                    killed += await in_thread(server.kill_sessions, READER)
        load.stop()
        assert load.changes
        assert killed
    await converge(reading, server, stream, KEYS + 1)
    await reading.close()
    wanted = await read_all(server, stream)
    found = reading.as_of_now()
    differing = {key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)}
    assert not differing, f"{len(differing)} of {len(wanted)} rows differ, such as {sorted(differing)[:3]}"
    assert {incident.kind for incident in reading.incidents} == ({"refresh"} if VARIANTS[variant].has_names else set())


async def read_for(reading: Reading, seconds: float) -> None:
    end = time.monotonic() + seconds
    await reading.until(lambda: time.monotonic() > end, heals=True)


async def test_a_long_transaction_is_split_and_resumed_inside(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200))", "INSERT INTO t (v) VALUES ('first')"
    )
    reading = Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}")
    await reading.until(lambda: is_complete(reading))
    database.execute(
        "INSERT INTO t (v) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
        "SELECT CONCAT(RAND(), REPEAT(SHA2(a.i * b.i, 256), 2)) FROM n a JOIN n b ON b.i <= 15"
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
