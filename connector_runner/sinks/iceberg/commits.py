"""A commit of a table that is tried once, from the state that was read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import TableProperties, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRef
from pyiceberg.table.update import AssertRefSnapshotId, ValidatableTableRequirement
from pyiceberg.table.update.snapshot import ExpireSnapshots

from connector_runner.protocols.errors import TransientError

FENCE = TableProperties.COMMIT_NUM_RETRIES
"""With any other value than 0 pyiceberg commits on top of what others have committed meanwhile: a runner that was overtaken, too."""
SETTINGS = {
    FENCE: "0",
    TableProperties.METADATA_DELETE_AFTER_COMMIT_ENABLED: "true",
    TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: "20",
}
"""What every table is made with."""


class Unchanged(ValidatableTableRequirement):
    """All branches and tags are as they were read, and these snapshots are still there.

    Iceberg's own requirements name one branch or tag each: none refuses a new one, which forgetting its snapshot would remove.

    Raises:
        CommitFailedException: It is not so.
    """

    type: str = "connector-runner-unchanged"
    refs: dict[str, SnapshotRef]
    snapshots: frozenset[int]

    def validate(self, base_metadata: TableMetadata | None) -> None:  # type: ignore[override]
        """See `ValidatableTableRequirement.validate`."""
        if base_metadata is None or base_metadata.refs != self.refs:
            raise CommitFailedException("Requirement failed: a branch or tag was made, moved or removed meanwhile")
        if self.snapshots - {each.snapshot_id for each in base_metadata.snapshots}:
            raise CommitFailedException("Requirement failed: somebody else has expired these snapshots")


def restore_fence(table: IcebergTable) -> bool:
    """Makes sure that pyiceberg never tries a commit again by itself; returns whether somebody had changed that, so that the table must be read again."""
    if table.metadata.properties.get(FENCE) == "0":
        return False
    with table.transaction() as transaction:
        transaction.set_properties({FENCE: "0"})
    return True


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

    def forget(self, snapshots: Collection[int]) -> None:
        """Expires snapshots, if by then no branch or tag has been changed since the table was read.

        A REST catalogue looks by Iceberg's own requirements: at the branches and tags that were there.
        """
        read = self._table.metadata
        unchanged: tuple[Any, ...]  # pyiceberg lists its own kinds
        if isinstance(self._table.catalog, RestCatalog):
            heads = [{"ref": name, "snapshot-id": ref.snapshot_id} for name, ref in read.refs.items()]
            unchanged = tuple(AssertRefSnapshotId.model_validate(each) for each in heads)
        else:
            unchanged = (Unchanged(refs=dict(read.refs), snapshots=frozenset(snapshots)),)
        self._requirements += unchanged
        ExpireSnapshots(self).by_ids(list(snapshots)).commit()
