"""Collects all events of a run and feeds readiness, metrics, the log and the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from connector_runner.pipeline.copies import Copies, CopyProgress
from connector_runner.pipeline.health import Health
from connector_runner.pipeline.lags import StreamLags
from connector_runner.pipeline.states import StreamStates
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import ConnectorError
from connector_runner.protocols.sink import Receipt, Transaction
from connector_runner.protocols.source import StreamState

# Incidents of one transaction that are logged; the dataset holds all of them.
INCIDENTS_LOGGED = 5
OPERATIONS = {int(operation): operation.name.lower() for operation in Operation}


class Meters(Protocol):
    """Receives the figures for metrics; see `metrics.PrometheusMeters`."""

    def committed(self, seconds: float, rows: dict[str, int], sizes: dict[str, int], batches: int) -> None:
        """A transaction was confirmed after `seconds`, with rows and bytes by operation."""

    def refused(self, rows: int) -> None:
        """Rows became dead letters."""

    def lag(self, seconds: float) -> None:
        """How far the stream is behind the source's newest data."""

    def count(self, name: str, amount: int) -> None:
        """Counts an event by name."""

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """A snapshot or backfill made progress."""

    def streams(self, counts: Mapping[str, int]) -> None:
        """How many streams are selected, copying, following and failed."""

    def by_stream(self, batches: Sequence[Batch]) -> None:
        """These were committed, in a selection of several streams."""

    def watch_streams(self, lags: Callable[[], Mapping[str, float]]) -> None:
        """`lags` returns, when it is called, stream → how many seconds it is behind, in a selection of several streams."""


class NoMeters:
    """For runs by hand without a port: imports nothing, stores nothing."""

    def committed(self, seconds: float, rows: dict[str, int], sizes: dict[str, int], batches: int) -> None:
        """See `Meters`."""

    def refused(self, rows: int) -> None:
        """See `Meters`."""

    def lag(self, seconds: float) -> None:
        """See `Meters`."""

    def count(self, name: str, amount: int) -> None:
        """See `Meters`."""

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """See `Meters`."""

    def streams(self, counts: Mapping[str, int]) -> None:
        """See `Meters`."""

    def by_stream(self, batches: Sequence[Batch]) -> None:
        """See `Meters`."""

    def watch_streams(self, lags: Callable[[], Mapping[str, float]]) -> None:
        """See `Meters`."""


class Log(Protocol):
    """Receives log lines for people and machines."""

    def __call__(self, level: str, message: str, /, **fields: Any) -> None:
        """Writes one line."""


@dataclass
class Totals:
    """Totals since the start, for the terminal, the lines of progress and the last log line.

    Attributes:
        last_rows: The Unix time of the last commit that had rows; None if there was none.
        row_commits: How many commits had rows.
        row_seconds: How long these took together, from sending to confirmation.
    """

    rows: int = 0
    refused: int = 0
    commits: int = 0
    row_commits: int = 0
    row_seconds: float = 0.0
    lag: float | None = None
    last_rows: float | None = None
    progress: tuple[int, int | None, str] | None = None


def count_operations(batches: tuple[Batch, ...]) -> dict[str, int]:
    """Rows by operation."""
    plain = sum([len(batch.rows) for batch in batches if batch.operations is None])
    codes = b"".join([batch.operations for batch in batches if batch.operations is not None])
    counts = {name: codes.count(code) for code, name in OPERATIONS.items()} if codes else {}
    counts["upsert"] = counts.get("upsert", 0) + plain
    return {name: count for name, count in counts.items() if count}


