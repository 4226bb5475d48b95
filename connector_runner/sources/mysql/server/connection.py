"""Connections: PyMySQL for the handshake, logins, TLS and small queries; its stream for our own decoders."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pymysql
from pymysql.constants import CLIENT

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.settings import Settings

# What a session inherits from the server's global variables must not change what is read:
# - No conversion of text by the server: columns are sent as they are stored (`charsets` decodes both paths).
# - UTC, so that TIMESTAMP means the same as in the log.
# - No PAD_CHAR_TO_FULL_LENGTH, no ANSI_QUOTES; comparisons with impossible dates, which tables may hold, are allowed.
# - No limit cuts off a result, ends a statement or refuses it (max_join_size); keys are sorted by their whole length.
# - COMMIT opens no new transaction; names are quoted; the hidden primary keys of MySQL 8.0.30 and later are shown.
SESSION = (
    "SET SESSION time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES', character_set_results = NULL, net_write_timeout = 600, "
    "wait_timeout = 3600, sql_big_selects = 1, sql_select_limit = 18446744073709551615, completion_type = 0, "
    "sql_quote_show_create = 1, sql_auto_is_null = 0, max_sort_length = 8388608 /*!50700 , max_execution_time = 0 */ "
    "/*!80030 , show_gipk_in_create_table_and_information_schema = 1 */ /*M!100100 , max_statement_time = 0 */"
)
CONNECT_SECONDS = 10
BLOCK = 1 << 18
_NO_PLUGIN = 2059  # the client library's error for a login method that it does not know


_Base: Any = pymysql.connections.Connection  # its type stubs leave out what lies below the cursors


class Connection(_Base):  # type: ignore[misc]
    """A PyMySQL connection that enforces `ssl.mode: REQUIRED` and gives access to its stream of bytes."""

    requires_tls = False

    def _request_authentication(self) -> None:
        if not self.server_capabilities & CLIENT.SSL:
            if self.requires_tls:
                raise InvalidConfigError(
                    ["config.ssl.mode: the server offers no encryption, but the configuration insists on it"],
                    reason="NoEncryption",
                )
            self.ssl = False  # PREFERRED: without TLS, since the server has none
        super()._request_authentication()

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is a MariaDB, by its greeting."""
        return "mariadb" in str(self.server_version).lower()

    @property
    def version(self) -> tuple[int, ...]:
        """The server's version: (10, 11, 19)."""
        numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", str(self.server_version).removeprefix("5.5.5-"))
        return tuple(map(int, numbers.groups())) if numbers else ()

    def send_command(self, command: int, payload: bytes) -> None:
        """Sends a command; its answer is read with `read_block`."""
        self._execute_command(command, payload)

    def read_packet(self) -> bytes:
        """One whole packet of an answer.

        Raises:
            pymysql.MySQLError: The packet is an error.
        """
        return cast("bytes", self._read_packet().get_all_data())

    def read_block(self) -> bytes:
        """The bytes that have arrived, at least one; empty when the server has closed the connection."""
        return cast("bytes", self._rfile.read1(BLOCK))

    @property
    def socket(self) -> socket.socket:
        """The socket, to check whether more has arrived."""
        return cast("socket.socket", self._sock)

    def abort(self) -> None:
        """Ends reads of other threads at once."""
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def discard(self) -> None:
        """Drops the connection without a message to the server; may be called twice."""
        self._force_close()

    def rows(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, text as text."""
        with self.cursor() as cursor:
            cursor.execute(statement, tuple(arguments) or None)
            return [tuple(_as_text(value) for value in row) for row in cursor.fetchall()]

    def results(self, statement: str, arguments: Sequence[Any] = ()) -> Iterator[list[tuple[Any, ...]]]:
        """All rows of each result of a statement that has several."""
        with self.cursor() as cursor:
            cursor.execute(statement, tuple(arguments) or None)
            while True:
                yield [tuple(_as_text(value) for value in row) for row in cursor.fetchall()]
                if not cursor.nextset():
                    return

    def value(self, statement: str, arguments: Sequence[Any] = ()) -> Any:
        """The first value of the first row; None without rows."""
        rows = self.rows(statement, arguments)
        return rows[0][0] if rows else None


def _as_text(value: Any) -> Any:
    # With character_set_results NULL the client can't distinguish text from bytes in metadata queries; all of it is UTF-8.
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def connect(settings: Settings, *, purpose: str, read_seconds: float = 60.0) -> Connection:
    """Opens a connection.

    Args:
        settings: The server's address and the account.
        purpose: Shown to the server's administrator as a connection attribute.
        read_seconds: How many seconds a read may wait.

    Raises:
        TransientError: The server can't be reached.
        InvalidConfigError: The server refuses the account, or its certificate is not trusted.
    """
    mode = settings.ssl.value.get("mode", "PREFERRED")
    connection = Connection(
        host=settings.host,
        port=settings.port,
        user=settings.user,
        password=settings.password.value.encode(),  # PyMySQL would encode a text as latin1
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        write_timeout=60,
        ssl=build_tls(settings.ssl.value) if mode != "DISABLED" else None,
        ssl_disabled=mode == "DISABLED",
        program_name=f"connector-runner {purpose}",
        init_command=SESSION,
        defer_connect=True,
    )
    connection.requires_tls = mode not in {"DISABLED", "PREFERRED"}
    try:
        connection.connect()
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError):  # PyMySQL: a login method needs a package that is not there
            error = pymysql.err.OperationalError(_NO_PLUGIN, str(error))
        original = getattr(error, "original_exception", None) or error
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        chosen = error if isinstance(error, pymysql.MySQLError) and code not in {0, 2003} else original
        raise translate(chosen, f"connecting to {settings.host}:{settings.port}", settings.user) from None
    return connection


def build_tls(options: dict[str, Any]) -> ssl.SSLContext:
    """The TLS context of the `ssl` settings.

    Raises:
        InvalidConfigError: A certificate or key can't be read.
    """
    mode, authority = options.get("mode", "PREFERRED"), options.get("ca")
    verifies = mode in {"VERIFY_CA", "VERIFY_IDENTITY"}
    try:
        # The system's certificates take 20 ms to load, so only where they are used.
        is_plain = not verifies and not authority
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else ssl.create_default_context(cadata=authority)
        context.check_hostname = mode == "VERIFY_IDENTITY"
        context.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
        if options.get("cert"):
            _load_client_certificate(context, options["cert"], options.get("key") or "")
    except (ssl.SSLError, ValueError, OSError):
        raise InvalidConfigError(
            ["config.ssl: ca, cert and key must be PEM texts, and the key must belong to the certificate"]
        ) from None
    return context


def _load_client_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    # Python reads certificates only from files; this one exists for a moment, readable by this user alone.
    with tempfile.TemporaryDirectory(prefix="connector-") as folder:
        path = Path(folder) / "client.pem"
        path.touch(mode=0o600)
        path.write_text(f"{certificate}\n{key}\n")
        context.load_cert_chain(path)
