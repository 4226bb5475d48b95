"""The peers as programs: fetched once below `.build`, started one at a time, their figures as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from benchmarks.mysql.workload import Point
from tests.servers.fetch import MissingClientError, missing_clients, once, run_client
from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
MYSQL_REPLICATION, ASYNCMY, DEBEZIUM = "1.0.17", "0.2.18", "3.5.0"
DEADLINE = 300.0
DEBEZIUM_CLIENTS = ("mvn", "javac")

Figures = list[dict[str, float]]
"""Of each segment: rows, seconds, processor seconds."""


def fetch() -> None:
    """Everything that the peers need, so that no measurement waits for a download.

    Raises:
        MissingClientError: Maven or a Java compiler is not here.
    """
    if missing := missing_clients([("debezium-peer", DEBEZIUM_CLIENTS)]):
        raise MissingClientError(missing)
    _mysql_replication()
    _asyncmy()
    _debezium()


def our_decoder(server: DatabaseServer, point: Point, segments: Sequence[int]) -> Figures:
    """Our decoder alone, for comparison: the same log, timed in the same way, and as theirs in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mysql.decode", str(server.port), ADMIN_USER]
    return _run([*command, point.file, str(point.offset), *map(str, segments)])


def mysql_replication_log(server: DatabaseServer, point: Point, segments: Sequence[int]) -> Figures:
    """mysql-replication's events from a point on."""
    command = [str(_mysql_replication()), "-m", "benchmarks.mysql.peers.read_mysql_replication"]
    return _run([*command, str(server.port), ADMIN_USER, point.file, str(point.offset), *map(str, segments)])


def asyncmy_log(server: DatabaseServer, point: Point, segments: Sequence[int]) -> Figures:
    """asyncmy's events from a point on."""
    return _run([*_read_asyncmy("log", server), point.file, str(point.offset), *map(str, segments)])


def asyncmy_copy(server: DatabaseServer, rows: int) -> Figures:
    """One SELECT through asyncmy's unbuffered cursor: a client's limit, no copy that could be resumed."""
    return _run([*_read_asyncmy("copy", server), "", "0", str(rows)])


def _read_asyncmy(what: str, server: DatabaseServer) -> list[str]:
    return [str(_asyncmy()), "-m", "benchmarks.mysql.peers.read_asyncmy", what, str(server.port), ADMIN_USER]


def debezium(
    server: DatabaseServer, folder: Path, form: str, segments: Sequence[int], tables: Sequence[str] = ("d.t",)
) -> Figures:
    """Debezium embedded: a copy when the folder is empty, else the log from where it was left.

    Args:
        server: Whom it reads.
        folder: Its offset and history of definitions.
        form: `raw` hands its records over as they are, `json` converts each to text.
        segments: Rows.
        tables: What it copies and follows.
    """
    return _run(debezium_command(server, folder, form, segments), PEER_TABLES=",".join(tables))


def debezium_command(
    server: DatabaseServer, folder: Path, form: str, segments: Sequence[int], *machine: str
) -> list[str]:
    """The same as a command, which needs PEER_PASSWORD and PEER_TABLES in its environment; `kafka` sends its records to PEER_BROKERS.

    Args:
        server, folder, segments: See `debezium`.
        form: Or `kafka`.
        machine: Options of the Java machine.
    """
    dialect = "mariadb" if server.is_mariadb else "mysql"
    command = ["java", *machine, "-cp", _debezium(), "Peer", dialect, str(server.port), ADMIN_USER, str(folder), form]
    return [*command, *map(str, segments)]


def _run(command: Sequence[str], **variables: str) -> Figures:
    environment = {**os.environ, "PEER_PASSWORD": ADMIN_PASSWORD, **variables}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=DEADLINE
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} … failed: {(done.stdout + done.stderr)[-2000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _environment(*requirements: str) -> Callable[[Path], None]:
    def build(home: Path) -> None:
        venv.create(home / "venv", with_pip=True)
        pip = [str(home / "venv" / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True)

    return build


@cache
def _mysql_replication() -> Path:
    build = _environment(f"mysql-replication=={MYSQL_REPLICATION}", "cryptography")
    return once(f"mysql-replication-{MYSQL_REPLICATION}", build) / "venv" / "bin" / "python"


@cache
def _asyncmy() -> Path:
    build = _environment(f"asyncmy=={ASYNCMY}", "cryptography")
    return once(f"asyncmy-{ASYNCMY}", build) / "venv" / "bin" / "python"


@cache
def _debezium() -> str:
    """The class path: its libraries, and our program compiled anew (the libraries are fetched once)."""
    home = once(f"debezium-peer-{DEBEZIUM}", _fetch_libraries)
    libraries = f"{home / 'libraries'}/*"
    classes = home / "classes"
    run_client(["javac", "-cp", libraries, "-d", str(classes), str(HERE / "debezium" / "Peer.java")])
    return f"{classes}:{libraries}"


def _fetch_libraries(home: Path) -> None:
    pom = HERE / "debezium" / "pom.xml"
    copy = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    run_client([*copy, f"-Dversion.debezium={DEBEZIUM}.Final", f"-DoutputDirectory={home / 'libraries'}"])
