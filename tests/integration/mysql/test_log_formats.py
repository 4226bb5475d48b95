"""What a server says of its log's form may change from file to file, and be longer than it shows by default."""

from __future__ import annotations

import uuid

import pytest

from tests.integration.mysql.conftest import variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_soak import is_complete, read_all
from tests.servers.mysqld import DatabaseServer


@pytest.mark.parametrize("variant", variants("mysql-files", "mariadb", long=("mysql-gtids", "mysql-compressed")))
@pytest.mark.parametrize("first", ["CRC32", "NONE"])
async def test_checksums_may_be_switched_at_any_time(own: DatabaseServer, first: str) -> None:
    """Live, and while the connector is away."""
    own.execute(f"SET GLOBAL binlog_checksum = {first}")
    second = "NONE" if first == "CRC32" else "CRC32"
    reading = Reading(own, "d.t")
    await reading.until(lambda: is_complete(reading))
    number = 1
    for algorithm in (second, first, second):
        own.execute(
            f"INSERT INTO d.t VALUES ({number + 1}, 'before')", f"SET GLOBAL binlog_checksum = {algorithm}",
            f"INSERT INTO d.t VALUES ({number + 2}, 'live')",
        )  # fmt: skip
        await reading.until(lambda number=number: (number + 2,) in reading.table)  # type: ignore[misc]
        number += 2
    for algorithm in (first, second):
        await reading.crash()
        own.execute(
            f"INSERT INTO d.t VALUES ({number + 1}, 'away')", f"SET GLOBAL binlog_checksum = {algorithm}",
            f"INSERT INTO d.t VALUES ({number + 2}, 'away')",
        )  # fmt: skip
        await reading.until(lambda number=number: (number + 2,) in reading.table)  # type: ignore[misc]
        number += 2
    await reading.close()
    assert len(reading.table) == number
    assert reading.table == await read_all(own, "d.t")
    assert not reading.incidents


@pytest.mark.parametrize("variant", variants("mysql-gtids"))
async def test_sets_of_transactions_longer_than_show_tells(own: DatabaseServer) -> None:
    """Forty servers with gaps: SHOW GLOBAL VARIABLES cuts at 1,024 characters."""
    others = ",".join(f"{uuid.UUID(int=number)}:1-{number}:{number + 5}-{number + 9}" for number in range(1, 41))
    own.execute(f"SET GLOBAL gtid_purged = '+{others}'")
    reading = Reading(own, "d.t", onLogGap="resnapshot")
    await reading.until(lambda: is_complete(reading))
    for number in (2, 3):
        await reading.crash()
        own.execute(f"INSERT INTO d.t VALUES ({number}, 'away')")
        await reading.until(lambda number=number: (number,) in reading.table)  # type: ignore[misc]
    await reading.close()
    assert reading.table == await read_all(own, "d.t")
    assert not reading.incidents
