"""Whether MariaDB's log is still the one that was read: by the server's answer, and by the log itself where they disagree."""

from __future__ import annotations

import pytest

from connector_runner.protocols.errors import SourceChangedError
from connector_runner.sources.mysql.binlog.gtid import MariaGtids
from connector_runner.sources.mysql.settings import parse_settings
from connector_runner.sources.mysql.streaming import resume_check
from connector_runner.sources.mysql.streaming.scan import read_maria_gtids
from tests.integration.mysql.conftest import variants
from tests.integration.mysql.reading import Reading, build_config
from tests.integration.mysql.test_soak import is_complete
from tests.integration.mysql.topology import reset
from tests.servers.mysqld import DatabaseServer


@pytest.fixture(params=variants("mariadb", "mariadb-compressed"))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def write(server: DatabaseServer) -> None:
    """In two domains and two files, from two servers (as a replica's log has it), one transaction with many rows."""
    for number, (domain, origin) in enumerate([(0, 1), (7, 1), (0, 3), (0, 1), (7, 1)] * 3, start=10):
        statements = [f"SET gtid_domain_id = {domain}", f"SET server_id = {origin}"]
        server.execute(*statements, f"INSERT INTO d.t VALUES ({number}, 'x')")
        if number == 17:
            server.execute("FLUSH BINARY LOGS", "SET gtid_domain_id = 0")
    many = ", ".join(f"({number}, 'y')" for number in range(100, 2000))
    server.execute(f"INSERT INTO d.t VALUES {many}")


def test_the_log_tells_the_same_gtids_as_the_server(own: DatabaseServer) -> None:
    write(own)
    settings = parse_settings(build_config(own), "test/history")
    seen = 0
    for file, *_ in own.query("SHOW BINARY LOGS"):
        ends = [(row[2], row[4]) for row in own.query(f"SHOW BINLOG EVENTS IN '{file}'")]
        for kind, end in ends:
            if kind not in {"Xid", "Gtid_list"}:
                continue
            (told,) = own.query("SELECT BINLOG_GTID_POS(%s, %s)", (file, end))[0]
            assert read_maria_gtids(settings, file, end) == MariaGtids.parse(told), (file, end)
            assert read_maria_gtids(settings, file, end - 1) is None
            seen += 1
    assert seen > 15


@pytest.mark.parametrize("is_reset", [False, True])
async def test_the_log_has_the_last_word(own: DatabaseServer, is_reset: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's answer is made wrong; what it can't be made to do is change its log."""
    reading = Reading(own, "d.t")
    await reading.until(lambda: is_complete(reading))
    own.execute("INSERT INTO d.t VALUES (5, 'x')")
    await reading.until(lambda: (5,) in reading.table)
    await reading.crash()
    if is_reset:
        reset(own)
    own.execute("INSERT INTO d.t VALUES (6, 'x')")
    monkeypatch.setattr(resume_check, "_gtids_at", lambda *_: "0-1-1")
    if is_reset:
        with pytest.raises(SourceChangedError, match="holds other transactions"):
            await reading.until(lambda: (6,) in reading.table)
    else:
        await reading.until(lambda: (6,) in reading.table)
    await reading.close()
