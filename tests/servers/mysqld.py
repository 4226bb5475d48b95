"""One running MySQL or MariaDB server in a temporary directory: start, kill, restart, connect."""

from __future__ import annotations

import itertools
import os
import shutil
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pymysql

from tests.servers.process import ServerProcess

NO_SUCH_SESSION = 1094
ADMIN_USER, ADMIN_PASSWORD = "admin", "admin-password"
# Run once when the template is created; in both dialects the account has all privileges.
ADMIN_SQL = (
    f"CREATE USER '{ADMIN_USER}'@'%' IDENTIFIED BY '{ADMIN_PASSWORD}';\n"
    f"GRANT ALL PRIVILEGES ON *.* TO '{ADMIN_USER}'@'%' WITH GRANT OPTION;\n"
)


@dataclass(frozen=True)
class Distribution:
    """An unpacked server with an initialised data directory to copy from.

    Attributes:
        name: Dialect and version, such as `mysql-8.0.31`.
        program: The command that starts the server (several words if it needs its own loader).
        template: The data directory that is copied for each server.
        environment: What the program needs besides the caller's environment.
        options: The options of every start.
    """

    name: str
    program: Sequence[str]
    template: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()

    @property
    def is_mariadb(self) -> bool:
        return self.name.startswith("mariadb")


def user_option() -> list[str]:
    """The option to run as root, which both dialects need."""
    return ["--user=root"] if os.geteuid() == 0 else []


_Base: Any = pymysql.connections.Connection  # its type stubs leave out what is overridden here


class _Session(_Base):  # type: ignore[misc]
    """Encrypted where the server can; verifies nothing, so that the system's certificates, which take 20 ms, are not loaded."""

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        if sslp:
            return cast("ssl.SSLContext", super()._create_ssl_ctx(sslp))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


class DatabaseServer(ServerProcess):
    """A server process with its data.

    Args:
        distribution: The server that is run.
        options: The options of its start.
        server_id: Its id in a topology.
        sessions: Statements that the administrator's connections execute first, in turn.
        folder: Where its data is; None: where temporary files are.
    """

    NOT_READY = (pymysql.MySQLError,)

    def __init__(
        self,
        distribution: Distribution,
        options: Sequence[str] = (),
        server_id: int = 1,
        sessions: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        super().__init__(distribution.name, folder)
        self.distribution = distribution
        self.options = [*options]
        self.server_id = server_id
        self._openings = itertools.cycle(sessions or [None])
        self.data = self.directory / "data"
        self.socket = self.directory / "s"
        self._temporary = self.directory / "tmp"  # of its own: MariaDB removes temporary tables of others at start
        self._temporary.mkdir()
        shutil.copytree(distribution.template, self.data)
        (self.data / "auto.cnf").unlink(missing_ok=True)

    @property
    def is_mariadb(self) -> bool:
        return self.distribution.is_mariadb

    def command(self) -> list[str]:
        return [
            *self.distribution.program, "--no-defaults", *self.distribution.options, *user_option(),
            f"--datadir={self.data}", f"--port={self.port}", f"--bind-address={self.host}",
            f"--socket={self.socket}", f"--tmpdir={self._temporary}", f"--pid-file={self.directory / 'pid'}",
            f"--server-id={self.server_id}", "--log-bin=binlog", "--binlog-format=ROW", "--max-connections=200",
            "--innodb-buffer-pool-size=64M", "--character-set-server=utf8mb4", *self.options,
        ]  # fmt: skip

    def spawn_options(self) -> dict[str, Any]:
        return {"env": {**os.environ, **self.distribution.environment}}

    def is_ready(self) -> bool:
        self.connect().close()
        return True

    def connect(self, **options: Any) -> pymysql.Connection[Any]:
        """A connection of the administrator, in autocommit."""
        arguments: dict[str, Any] = {
            "host": self.host, "port": self.port, "user": ADMIN_USER, "password": ADMIN_PASSWORD, "autocommit": True,
            "charset": "utf8mb4", "connect_timeout": 20, "init_command": next(self._openings), **options,
        }  # fmt: skip
        return cast("pymysql.Connection[Any]", _Session(**arguments))

    @contextmanager
    def session(self, **options: Any) -> Iterator[pymysql.cursors.Cursor]:
        connection = self.connect(**options)
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def execute(self, *statements: str, **options: Any) -> None:
        with self.session(**options) as cursor:
            for statement in statements:
                cursor.execute(statement)

    def query(self, statement: str, arguments: Sequence[Any] = (), **options: Any) -> list[tuple[Any, ...]]:
        with self.session(**options) as cursor:
            cursor.execute(statement, arguments or None)
            return list(cursor.fetchall())

    def kill_sessions(self, user: str) -> int:
        """Ends an account's sessions, as an administrator does; returns how many there were."""
        found = self.query("SELECT id FROM information_schema.processlist WHERE user = %s", (user,))
        for (number,) in found:
            try:
                self.execute(f"KILL {number}")
            except pymysql.MySQLError as error:
                if error.args[0] != NO_SUCH_SESSION:  # it has already ended
                    raise
        return len(found)
