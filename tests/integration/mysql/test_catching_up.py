"""Streams of many that stand behind the others: each is caught up beside them, and joins them at an exact place."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.streaming import catch_up, log_thread
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.many import TOTAL, ManyReading, accounts, writing
from tests.integration.mysql.reading import Reading

EACH = pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb", long=("mysql-files", "mysql-compressed")))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that failed are tried again soon."""
    monkeypatch.setattr(catch_up, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(catch_up, "MOST_SECONDS", 1.0)


def move(names: list[str]) -> Any:
    """Moves money between two accounts of different tables, in one transaction."""

    def work(cursor: Any, draw: random.Random, _number: int) -> None:
        one, other = sorted(draw.sample(names, 2))
        amount, key = draw.randrange(-50, 50), draw.randrange(10)
        cursor.execute("START TRANSACTION")
        cursor.execute(f"UPDATE {one} SET v = v - {amount} WHERE id = {key}")
        cursor.execute(f"UPDATE {other} SET v = v + {amount} WHERE id = {key}")
        cursor.execute("COMMIT")
        time.sleep(0.005)  # leaves the processor to the others

    return work


@EACH
async def test_streams_from_several_positions_are_caught_up_and_join(database: Database, variant: str) -> None:
    """Connectors of one stream each become one connector of all: each goes on where it stood, none is copied again."""
    names = accounts(database, 4)
    reading = ManyReading(database, names, chunkRows=4)
    sums: list[int] = []

    def check() -> None:
        if reading.are_copied and reading.are_joined:
            sums.append(sum(int(row[1]) for table in reading.tables.values() for row in table.values()))

    with writing(database, move(names), writers=1):
        for name in names[:3]:
            alone = Reading(database.server, f"{database.name}.{name}", chunkRows=4)
            async with alone:
                await alone.until(alone.is_copied)
                count = len(alone.batches)
                await alone.until(lambda: len(alone.batches) > count + 3)  # noqa: B023
            assert alone.checkpoint is not None
            reading.tables[name] = alone.table
            reading.places[name] = json.loads(json.dumps(alone.checkpoint.position))
            reading.position, reading.identity = alone.checkpoint.position, alone.checkpoint.identity
            reading.versions[name] = alone.checkpoint.schema_version
        reading.after_step = check
        try:
            for steps in (5, 20, 60):  # a run that is killed goes on where each stream stood
                await reading.until(lambda: reading.steps > steps)  # noqa: B023
                await reading.crash()
            await reading.until(lambda: len(sums) > 20)
        finally:
            await reading.crash()
    try:
        await reading.until(lambda: not reading.differences())
    finally:
        await reading.crash()
    assert set(sums) == {TOTAL}
    assert not reading.told.counts["resnapshots"]
    assert not [incident for incident in reading.incidents if incident.kind == "parked"]


@EACH
async def test_a_stream_that_was_parked_is_caught_up_once_it_is_mended(database: Database, variant: str) -> None:
    """Its rows from before, during and after are there, none was copied again; the incidents tell from when to when it stood aside."""
    names, user = accounts(database, 4), f"'{database.name}'@'%'"
    database.execute(
        f"CREATE USER {user} IDENTIFIED BY 'readerpass'", f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}",
        *(f"GRANT SELECT, UPDATE ON {database.name}.{name} TO {user}" for name in names),
    )  # fmt: skip
    reading = ManyReading(database, names, user=database.name, password="readerpass")
    stream = f"{database.name}.a1"
    try:
        await reading.until(lambda: reading.are_copied)
        before = len(reading.told.steps)
        database.execute(
            "UPDATE a1 SET v = 5 WHERE id = 1",
            f"REVOKE SELECT, UPDATE ON {database.name}.a1 FROM {user}",
            "ALTER TABLE a1 ADD COLUMN w INT",
            "INSERT INTO a0 VALUES (70, 1)",
        )
        await reading.until(lambda: (70,) in reading.tables["a0"] and bool(reading.incidents))
        assert "log" in reading.places["a1"]
        (parked,) = reading.incidents
        assert (parked.kind, parked.subject) == ("parked", stream)
        assert parked.detail["transaction"]
        assert reading.tables["a1"][1,] == (1, 5)
        await reading.crash()  # and it is not told again by the next run
        database.execute("INSERT INTO a0 VALUES (71, 1)")
        await reading.until(lambda: (71,) in reading.tables["a0"])
        assert [incident.kind for incident in reading.incidents] == ["parked"]
        database.execute(
            f"GRANT SELECT, UPDATE ON {database.name}.a1 TO {user}",
            "UPDATE a1 SET w = 6 WHERE id = 7",
            "UPDATE a0 SET v = 6 WHERE id = 7",
        )
        await reading.until(lambda: reading.are_joined and not reading.differences())
    finally:
        await reading.crash()
    assert [incident.kind for incident in reading.incidents] == ["parked", "joined"]
    assert len(reading.told.steps) == before, "nothing was copied"


