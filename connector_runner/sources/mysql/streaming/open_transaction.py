"""Whether a transaction that comes in parts becomes visible as a whole: it does up to a stated size; a larger one is cut. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from connector_runner.protocols.batch import Batch, Incident
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch


class OpenTransaction:
    """The transaction that the reader is inside of.

    Args:
        rows: The most rows of one that becomes visible as a whole.
        size: The most bytes of it, as the log has them.
        is_cut: Whether the reader starts inside of one, whose first part is visible already.

    Attributes:
        is_open: Whether the last batch belongs together with the next one.
    """

    def __init__(self, rows: int, size: int, *, is_cut: bool) -> None:
        self._most_rows, self._most_bytes, self._is_cut = rows, size, is_cut
        self._rows = self._bytes = 0
        self._versions: dict[str, str] = {}
        self._name = ""
        self.is_open = False

    def must_end(self, group: Iterable[LogBatch]) -> bool:
        """Whether what is open must end before these batches: within it, a stream has one schema."""
        return self.is_open and any(
            self._versions.get(batch.definition.id, batch.definition.schema.version) != batch.definition.schema.version
            for batch in group
        )

    def take(self, batches: Sequence[Batch], log: LogPosition) -> tuple[Incident, ...]:
        """Takes in the next batches; returns what is to be told with them.

        Args:
            batches: The batches up to a position, at least one.
            log: The position.
        """
        stream = batches[-1].schema.stream
        if not log.rows:
            was_cut, name = self._is_cut, self._name
            self._is_cut = False
            self._end()
            if not was_cut:
                return ()
            return (
                Incident(
                    "whole", stream, f"the transaction {name or 'that was cut'} is whole now", {"transaction": name}
                ),
            )
        self._name = log.name
        self._rows += sum(len(batch.rows) for batch in batches)
        self._bytes += sum(batch.size for batch in batches)
        self._versions |= {batch.schema.stream: batch.schema.version for batch in batches}
        self.is_open = self._rows < self._most_rows and self._bytes < self._most_bytes
        if self.is_open:
            return ()
        rows = self._rows
        self._end()
        return () if self._is_cut else (self._report_cut(stream, log.name, rows),)

    def end(self, stream: str, log: LogPosition) -> tuple[Incident, ...]:
        """Ends what is open here, though the transaction goes on; returns what is to be told."""
        rows, is_reported = self._rows, self._is_cut
        self._end()
        return () if is_reported else (self._report_cut(stream, log.name, rows),)

    def _end(self) -> None:
        self.is_open, self._rows, self._bytes = False, 0, 0
        self._versions.clear()

    def _report_cut(self, stream: str, name: str, rows: int) -> Incident:
        self._is_cut = True
        message = (
            f"the transaction {name} is too large to become visible as a whole: its first {rows} rows are visible before the others "
            "(config.transactionRows, config.transactionMegabytes)"
        )
        return Incident("cut", stream, message, {"transaction": name, "rows": rows})
