"""A server with ten thousand tables: all of them are found, with as many questions and hardly more memory than for a few."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from connector_runner.schemas.catalogue import MAX_STREAMS, Catalogue, summarise
from tests.integration.mysql.conftest import start, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.running import Runner
from tests.servers.mysqld import ADMIN_PASSWORD, DatabaseServer

TABLES = 10_000
NAMES = {"many.child", "many.looked", *(f"many.t{number}" for number in range(TABLES))}
# With a child whose rows change by a foreign key's action: on every table it is looked for.
EXTRA = (
    "CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT goes FOREIGN KEY (p) REFERENCES t1 (id) ON DELETE CASCADE)",
    "CREATE VIEW looked AS SELECT * FROM t1",
)
# What a process of the runner has anyway is about 60 MB; ten thousand tables with two columns each may add a few kilobytes a table.
LARGEST_PROCESS_MB = 200
# Nothing here must survive a crash, and writing ten thousand definitions down durably takes minutes.
QUICK = (
    "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--innodb-file-per-table=OFF", "--innodb-doublewrite=OFF",
    "--innodb-stats-persistent=OFF", "--innodb-flush-method=nosync",
)  # fmt: skip


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """A server with a database `few` and a database `many`, and an account that may only read and follow."""
    with start(request.param, *QUICK) as server:
        server.execute(
            "CREATE DATABASE few", "CREATE DATABASE many", f"CREATE USER least@'%' IDENTIFIED BY '{ADMIN_PASSWORD}'",
            "GRANT SELECT ON *.* TO least@'%'", "GRANT REPLICATION SLAVE ON *.* TO least@'%'",
        )  # fmt: skip
        create_tables(server, "few", range(10))
        threads = [
            threading.Thread(target=create_tables, args=(server, "many", range(n, TABLES, 3)), daemon=True)
            for n in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.execute(*EXTRA, database="few")
        server.execute(*EXTRA, database="many")
        yield server


def create_tables(server: DatabaseServer, database: str, numbers: range) -> None:
    with server.session(database=database) as cursor:
        cursor.execute("SET sql_log_bin = 0")
        for number in numbers:
            cursor.execute(f"CREATE TABLE t{number} (id INT PRIMARY KEY, a INT)")


def questions(server: DatabaseServer) -> int:
    """How many statements clients have sent so far."""
    return int(server.query("SHOW GLOBAL STATUS LIKE 'Questions'")[0][1])


async def discover(server: DatabaseServer, database: str, selected: str) -> tuple[Catalogue, int]:
    """What is found, and how many statements that took."""
    reading = Reading(server, selected, database=database, user="least")
    before = questions(server)
    catalogue = await reading.build().discover(selected)
    asked = questions(server) - before
    found = {stream.id: stream for stream in catalogue.streams}
    assert found[selected].modes == ("LOG_BASED", "INCREMENTAL", "FULL_TABLE")
    assert "it is a view" in found[f"{database}.looked"].unavailable["LOG_BASED"]
    assert "the foreign key goes" in found[f"{database}.child"].unavailable["LOG_BASED"]
    return catalogue, asked


@pytest.mark.parametrize("server", variants("mysql-gtids", "mariadb"), indirect=True)
async def test_ten_thousand_tables_are_discovered(server: DatabaseServer, tmp_path: Path) -> None:
    few, asked_for_few = await discover(server, "few", "few.t7")
    many, asked_for_many = await discover(server, "many", "many.t9999")
    assert few.total == 12
    assert {stream.id for stream in many.streams} == NAMES
    assert many.total == len(NAMES)
    assert asked_for_many == asked_for_few, "questions must not depend on the number of tables"

    shown = summarise(many, "many.t9999")
    assert (shown.total, len(shown.streams)) == (len(NAMES), MAX_STREAMS)
    assert shown.streams[-1].id == "many.t9999", "the selected one is among them"

    whole, largest = run_discovery(server, tmp_path)
    assert whole == many
    assert largest < LARGEST_PROCESS_MB, f"the process took {largest} MB"


# Prints the most memory, in KiB, that a command took. A small process in between: a child's peak begins at its parent's size.
MEASURED = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[2:], check=True, stdout=open(sys.argv[1], 'wb')); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def run_discovery(server: DatabaseServer, folder: Path) -> tuple[Catalogue, int]:
    """What `connector-runner discover` answers, and the most memory that its process took, in MB."""
    runner = Runner(folder, server, "many.t9999", "sqlite:///d.db", "many", database="many", user="least")
    command = [sys.executable, "-m", "connector_runner.cli", "discover", "-f", str(runner.manifest), "--output", "json"]
    answer = folder / "out"
    measured = subprocess.run(
        [sys.executable, "-c", MEASURED, str(answer), *command], cwd=folder, stdout=subprocess.PIPE, check=True
    )
    return msgspec.json.decode(answer.read_bytes(), type=Catalogue), int(measured.stdout) // 1024
