"""What a dataset needs from a database with a blocking driver."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.procedure import Connection, Cursor
from connector_runner.protocols.errors import TransientError


class BlockingConnection(Connection, Protocol):
    """A connection in autocommit mode; any thread may use it, but only one at a time."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> Cursor:
        """Executes a statement once for each set of parameters."""

    def close(self) -> None:
        """Closes the connection."""


class Database(Protocol):
    """How to open a database, and what its errors mean.

    Attributes:
        dialect: Its SQL dialect.
        begin: Statement that opens a transaction and takes the write lock at once.
        value_errors: Exceptions that a value or a row may raise when it is stored; `is_refusal` decides whether the row is the cause.
    """

    dialect: Dialect
    begin: str
    value_errors: tuple[type[Exception], ...]

    def connect(self, *, create: bool = True) -> BlockingConnection:
        """A new connection; with `create: False` opening it changes nothing in the database.

        Raises:
            ActionRequiredError, TransientError: It can't be opened; the error says why.
        """

    def explained(self) -> contextlib.AbstractContextManager[None]:
        """A context in which errors of the driver are raised as errors of the pipeline."""

    def is_refusal(self, error: Exception) -> bool:
        """Whether the row is the cause of the error, not the database."""


class Begun:
    """Runs one transaction; rolled back on any error."""

    def __init__(self, connection: BlockingConnection, begin: str) -> None:
        self._connection = connection
        self._begin = begin

    def __enter__(self) -> None:
        self._connection.execute(self._begin)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
            except BaseException:
                self._rollback()
                raise
        else:
            self._rollback()

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except Exception as error:
                raise TransientError(f"a transaction could not be taken back: {error}") from error
