"""Inspects a dataset without claiming it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.names import TableNames
from connector_runner.datasets.procedure import Connection, Procedure, run
from connector_runner.datasets.recorded import read_stored
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.sink import SinkContext, StoredCheckpoint, StoredStreams

T = TypeVar("T")
Newest = Callable[[TableNames, int], Procedure[tuple[Sequence[str], Sequence[Sequence[Any]]]]]


class InspectedConnection(Connection, Protocol):
    """A blocking connection in autocommit mode."""

    def close(self) -> None:
        """Closes the connection."""


class InspectedDatabase(Protocol):
    """What an inspector needs from a database; see `database.Database`."""

    @property
    def dialect(self) -> Dialect:
        """Its SQL dialect."""

    def connect(self, *, create: bool = True) -> InspectedConnection:
        """A new connection."""

    def explained(self) -> AbstractContextManager[None]:
        """A context in which errors of the driver are raised as errors of the pipeline."""


class LedgerInspector:
    """See `Inspector`.

    Args:
        context: The context of the dataset.
        database: The database that holds its ledger.
        newest: Reads rows of the same database (see `RowDialect.newest`); None where rows can't be read back.
        find: Finds the schema of the table where the database has schemas.
        create: Whether a database that is a file may be created, as a claim would.
    """

    def __init__(
        self,
        context: SinkContext,
        database: InspectedDatabase,
        newest: Newest | None,
        find: Callable[[TableNames], Procedure[TableNames]] | None = None,
        *,
        create: bool = False,
    ) -> None:
        self._database = database
        self._connector = context.connector
        self._newest = newest
        self._ledger = Ledger(context, database.dialect)
        self._connection = database.connect(create=create)
        if find is not None:
            try:
                self._run(self._ledger.locate(find))
            except BaseException:
                self._connection.close()
                raise

    def _run(self, procedure: Procedure[T]) -> T:
        with self._database.explained():
            return run(self._connection, procedure)

    def newest_rows(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """See `Inspector.newest_rows`.

        Raises:
            ActionRequiredError: Rows can't be read back from this dataset.
        """
        if self._newest is None:
            raise ActionRequiredError(
                "rows of this dataset can't be read back; look at the dataset itself", reason="NotPossible"
            )
        return self._run(self._newest(next(iter(self._ledger.streams.values())).names, limit))

    def stored_streams(self) -> StoredStreams:
        """See `Inspector.stored_streams`."""
        return self._run(read_stored(self._ledger, self._connector))

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        """See `Inspector.checkpoints`."""
        return self._run(self._ledger.checkpoints())

    def reset_checkpoints(self) -> int:
        """See `Inspector.reset_checkpoints`."""
        return self._run(self._ledger.reset())

    def close(self) -> None:
        """See `Inspector.close`."""
        self._connection.close()
