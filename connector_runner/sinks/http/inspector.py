"""Inspects the ledger of what goes out by HTTP: the file in use, and the files of single streams that were not moved into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from connector_runner.datasets.blocking.inspector import LedgerInspector
from connector_runner.datasets.ledger import Ledger
from connector_runner.protocols.sink import SinkContext, StoredCheckpoint, StoredStreams
from connector_runner.sinks.http import ledger_files


class PostedInspector(LedgerInspector):
    """See `Inspector`; rows can't be read back."""

    def __init__(self, context: SinkContext, *, create: bool = False) -> None:
        file = ledger_files.ledger_file(context)
        super().__init__(context, file, None, create=create)
        self._context = context
        self._others = Ledger(context, file.dialect)

    def stored_streams(self) -> StoredStreams:
        """See `Inspector.stored_streams`."""
        stored = super().stored_streams()
        known = {(stream.stream, stream.table) for stream in stored.streams}
        others = ledger_files.read_streams(self._context, self._others)
        added = [stream for stream in others if (stream.stream, stream.table) not in known]
        return replace(stored, streams=(*stored.streams, *added))

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        """See `Inspector.checkpoints`."""
        found = list(super().checkpoints())
        known = {(stored.stream, stored.table) for stored in found}
        for stored in ledger_files.run_in_others(self._context, self._others.checkpoints):
            found += [one for one in stored if (one.stream, one.table) not in known and one.uid != ledger_files.MOVED]
        return found

    def reset_checkpoints(self) -> int:
        """See `Inspector.reset_checkpoints`."""
        count = len(self.checkpoints())
        super().reset_checkpoints()
        ledger_files.run_in_others(self._context, self._others.reset)
        return count
