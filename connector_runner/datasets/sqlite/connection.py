"""Opening SQLite files, and what their errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.datasets.sqlite.dialect import DIALECT
from connector_runner.protocols.errors import (
    ActionRequiredError,
    ConnectorError,
    InvalidConfigError,
    SchemaConflictError,
    TransientError,
)
from connector_runner.schemas.dataset_url import url_problems

LOCK_SECONDS = 2.0
# Prepared statements that are kept: some for each table. With Python's 128, 200 tables in turn would prepare each one at each commit.
STATEMENTS = 2048

# https://www.sqlite.org/rescode.html: primary result codes of transient errors, with the message for users.
TRANSIENT = {
    sqlite3.SQLITE_BUSY: "is locked by another program",
    sqlite3.SQLITE_LOCKED: "is locked by another program",
    sqlite3.SQLITE_FULL: "can't grow: the disk is full",
    sqlite3.SQLITE_IOERR: "can't be read or written (input/output error)",
    sqlite3.SQLITE_READONLY: "is read-only",
    sqlite3.SQLITE_CANTOPEN: "can't be opened",
    sqlite3.SQLITE_PROTOCOL: "is locked by another program",
    sqlite3.SQLITE_NOMEM: "needs more memory than there is",
}
REFUSED = {
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISMATCH,
}


def parse_url(url: str, directory: Path) -> tuple[Path, str]:
    """Parses a URL into its file and `synchronous` option.

    Raises:
        InvalidConfigError: It is not a SQLite URL.
    """
    if problems := url_problems(url):
        raise InvalidConfigError([f"dataset.url: {problem}" for problem in problems])
    parts = urlsplit(url)
    synchronous = parse_qs(parts.query).get("synchronous", ["FULL"])[-1].upper()
    path = unquote(parts.path.removeprefix("/"))
    if path.startswith("//"):  # one slash too many; SQLite would read the first folder as a host
        path = "/" + path.lstrip("/")
    return directory / path, synchronous


class SqliteFile:
    """A `Database` in a file.

    Args:
        read_url: Returns its URL; called again for each connection.
        directory: The directory that relative URLs are resolved against.
        observes: Whether connections only read and change nothing, not even the files beside it; a file that is missing is empty.
    """

    dialect = DIALECT
    begin = "BEGIN IMMEDIATE"
    # Out of range, not UTF-8, or without an exact form.
    value_errors: tuple[type[Exception], ...] = (RefusedError, OverflowError, UnicodeError, sqlite3.Error)

    def __init__(self, read_url: Callable[[], str], directory: Path, *, observes: bool = False) -> None:
        self._read_url = read_url
        self._directory = directory
        self._observes = observes
        self._path = Path()
        self._opened: tuple[int, int] | None = None

    def connect(self, *, create: bool = True) -> sqlite3.Connection:
        """Opens the file, with a write-ahead log.

        Raises:
            ActionRequiredError: The folder does not exist or may not be entered.
            TransientError: The file is locked or can't be read now.
        """
        self._path, synchronous = parse_url(self._read_url(), self._directory)
        self._opened = None
        if not self._path.parent.is_dir():
            raise ActionRequiredError(
                f"the folder of the SQLite file {self._path} does not exist; create it, or give the Dataset a volumeClaim",
                reason="DatasetUnavailable",
            )
        create = create and not self._observes
        mode = self._observing() if self._observes else "rwc" if create else "rw"
        with self.explained():
            connection = sqlite3.connect(
                ":memory:" if mode is None else f"file:{_quoted(self._path)}?mode={mode}",
                uri=True,
                timeout=LOCK_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=STATEMENTS,
            )
            try:
                if create:  # inspecting a file changes nothing in it
                    connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA synchronous = {synchronous}")
            except BaseException:
                connection.close()
                raise
        if not self._observes:
            self._opened = _identify(self._path)
        return connection

    @property
    def path(self) -> Path:
        """The file of the newest connection."""
        return self._path

    def _observing(self) -> str | None:
        """The mode that changes no file; None if there is no file.

        SQLite makes `-wal` and `-shm` beside a file that it only reads, unless the file can't change: that is so as long as no `-wal` is
        there, because then nobody has it open.
        """
        if not self._path.exists():
            return None
        return "ro" if self._path.with_name(f"{self._path.name}-wal").exists() else "ro&immutable=1"

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raises SQLite's errors as errors of the pipeline.

        Raises:
            TransientError: Also if another file has the name now, or none: SQLite itself would go on in the old one.
        """
        if self._opened is not None and _identify(self._path) != self._opened:
            raise TransientError(
                f"SQLite file {self._path} was removed or replaced while it was open", reason="DatasetUnavailable"
            )
        try:
            yield
        except sqlite3.Error as error:
            raise explain(error, self._path) from error

    def is_refusal(self, error: Exception) -> bool:
        """See `Database.is_refusal`."""
        if isinstance(error, sqlite3.Error):
            code = getattr(error, "sqlite_errorcode", None)
            return (code is not None and code & 0xFF in REFUSED) or (
                code is None and isinstance(error, sqlite3.DataError)
            )
        return True


def _identify(path: Path) -> tuple[int, int] | None:
    """Which file has this name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def explain(error: sqlite3.Error, path: Path) -> ConnectorError:
    """What an error means for the runner."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary in TRANSIENT:
        return TransientError(f"SQLite file {path} {TRANSIENT[primary]}: {error}", reason="DatasetUnavailable")
    if primary == sqlite3.SQLITE_ERROR:
        return SchemaConflictError(f"SQLite file {path} does not have the tables that this runner made: {error}")
    return ActionRequiredError(f"SQLite file {path}: {error}", reason="DatasetError")
