"""The metrics of a runner in Prometheus format; each name is documented in docs/runner.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from connector_runner.pipeline.health import Health
from connector_runner.pipeline.queue import BatchQueue
from connector_runner.protocols.batch import Batch

# So many streams have a label of their own: the first that have rows; all others share one.
STREAMS_NAMED = 100
OTHERS = "_others"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class PrometheusMeters:
    """Implements `telemetry.Meters` with its own registry, so that tests can have several."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._watched: dict[str, Gauge] = {}
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._rows = Counter("connector_rows", "Rows committed, by operation", ["operation"], registry=registry)
        self._bytes = Counter(
            "connector_bytes", "Bytes committed, as the source estimates them", ["operation"], registry=registry
        )
        self._batches = Counter("connector_batches", "Batches committed", registry=registry)
        self._commits = Counter("connector_commits", "Transactions committed, heartbeats included", registry=registry)
        self._seconds = Histogram(
            "connector_commit_seconds",
            "From sending a transaction to its confirmation",
            buckets=SECONDS,
            registry=registry,
        )
        self._last = Gauge(
            "connector_last_commit_timestamp_seconds", "When the last commit was confirmed", registry=registry
        )
        self._lag = Gauge("connector_lag_seconds", "How far the dataset is behind the source", registry=registry)
        self._letters = Counter("connector_dead_letters", "Rows that the dataset refused", registry=registry)
        self._events = Counter(
            "connector_events", "What sources and pipeline count, by name", ["event"], registry=registry
        )
        self._progress = Gauge(
            "connector_progress", "A snapshot or backfill: done and total", ["part", "unit"], registry=registry
        )
        self._streams = Gauge(
            "connector_streams",
            "Streams of a selection, by state; `selected` is all of them",
            ["state"],
            registry=registry,
        )
        self._stream_rows = Counter(
            "connector_stream_rows", "Rows committed, by stream; only in a selection", ["stream"], registry=registry
        )
        self._stream_lag = Gauge(
            "connector_stream_lag_seconds",
            "How far a stream is behind the source; only in a selection, of streams with rows lately and of failed ones",
            ["stream"],
            registry=registry,
        )
        self._meters: dict[str, Counter] = {}
        self._named: set[str] = set()
        self._lags: Callable[[], Mapping[str, float]] = dict
        for operation in ("upsert", "delete", "insert", "replace"):
            self._rows.labels(operation)
            self._bytes.labels(operation)
        for event in ("reconnects", "sink_reconnects", "gaps", "incidents"):
            self._events.labels(event)

    def watch(self, queue: BatchQueue, health: Health) -> None:
        """Registers values that are read at each scrape; again for another queue."""
        values: list[tuple[str, str, Callable[[], float]]] = [
            ("connector_queue_bytes", "Read and not yet sent", lambda: queue.bytes),
            ("connector_queue_rows", "Read and not yet sent", lambda: queue.rows),
            (
                "connector_ready",
                "1 when source and dataset are connected and commits go through",
                lambda: health.is_ready,
            ),
        ]
        for name, text, value in values:
            if name not in self._watched:
                self._watched[name] = Gauge(name, text, registry=self.registry)
            self._watched[name].set_function(value)

    def committed(self, seconds: float, rows: dict[str, int], sizes: dict[str, int], batches: int) -> None:
        """See `Meters`."""
        for operation, amount in rows.items():
            self._rows.labels(operation).inc(amount)
        for operation, size in sizes.items():
            self._bytes.labels(operation).inc(size)
        self._batches.inc(batches)
        self._commits.inc()
        self._seconds.observe(seconds)
        self._last.set(time.time())

    def refused(self, rows: int) -> None:
        """See `Meters`."""
        self._letters.inc(rows)

    def lag(self, seconds: float) -> None:
        """See `Meters`."""
        self._lag.set(seconds)

    def count(self, name: str, amount: int) -> None:
        """See `Meters`."""
        self._events.labels(name).inc(amount)

    def streams(self, counts: Mapping[str, int]) -> None:
        """See `Meters`."""
        for state, amount in counts.items():
            self._streams.labels(state).set(amount)

    def by_stream(self, batches: Sequence[Batch]) -> None:
        """See `Meters`."""
        rows: dict[str, int] = {}
        for batch in batches:
            stream = batch.schema.stream
            rows[stream] = rows.get(stream, 0) + len(batch.rows)
        for stream, amount in rows.items():
            if amount:
                self._meter_of(stream).inc(amount)

    def _meter_of(self, stream: str) -> Counter:
        meter = self._meters.get(stream)
        if meter is None:
            label = self._label_of(stream)
            meter = self._stream_rows.labels(label)
            if label != OTHERS:
                self._meters[stream] = meter
        return meter

    def _label_of(self, stream: str) -> str:
        """The stream's own label, as long as there are any; two streams of one selection never get each other's."""
        if stream not in self._named and len(self._named) < STREAMS_NAMED:
            self._named.add(stream)
        return stream if stream in self._named else OTHERS

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """See `Meters`."""
        self._progress.labels("done", unit).set(done)
        if total is not None:
            self._progress.labels("total", unit).set(total)

    def watch_streams(self, lags: Callable[[], Mapping[str, float]]) -> None:
        """See `Meters`."""
        self._lags = lags

    def _show_lags(self) -> None:
        """Streams have the same labels as their rows; of all others, the one that is furthest behind counts."""
        shown: dict[str, float] = {}
        for stream, seconds in self._lags().items():
            label = self._label_of(stream)
            shown[label] = max(seconds, shown.get(label, 0.0))
        self._stream_lag.clear()
        for label, seconds in shown.items():
            self._stream_lag.labels(label).set(seconds)

    def exposition(self) -> bytes:
        """The text for Prometheus to scrape."""
        self._show_lags()
        return generate_latest(self.registry)
