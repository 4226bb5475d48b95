"""What the shared parts of lake formats need from a format: tables with atomic commits, and the ledger as such a table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.columnar.intents import Intent
from connector_runner.datasets.columnar.rows import Stored
from connector_runner.datasets.columnar.staging_folder import StagingFolder
from connector_runner.datasets.dialect import Dialect
from connector_runner.protocols.batch import Row
from connector_runner.protocols.errors import ActionRequiredError

Key: TypeAlias = tuple[str, str, str]
"""A row of the ledger: connector, stream, table."""
Rows: TypeAlias = dict[Key, tuple[Any, ...]]
"""All rows of the ledger: the values of `fencing.COLUMNS`."""
Entry: TypeAlias = tuple[str, Stored]
"""An entry of a history: the operation, and the stored values of its row."""


def table_gone(table: str) -> ActionRequiredError:
    """The error for a table that a run has prepared and that is not there any more.

    Args:
        table: The table, as its users know it.
    """
    return ActionRequiredError(
        f"the table {table} was deleted while the connector wrote into it; what was in it is gone. The next start makes it again, "
        "reports that in its table of incidents, and goes on behind the last position; `connector-runner checkpoint reset` starts over",
        reason="DatasetError",
    )


class Table(Protocol):
    """One table; a commit is tried once, from the state that was read."""

    name: str

    @property
    def staging(self) -> StagingFolder:
        """Where its files are staged."""

    @property
    def exists(self) -> bool:
        """Whether it exists; also opens it."""

    def refresh(self) -> object:
        """Reads what was committed since.

        Raises:
            ActionRequiredError: It is gone.
        """

    def create(self, schema: pa.Schema, record: str, key: Sequence[str] = ()) -> bool:
        """Creates it if it is missing; returns whether this call has done so."""

    def parts(self, rows: pa.Table) -> Iterable[tuple[str, pa.Table]]:
        """Rows to be staged, those of each partition by themselves, as its files have them; and the partition, for `Intent.parts`."""

    def require_storable(self, arrays: Mapping[str, pa.Array]) -> None:
        """Checks values by the name of their column.

        Raises:
            `types.VALUE_ERRORS`: The table can't hold one of them.
        """

    def file_schema(self, schema: pa.Schema) -> pa.Schema:
        """The same columns as a file of this table has them."""

    def transaction(self, app: str) -> int:
        """The number of the application's last transaction; 0 for none."""

    def take_numbers(self, column: str, count: int) -> int:
        """The first of so many numbers that no row has; the column numbers rows in the order in which they were written."""

    def removal(self, columns: Columns, prefixes: Sequence[Row]) -> str:
        """For `Intent.removed`: the rows whose key begins with one of these.

        Raises:
            `types.VALUE_ERRORS`: A value has no exact form.
        """

    def entries(self, columns: Columns, owner: Sequence[str], prefixes: Sequence[Row]) -> Sequence[Entry]:
        """What a history holds of keys that begin so, oldest first; without a key, everything since the last deletion.

        Args:
            columns: The columns of the stream.
            owner: Whose rows: connector and stream.
            prefixes: One whose values have no exact form is left out.
        """

    def newest(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Its columns, and its last rows, newest last."""

    def carry_out(self, intent: Intent) -> None:
        """Commits what the ledger has decided, unless it was done already, by whomever.

        Raises:
            StagedFileGoneError: A file that it needs is gone.
        """

    def remove_staged(self, names: Sequence[str]) -> None:
        """Removes files that are not needed any more."""

    def remove_old_staged(self, apps: Collection[str]) -> int:
        """Removes what these applications have staged long ago, and no intent names, now or later; returns how many files by now.

        The ledger must have a claim of theirs that is newer than all of these files: what an earlier run has staged can't be
        decided any more then. Of others that is not known, however old their files are.
        """


class LedgerTable(Protocol):
    """The ledger: rows of the checkpoint table of all connectors, and what they have decided for their tables."""

    def create(self) -> None:
        """Makes sure that it exists."""

    def read(self) -> tuple[Rows, Mapping[str, str]]:
        """All rows by key; connector → its intents, as JSON. Empty if it does not exist."""

    def commit(self, rows: Rows, pending: Mapping[str, str]) -> bool:
        """Replaces what was read last; returns whether nobody else has committed since."""


class Lake(Protocol):
    """The tables of one dataset.

    Attributes:
        where: What they are in, for messages.
        ledger: The ledger.
        dialect: The ledger's dialect.
        commit_seconds: How long rows may be staged; 0 commits each transaction.
        target_bytes: At how many staged bytes of one table they are committed at once.
    """

    where: str
    ledger: LedgerTable
    dialect: Dialect
    commit_seconds: float
    target_bytes: int

    def table(self, name: str) -> Table:
        """A table, which may be missing."""

    def existing(self, names: Collection[str]) -> Collection[str]:
        """Those of these tables that may exist, at little cost."""

    def close(self) -> None:
        """Closes what it has opened."""
