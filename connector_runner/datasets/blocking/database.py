"""What a dataset needs of a database whose driver blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.procedure import Connection, Cursor
from connector_runner.protocols.errors import TransientError


class BlockingConnection(Connection, Protocol):
    """In autocommit mode, usable from any one thread at a time."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> Cursor:
        """Does a statement once for each set of parameters."""

    def close(self) -> None:
        """Lets go of the database."""


class Database(Protocol):
    """How to open a database, and what its errors mean.

    Attributes:
        dialect: Its words.
        begin: Opens a transaction that takes the lock for writing at its start.
        value_errors: What a value or a row may raise on its way in; whether it does blame the row, `is_refusal` tells.
    """

    dialect: Dialect
    begin: str
    value_errors: tuple[type[Exception], ...]

    def connect(self, *, create: bool = True) -> BlockingConnection:
        """A new connection; with `create: False` nothing is changed by looking.

        Raises:
            ActionRequiredError, TransientError: Why there is none.
        """

    def explained(self) -> contextlib.AbstractContextManager[None]:
        """Within it the driver's errors are raised as the pipeline's."""

    def is_refusal(self, error: Exception) -> bool:
        """Whether the row is to blame, not the database."""


class Begun:
    """One transaction; rolled back on any error."""

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
