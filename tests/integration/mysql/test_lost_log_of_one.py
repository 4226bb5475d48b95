"""One of many streams stands aside until the server has thrown away the log that it needs; the others never stop."""

from __future__ import annotations

import pytest

from connector_runner.sources.mysql.streaming import catch_up, log_thread
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.many import ManyReading, accounts
from tests.integration.mysql.topology import purge_to_last
from tests.servers.mysqld import DatabaseServer

pytestmark = pytest.mark.fault


@pytest.fixture(params=variants("mysql-gtids", "mariadb", "mysql-files"))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(catch_up, "MOST_SECONDS", 1.0)
    monkeypatch.setattr(log_thread, "ISOLATING_SECONDS", 0.2)
    monkeypatch.setattr(log_thread, "CONFIRM_SECONDS", 0.1)


@pytest.mark.parametrize("again", ["at the next start", "while it runs"])
async def test_the_stream_alone_is_told_and_is_copied_again_if_that_is_allowed(own: DatabaseServer, again: str) -> None:
    database, user = Database(own, "d"), "'reader'@'%'"
    names = accounts(database, 3)
    database.execute(
        f"CREATE USER {user} IDENTIFIED BY 'readerpass'",
        f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}",
        *(f"GRANT SELECT, UPDATE ON d.{name} TO {user}" for name in names),
    )
    reading = ManyReading(database, names, user="reader", password="readerpass")
    try:
        await reading.until(lambda: reading.are_copied)
        database.execute(f"REVOKE SELECT ON d.a1 FROM {user}")
        await reading.until(lambda: bool(reading.incidents))
        database.execute("INSERT INTO a1 VALUES (70, 1)", "DELETE FROM a1 WHERE id = 0", "FLUSH BINARY LOGS")
        database.execute("INSERT INTO a0 VALUES (71, 1)")
        await reading.until(lambda: (71,) in reading.tables["a0"])
        if again == "at the next start":
            await reading.crash()
        purge_to_last(own)
        database.execute(f"GRANT SELECT ON d.a1 TO {user}", "INSERT INTO a1 VALUES (72, 1)")
        database.execute("INSERT INTO a0 VALUES (72, 1)", "INSERT INTO a2 VALUES (72, 1)")
        await reading.until(
            lambda: any("purged" in told.lower() or "gone" in told.lower() for told in reading.told.losses)
        )
        await reading.until(lambda: not reading.differences_of("a0", "a2"))
        assert (72,) not in reading.tables["a1"]
        assert (0,) in reading.tables["a1"], "the dataset keeps what it has"
        await reading.crash()
        reading.config["onLogGap"] = "resnapshot"
        database.execute("INSERT INTO a0 VALUES (73, 1)")
        await reading.until(lambda: reading.are_joined and reading.are_copied and not reading.differences())
    finally:
        await reading.crash()
    kinds = [incident.kind for incident in reading.incidents if incident.subject == "d.a1"]
    assert kinds[0] == "parked"
    assert kinds[-1] == "joined"
    assert "resnapshot" in kinds
    assert {incident.subject for incident in reading.incidents} == {"d.a1"}
    assert reading.told.counts["resnapshots"] == 1
