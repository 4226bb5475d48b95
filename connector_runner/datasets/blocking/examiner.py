"""Looks at a dataset with a ledger as a run would find it, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from connector_runner.datasets.blocking.inspector import InspectedDatabase, LedgerInspector
from connector_runner.datasets.examining import FitOne, ReadRights, examine
from connector_runner.datasets.names import TableNames
from connector_runner.datasets.procedure import Procedure
from connector_runner.protocols.check import Check
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext


class LedgerExaminer(LedgerInspector):
    """See `Examiner`.

    Args:
        context: The context of the dataset.
        database: The database that holds its ledger; connecting to it changes nothing.
        fit: Looks at the table of one stream.
        read_rights: Looks at what this user may do.
        find: See `LedgerInspector`.
    """

    def __init__(
        self, context: SinkContext, database: InspectedDatabase, fit: FitOne, read_rights: ReadRights,
        find: Callable[[TableNames], Procedure[TableNames]] | None = None,
    ) -> None:  # fmt: skip
        self._context = context
        self._fit, self._read_rights = fit, read_rights
        super().__init__(context, database, None, find)

    def examine(self, schemas: Mapping[str, StreamSchema]) -> Sequence[Check]:
        """See `Examiner.examine`."""
        return self._run(examine(self._ledger, self._context, schemas, self._fit, self._read_rights))
