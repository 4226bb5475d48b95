"""One of several streams that share a log: its definition, its copy, and its place as checkpoints have it. No I/O, no clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from connector_runner.protocols.batch import Batch, Incident, Position, Row
from connector_runner.protocols.errors import ConnectorError
from connector_runner.protocols.source import Report, StreamState
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.binlog.shared_position import join, own_part
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.position import Parked, Progress, StreamPosition, build_place
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.snapshot.chunk import Chunk
from connector_runner.sources.mysql.streaming.weaving import apply_log, build_log_batch, chunk_batches, clearing_batch


class FollowedStream:
    """A stream from a position on; each call is given the position in the log, since all streams share it.

    A stream is *joined* (it stands where the shared position is), or *behind* (it stands at an older position of its own).

    Args:
        start: The position that it starts from.
        shared: The position in the log that it shares.
        estimate: Rows of the table, for progress.
        incident: Why the dataset's table must be emptied first, if it must.
        is_behind: Whether it starts behind the shared position.
    """

    def __init__(
        self, start: StreamPosition, shared: LogPosition, estimate: int | None, incident: Incident | None = None, *, is_behind: bool = False
    ) -> None:  # fmt: skip
        self.definition, self.copy, self.estimate = start.definition, start.copy, estimate
        self.failure: ConnectorError | None = None
        self.parked = start.parked
        self.misses = 0
        self._own, self._incident = own_part(start.log, shared), incident
        self._behind_at: LogPosition | None = start.log if is_behind else None
        self._place: Position = {}
        self._built_from: tuple[Any, ...] | None = None

    @property
    def id(self) -> str:
        """The stream's id."""
        return self.definition.id

    @property
    def state(self) -> tuple[StreamState, str, str]:
        """What happens to it, and why if it failed, in a word and a sentence; a stream that is caught up counts as copying."""
        if self.failure is not None:
            return StreamState.FAILED, self.failure.reason, self.failure.message
        is_whole = self.copy is None and self._behind_at is None
        return (StreamState.FOLLOWING if is_whole else StreamState.COPYING), "", ""

    def report(self, report: Report) -> None:
        """Reports its state, and how far its copy is."""
        report.stream(self.id, *self.state)
        if self.copy is not None and self.failure is None:
            done, estimate = self.copy.done, self.estimate or 0
            report.progress(done, estimate if done < estimate else None, "rows", self.id)

    def stand(self, shared: LogPosition) -> StreamPosition:
        """Its whole position."""
        log = self._behind_at or join(shared, self._own)
        return StreamPosition(log, self.definition, self.copy, self.parked)

    def first_batch(self, shared: LogPosition) -> Batch:
        """A batch with its place; empties the dataset's table where a copy must start again."""
        if self.copy is not None and not self.copy.is_cleared:
            self.copy = replace(self.copy, is_cleared=True)
            incident, self._incident = self._incident, None
            batch = clearing_batch(self.stand(shared), incident)
            if self._behind_at is None:  # copied again beside the others
                batch.incidents = (*batch.incidents, *self._unpark(shared))
            return self._apart(batch, shared)
        return self.position_batch(shared)

    def position_batch(self, shared: LogPosition) -> Batch:
        """A batch with a new position and no rows."""
        return self._apart(Batch(self.definition.schema, [], {}), shared)

    def apply(self, log_batch: LogBatch, now: float, *, shared: LogPosition | None = None) -> Batch:
        """Applies a batch of the log; returns the stream's batch.

        Args:
            log_batch: The batch.
            now: The Unix time.
            shared: Of a stream that stands behind: the position that the other streams share.
        """
        applied = apply_log(self.stand(log_batch.log), log_batch)
        self.definition, self.copy = log_batch.definition, applied.position.copy
        if shared is None:
            self._own = own_part(log_batch.position, log_batch.log)
        else:
            self._behind_at = log_batch.position
        incidents = applied.incidents
        if log_batch.failure is not None:
            failure = translate(log_batch.failure, f"following {self.id}")
            incidents = (*incidents, *self._park(failure, log_batch.position, now))
        batch = build_log_batch(replace(applied, incidents=incidents), log_batch, {})
        return self._apart(batch, shared or log_batch.log)

    def park(self, error: ConnectorError, shared: LogPosition, now: float) -> Batch:
        """Parks the stream where it stands; an incident tells it unless it was told before."""
        incidents = self._park(error, self.stand(shared).log, now)
        batch = self.position_batch(shared)
        batch.incidents = incidents
        return batch

    def warn_of_expiry(self, kept_seconds: float, shared: LogPosition, now: float) -> Batch | None:
        """Tells, once, that half of the time has passed for which the server keeps the log that the parked stream needs.

        Args:
            kept_seconds: How long the server keeps its log.
            shared: Where the other streams are.
            now: The Unix time.
        """
        parked = self.parked
        if parked is None or parked.is_expiring or now - parked.since < kept_seconds / 2:
            return None
        self.parked = replace(parked, is_expiring=True)
        batch, log = self.position_batch(shared), self.stand(shared).log
        until = datetime.fromtimestamp(parked.since + kept_seconds, UTC).isoformat(timespec="minutes")
        message = (
            f"{self.id} is paused ({parked.reason}) and needs the server's log from {log.name} on, which may be purged from {until} "
            "on: fix it before, or keep logs longer (binlog_expire_logs_seconds)"
        )
        batch.incidents = (Incident("expiring", self.id, message, {"reason": parked.reason, "transaction": log.name}),)
        return batch

    def _park(self, error: ConnectorError, log: LogPosition, now: float) -> tuple[Incident, ...]:
        self.failure, self._behind_at = error, log
        if self.parked is not None and (self.parked.reason == error.reason or not isinstance(error, LogGoneError)):
            return ()  # told when it began; that its log is gone is news
        self.parked = Parked(error.reason, int(now) if self.parked is None else self.parked.since)
        detail = {"reason": error.reason, "transaction": log.name}
        return (Incident("parked", self.id, error.message, detail),)

    def resume(self, start: StreamPosition, incident: Incident | None = None) -> None:
        """Begins to be caught up from a position on."""
        self.definition, self.copy, self.failure, self.misses = start.definition, start.copy, None, 0
        self._behind_at, self._incident = start.log, incident

    def advance(self, log: LogPosition) -> None:
        """Moves on to a place in the log up to which it has nothing more; it stands behind."""
        assert self._behind_at is not None  # noqa: S101 - asked only of a stream that stands behind
        self._behind_at = join(log, own_part(replace(self._behind_at, rows=0), log))

    def rejoin(self, shared: LogPosition) -> Batch:
        """Stands where the other streams stand from here on."""
        assert self._behind_at is not None  # noqa: S101 - asked only of a stream that stands behind
        self._own, self._behind_at = own_part(replace(self._behind_at, rows=0), shared), None
        incidents = self._unpark(shared)
        batch = self.position_batch(shared)
        batch.incidents = incidents
        return batch

    def _unpark(self, shared: LogPosition) -> tuple[Incident, ...]:
        """Ends a pause; returns what is to be told of it."""
        parked, self.parked, self.failure = self.parked, None, None
        if parked is None:
            return ()
        message = (
            f"{self.id} was paused ({parked.reason}), has caught up, and is followed together with the others again"
        )
        return (Incident("joined", self.id, message, {"reason": parked.reason, "transaction": shared.name}),)

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
        known = (self.definition, self.copy, self._own, self._behind_at, self.parked)
        if self._built_from != known:
            self._built_from, self._place = known, build_place(*known)
        batch.position, batch.place = {"log": shared.to_json()}, self._place
        return batch