@EACH
async def test_a_table_whose_grant_is_taken_while_it_is_copied_stands_aside_until_it_is_given_back(
    database: Database, variant: str
) -> None:
    """The others are copied and followed meanwhile; the copy goes on where it was, and no row is lost or left over."""
    names, user = accounts(database, 4), f"'{database.name}'@'%'"
    database.execute(
        f"CREATE USER {user} IDENTIFIED BY 'readerpass'", f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}",
        *(f"GRANT SELECT, UPDATE ON {database.name}.{name} TO {user}" for name in names),
    )  # fmt: skip
    reading = ManyReading(database, names, user=database.name, password="readerpass", chunkRows=4)
    revoked: list[int] = []

    def revoke() -> None:
        if not revoked and "copy" in reading.places.get("a1", {}):
            database.execute(f"REVOKE SELECT, UPDATE ON {database.name}.a1 FROM {user}")
            revoked.append(len(reading.tables["a1"]))

    reading.after_step = revoke
    try:
        await reading.until(lambda: any(incident.kind == "parked" for incident in reading.incidents))
        (parked,) = reading.incidents
        assert (parked.kind, parked.subject) == ("parked", f"{database.name}.a1")
        assert parked.detail["reason"] == "MissingGrant"
        assert revoked
        assert len(reading.tables["a1"]) < 10, "it was not copied to its end"
        database.execute(
            *(f"INSERT INTO {name} VALUES (70, 1)" for name in names),
            "UPDATE a1 SET v = 5", "DELETE FROM a1 WHERE id IN (0, 9)",
        )  # fmt: skip
        await reading.until(lambda: not reading.differences_of("a0", "a2", "a3"))
        assert "a1" in reading.differences(), "it stands aside"
        database.execute(f"GRANT SELECT, UPDATE ON {database.name}.a1 TO {user}", "INSERT INTO a1 VALUES (71, 1)")
        await reading.until(lambda: reading.are_copied and reading.are_joined and not reading.differences())
    finally:
        await reading.crash()
    assert [incident.kind for incident in reading.incidents] == ["parked", "joined"]
    assert not reading.told.counts["resnapshots"]