def share(size: int, counts: dict[str, int]) -> dict[str, int]:
    """Bytes by operation, divided equally among the rows: sources estimate only the size of a whole batch."""
    rows = sum(counts.values())
    return {name: size * count // rows for name, count in counts.items()}


@dataclass
class Telemetry:
    """Implements `Report` for sources; the pipeline reports commits and failures to it."""

    log: Log
    meters: Meters
    health: Health = field(default_factory=Health)
    totals: Totals = field(default_factory=Totals)
    streams: StreamStates = field(default_factory=StreamStates)
    copies: Copies = field(default_factory=Copies)
    lags: StreamLags = field(default_factory=StreamLags)
    clock: Callable[[], float] = time.time

    # Reported by sources.

    def connected(self) -> None:
        """See `Report`."""
        if self.health.source:
            self.health.source = ""
            self.log("info", "the source is connected")

    def disconnected(self, message: str) -> None:
        """See `Report`."""
        if not self.health.source:
            self.count("reconnects")
        self.health.source = message
        self.log("warning", message)

    def lag(self, seconds: float) -> None:
        """See `Report`."""
        self.totals.lag = seconds
        self.meters.lag(seconds)

    def progress(self, done: int, total: int | None, unit: str, stream: str = "") -> None:
        """See `Report`."""
        self.copies.put(stream, CopyProgress(done, total, unit))
        if (whole := self.copies.sum()) is not None:
            self.totals.progress = (whole.done, whole.total, whole.unit)
            self.meters.progress(*whole)

    def count(self, name: str, amount: int = 1) -> None:
        """See `Report`."""
        self.meters.count(name, amount)

    def note(self, message: str, **fields: Any) -> None:
        """See `Report`."""
        self.log("info", message, **fields)

    def stream(self, stream: str, state: StreamState, reason: str = "", message: str = "") -> None:
        """See `Report`."""
        if not self.streams.put(stream, state, reason, message, self.clock()):
            return
        if state is StreamState.FOLLOWING:
            self.copies.end(stream)
        if state is StreamState.FAILED:
            self.copies.forget(stream)
            self.log("error", f"stream {stream} failed, the others go on: {message or reason}", stream=stream)
        self.meters.streams(self.streams.counts())

    # Reported by the pipeline.

    def select(self, streams: Collection[str]) -> None:
        """These are selected from now on."""
        self.streams.select(streams, self.clock())
        self.copies.keep(set(streams))
        self.meters.streams(self.streams.counts())

    def parked(self, stream: str, error: ConnectorError) -> None:
        """The dataset can't take the rows of a stream."""
        self.meters.count("parked_streams", 1)
        self.stream(stream, StreamState.FAILED, error.reason, error.message)

    def source_lost(self, error: ConnectorError, delay: float) -> None:
        """Opening or reading failed; the next try comes after `delay` seconds."""
        if not self.health.source:
            self.count("reconnects")
        self.health.source = error.message
        self.log("warning", error.message, reason=error.reason, retryInSeconds=round(delay, 2))

    def sink_connected(self) -> None:
        """The dataset accepts rows (again)."""
        if self.health.sink:
            self.health.sink = ""
            self.log("info", "the dataset is connected")

    def sink_lost(self, error: ConnectorError, delay: float) -> None:
        """A commit or a claim failed; the next try comes after `delay` seconds."""
        self.health.sink = error.message
        self.health.is_committing = False
        self.meters.count("sink_reconnects", 1)
        self.log("warning", error.message, reason=error.reason, retryInSeconds=round(delay, 2))

    def sink_slow(self, what: str, seconds: float) -> None:
        """A call to the dataset, described by `what`, has not returned for `seconds`."""
        message = f"{what} is not confirmed after {seconds:.0f} s: a lock, or a dataset that hangs"
        self.health.sink = message
        self.log("warning", message)

    def committed(self, transaction: Transaction, receipt: Receipt, seconds: float) -> None:
        """A transaction was confirmed."""
        batches = transaction.batches
        counts = count_operations(batches)
        self.meters.committed(seconds, counts, share(sum(batch.size for batch in batches), counts), len(batches))
        if len(self.streams) > 1:
            self.meters.by_stream(batches)
            self._note_lags(batches)
        self.health.is_committing = True
        totals = self.totals
        totals.commits += 1
        if counts:
            totals.rows += sum(counts.values())
            totals.last_rows = self.clock()
            totals.row_commits += 1
            totals.row_seconds += seconds
        if receipt.refused:
            totals.refused += receipt.refused
            self.meters.refused(receipt.refused)
            self.log("warning", f"{receipt.refused} rows were refused by the dataset; see its dead letters")
        incidents = [incident for batch in batches for incident in batch.incidents]
        if incidents:
            self.meters.count("incidents", len(incidents))
        for incident in incidents[:INCIDENTS_LOGGED]:
            self.log("warning", incident.message, incident=incident.kind, subject=incident.subject)
        if len(incidents) > INCIDENTS_LOGGED:
            self.log(
                "warning", f"{len(incidents) - INCIDENTS_LOGGED} more incidents; see the dataset's incidents table"
            )
        self.behind(batches[-1].event_time if batches else None)

    def _note_lags(self, batches: Sequence[Batch]) -> None:
        times = {
            batch.schema.stream: batch.event_time for batch in batches if batch.rows and batch.event_time is not None
        }
        now, mark = self.clock(), time.monotonic()
        for stream, event_time in times.items():
            self.lags.put(stream, max(0.0, now - event_time), mark)

    def stream_lags(self) -> Mapping[str, float]:
        """Stream → how many seconds it is behind: of those with rows lately, and of those that stand aside since they failed."""
        now = self.clock()
        aside = {stream: max(0.0, now - failure.since) for stream, failure in self.streams.failures().items()}
        return {**self.lags.recent(time.monotonic()), **aside}

    def behind(self, event_time: float | None) -> None:
        """The dataset holds, or soon will, what the source had at this time; None if that is unknown."""
        if event_time is not None:
            self.lag(max(0.0, self.clock() - event_time))
