"""One of several streams that share a log: its definition, its copy, and its place as checkpoints have it. No I/O, no clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connector_runner.protocols.batch import Batch, Incident, Position, Row
from connector_runner.protocols.errors import ConnectorError
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.binlog.shared_position import join, own_part
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.position import Progress, StreamPosition, build_place
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.snapshot.chunk import Chunk
from connector_runner.sources.mysql.streaming.weaving import apply_log, build_log_batch, chunk_batches, clearing_batch
from connector_runner.sources.mysql.types.table import TableDefinition


class FollowedStream:
    """A stream from a position on; each call is given the position in the log, since all streams share it.

    Args:
        start: The position that it starts from.
        shared: The position in the log that it shares.
        estimate: Rows of the table, for progress.
        incident: Why the dataset's table must be emptied first, if it must.
    """

    def __init__(
        self, start: StreamPosition, shared: LogPosition, estimate: int | None, incident: Incident | None = None
    ) -> None:
        self.definition, self.copy, self.estimate = start.definition, start.copy, estimate
        self.failure: ConnectorError | None = None
        self.misses = 0
        self._own, self._incident = own_part(start.log, shared), incident
        self._parked_at: LogPosition | None = None
        self._place: Position = {}
        self._told: tuple[TableDefinition, Progress | None, dict[str, Any], LogPosition | None] | None = None

    @property
    def id(self) -> str:
        """The stream's id."""
        return self.definition.id

    def stand(self, shared: LogPosition) -> StreamPosition:
        """Its whole position."""
        return StreamPosition(self._parked_at or join(shared, self._own), self.definition, self.copy)

    def first_batch(self, shared: LogPosition) -> Batch:
        """A batch with its place; empties the dataset's table where a copy must start again."""
        if self.copy is not None and not self.copy.is_cleared:
            self.copy = replace(self.copy, is_cleared=True)
            return self._apart(clearing_batch(self.stand(shared), self._incident), shared)
        return self.position_batch(shared)

    def position_batch(self, shared: LogPosition) -> Batch:
        """A batch with a new position and no rows."""
        return self._apart(Batch(self.definition.schema, [], {}), shared)

    def apply(self, log_batch: LogBatch) -> Batch:
        """Applies a batch of the log; returns the stream's batch."""
        applied = apply_log(self.stand(log_batch.log), log_batch)
        self.definition, self.copy = log_batch.definition, applied.position.copy
        self._own = own_part(log_batch.position, log_batch.log)
        if log_batch.failure is not None:
            failure = self.failure = translate(log_batch.failure, f"following {self.id}")
            self._parked_at = log_batch.position
            incident = Incident("parked", self.id, failure.message, {"reason": failure.reason})
            applied = replace(applied, incidents=(*applied.incidents, incident))
        return self._apart(build_log_batch(applied, log_batch), log_batch.log)

    def park(self, error: ConnectorError, shared: LogPosition) -> Batch:
        """Parks the stream from here on."""
        self.failure, self._parked_at = error, self.stand(shared).log
        batch = self.position_batch(shared)
        batch.incidents = (Incident("parked", self.id, error.message, {"reason": error.reason}),)
        return batch

    def store(self, chunk: Chunk, rows: list[Row], shared: LogPosition) -> list[Batch]:
        """Makes a chunk's batches and advances the copy.

        Args:
            chunk: The chunk as it was read.
            rows: Its rows without those that the log has delivered.
            shared: The position in the log.
        """
        start, copy = self.stand(shared), self.copy or Progress()
        is_complete = chunk.is_end and chunk.target is None
        end = None if is_complete else Progress(chunk.last or copy.last, copy.done + len(chunk.rows))
        batches = []
        for batch in chunk_batches(start, replace(start, copy=end), chunk, rows):
            document = batch.position.get("copy")
            self.copy = (
                None if document is None else Progress(document["last"] and tuple(document["last"]), document["done"])
            )
            batches.append(self._apart(batch, shared))
        return batches

    def _apart(self, batch: Batch, shared: LogPosition) -> Batch:
        """Gives the batch the reader's position and the stream's place instead of a whole position."""
        known = (self.definition, self.copy, self._own, self._parked_at)
        if self._told != known:
            self._told, self._place = known, build_place(self.definition, self.copy, self._own, self._parked_at)
        batch.position, batch.place = {"log": shared.to_json()}, self._place
        return batch