@EACH
async def test_a_copied_table_whose_grant_is_taken_stands_aside_until_it_is_given_back(
    database: Database, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log needs no SELECT, so the server is asked. Nothing else happens to the table, and the others go on."""
    monkeypatch.setattr(log_thread, "ISOLATING_SECONDS", 0.2)
    monkeypatch.setattr(log_thread, "CONFIRM_SECONDS", 0.1)
    names, user = accounts(database, 4), f"'{database.name}'@'%'"
    database.execute(
        f"CREATE USER {user} IDENTIFIED BY 'readerpass'", f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}",
        *(f"GRANT SELECT, UPDATE ON {database.name}.{name} TO {user}" for name in names),
    )  # fmt: skip
    reading = ManyReading(database, names, user=database.name, password="readerpass")
    try:
        await reading.until(lambda: reading.are_copied)
        database.execute(f"REVOKE SELECT ON {database.name}.a1 FROM {user}")
        await reading.until(lambda: bool(reading.incidents))
        (parked,) = reading.incidents
        assert (parked.kind, parked.subject) == ("parked", f"{database.name}.a1")
        assert parked.detail["reason"] == "MissingGrant"
        assert f"GRANT SELECT ON `{database.name}`.`a1`" in parked.message
        database.execute(
            *(f"INSERT INTO {name} VALUES (70, 1)" for name in names),
            "UPDATE a1 SET v = 5", "DELETE FROM a1 WHERE id IN (0, 9)",
        )  # fmt: skip
        await reading.until(lambda: not reading.differences_of("a0", "a2", "a3"))
        assert (70,) not in reading.tables["a1"], "it stands aside"
        database.execute(f"GRANT SELECT ON {database.name}.a1 TO {user}", "INSERT INTO a1 VALUES (71, 1)")
        await reading.until(lambda: reading.are_joined and not reading.differences())
    finally:
        await reading.crash()
    assert [incident.kind for incident in reading.incidents] == ["parked", "joined"]
    assert not reading.told.counts["resnapshots"]


@EACH
@pytest.mark.parametrize(
    ("breaking", "mending", "reason"),
    [
        ("ALTER TABLE a1 DROP PRIMARY KEY", "ALTER TABLE a1 ADD PRIMARY KEY (id)", "NoKey"),
        ("DROP TABLE a1", "CREATE TABLE a1 (id INT PRIMARY KEY, v INT NOT NULL)", "TableGone"),
    ],
)
async def test_a_stream_whose_log_cannot_be_followed_is_copied_again_if_that_is_allowed(
    database: Database, variant: str, breaking: str, mending: str, reason: str
) -> None:
    names = accounts(database, 3)
    reading = ManyReading(database, names, onLogGap="resnapshot")
    stream = f"{database.name}.a1"
    try:
        await reading.until(lambda: reading.are_copied)
        database.execute(breaking)
        if "DROP TABLE" not in breaking:
            database.execute("INSERT INTO a1 VALUES (70, 1)")
        await reading.until(lambda: any(incident.kind == "parked" for incident in reading.incidents))
        database.execute("INSERT INTO a0 VALUES (70, 1)")
        await reading.until(lambda: (70,) in reading.tables["a0"])
        database.execute(mending, "INSERT INTO a1 VALUES (71, 1)", "UPDATE a0 SET v = 6 WHERE id = 7")
        await reading.until(lambda: reading.are_joined and reading.are_copied and not reading.differences())
    finally:
        await reading.crash()
    found = [incident for incident in reading.incidents if incident.subject == stream]
    assert (found[0].kind, found[0].detail["reason"]) == ("parked", reason)
    assert (found[-1].kind, found[-1].detail["reason"]) == ("joined", reason)
    assert {incident.kind for incident in found[1:-1]} == {"resnapshot"}


@EACH
async def test_streams_that_cannot_be_opened_are_told_and_join_once_they_can(database: Database, variant: str) -> None:
    names = accounts(database, 2)
    database.execute(
        "CREATE TABLE nokey (id INT, v INT)", "CREATE VIEW seen AS SELECT * FROM a0", "INSERT INTO nokey VALUES (1, 1)"
    )
    reading = ManyReading(database, [*names, "nokey", "seen", "missing"])
    try:
        await reading.until(
            lambda: len(reading.places) == 2 and not any("copy" in place for place in reading.places.values())
        )
        assert reading.opened is not None
        failed = {stream.partition(".")[2]: error.reason for stream, error in reading.opened.failed.items()}
        assert failed == {"nokey": "Preflight", "seen": "Preflight", "missing": "UnknownStream"}
        assert all(any(f"{database.name}.{name}" in told for told in reading.told.losses) for name in failed)
        database.execute(
            "CREATE TABLE missing (id INT PRIMARY KEY, v INT)",
            "INSERT INTO missing VALUES (3, 4)",
            "ALTER TABLE nokey ADD PRIMARY KEY (id)",
            "INSERT INTO a0 VALUES (70, 1)",
        )
        await reading.until(lambda: len(reading.places) == 4 and reading.differences() == ["seen"])
        database.execute("INSERT INTO missing VALUES (4, 4)", "DROP VIEW seen")
        await reading.until(lambda: (4,) in reading.tables["missing"])
    finally:
        await reading.crash()
    assert not reading.incidents


@EACH
async def test_without_isolation_a_stream_that_fails_ends_the_run(database: Database, variant: str) -> None:
    names = accounts(database, 3)
    with pytest.raises(ActionRequiredError, match="missing"):
        await ManyReading(database, [*names, "missing"], isolates=False).open()
    reading = ManyReading(database, names, isolates=False)
    try:
        await reading.until(lambda: reading.are_copied)
        database.execute("INSERT INTO a0 VALUES (70, 1)", "DROP TABLE a1", "INSERT INTO a0 VALUES (71, 1)")
        with pytest.raises(ActionRequiredError, match="DROP TABLE"):
            await reading.until(lambda: (71,) in reading.tables["a0"])
        assert (70,) in reading.tables["a0"]
        await reading.crash()
        with pytest.raises(ActionRequiredError, match="DROP TABLE"):  # also of the next run
            await reading.until(lambda: (71,) in reading.tables["a0"])
    finally:
        await reading.crash()


@EACH
async def test_that_the_log_of_a_parked_stream_may_soon_be_gone_is_said_once(
    database: Database, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = accounts(database, 2)
    reading = ManyReading(database, names)
    stream = f"{database.name}.a1"
    try:
        await reading.until(lambda: reading.are_copied)
        database.execute("DROP TABLE a1")
        await reading.until(lambda: "_parked" in reading.places["a1"])
        await reading.crash()
        assert not any(incident.kind == "expiring" for incident in reading.incidents)
        reading.places["a1"]["_parked"]["since"] -= 20 * 86400
        monkeypatch.setattr(Server, "kept_seconds", 30 * 86400)
        await reading.until(lambda: any(incident.kind == "expiring" for incident in reading.incidents))
        await reading.crash()
        database.execute("INSERT INTO a0 VALUES (70, 1)")
        await reading.until(lambda: (70,) in reading.tables["a0"])
        steps = reading.steps
        await reading.until(lambda: reading.steps > steps + 2)
    finally:
        await reading.crash()
    assert [incident.kind for incident in reading.incidents] == ["parked", "expiring"]
    assert all(incident.subject == stream for incident in reading.incidents)
    assert "may be purged" in reading.incidents[1].message
