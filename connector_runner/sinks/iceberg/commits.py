"""A commit of a table that is tried once, from the state that was read."""

from __future__ import annotations

from typing import Any

from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import TableProperties, Transaction
from pyiceberg.table.metadata import TableMetadata

from connector_runner.protocols.errors import TransientError

FENCE = TableProperties.COMMIT_NUM_RETRIES
"""With any other value than 0 pyiceberg commits on top of what others have committed meanwhile: a runner that was overtaken, too."""
SETTINGS = {
    FENCE: "0",
    TableProperties.METADATA_DELETE_AFTER_COMMIT_ENABLED: "true",
    TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: "20",
}
"""What every table is made with."""


class OneCommit(Transaction):
    """A transaction that fails if anybody has committed since the table was read.

    Reading the table's metadata once for each change, not a dozen times, is what keeps late commits as cheap as early ones.

    Raises:
        TransientError: The table would let pyiceberg try again by itself.
    """

    def __init__(self, table: IcebergTable) -> None:
        if table.metadata.properties.get(FENCE) != "0":
            raise TransientError(f"table {table.name()} lost its setting {FENCE}=0", reason="DatasetUnavailable")
        self._seen: tuple[Any, TableMetadata] | None = None
        super().__init__(table)

    @property
    def table_metadata(self) -> TableMetadata:
        """The metadata with the changes until now."""
        if not self._updates:
            return self._table.metadata
        if self._seen is None or self._seen[0] is not self._updates:
            self._seen = (self._updates, super().table_metadata)
        return self._seen[1]
