"""What one scrape of the operator's metrics costs, by connectors: seconds of the processor, bytes, and memory.

    python -m benchmarks.metrics_at_scale [CONNECTORS ...]

One process, no cluster: the cache holds the connectors as the watches would show them. The memory is the peak of what a scrape
allocates, and what is left after it.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
import tracemalloc
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from connector_operator.cluster.cache import ClusterCache, trim
from connector_operator.connector_series import ConnectorSeries
from connector_operator.engine.queue import WorkQueue
from connector_operator.exposition import write_text

SCRAPES = 21


class Cost(NamedTuple):
    """What a scrape costs.

    Attributes:
        seconds: Of the processor; the median of some scrapes.
        length: Bytes of the answer.
        lines: Its lines.
        peak: Bytes of memory that a scrape takes while it is made.
        kept: Bytes of memory that it leaves behind.
    """

    seconds: float
    length: int
    lines: int
    peak: int
    kept: int


def build_registry(connectors: int, *, has_names: bool, unmet: int) -> CollectorRegistry:
    """A registry over so many Connectors in a hundred namespaces, each with so many conditions that are not met."""
    conditions = [
        {"type": "Ready", "status": "False", "reason": "CrashBackoff"},
        {"type": "Stalled", "status": "False", "reason": "NotStalled"},
        *({"type": f"Part{number}", "status": "False", "reason": "UpdateFailed"} for number in range(unmet)),
    ]
    shown = {}
    for number in range(connectors):
        namespace, name = f"namespace-{number % 100}", f"some-connector-with-a-name-{number}"
        meta = {"namespace": namespace, "name": name, "uid": str(number), "resourceVersion": "1"}
        status = {"state": {"status": "running"}, "conditions": conditions}
        shown[namespace, name] = [trim({"metadata": meta, "spec": {"connectorType": "ETHEREUM"}, "status": status})]
    cache = ClusterCache()
    cache.bind(shown, {}, {})
    registry = CollectorRegistry()
    registry.register(ConnectorSeries(cache, WorkQueue(), has_names=has_names))
    return registry


def measure(connectors: int, *, has_names: bool = True, unmet: int = 0) -> Cost:
    """The cost of a scrape."""
    registry = build_registry(connectors, has_names=has_names, unmet=unmet)
    write_text(registry)
    times = []
    for _ in range(SCRAPES):
        begun = time.process_time()
        text = write_text(registry)
        times.append(time.process_time() - begun)
    length, lines = len(text), text.count(b"\n")
    del text
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    write_text(registry)
    _, peak = tracemalloc.get_traced_memory()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Cost(statistics.median(times), length, lines, peak - before, after - before)


def main() -> None:
    """Prints a Markdown table."""
    print(
        "| connectors | names | conditions not met, each | processor, ms | answer, kB | memory while it is made, MB | kept, kB |"
    )
    print("|---|---|---|---|---|---|---|")
    for connectors in [int(text) for text in sys.argv[1:]] or [100, 1_000, 5_000]:
        for has_names, unmet in ((False, 0), (True, 0), (True, 1), (True, 3)):
            cost = measure(connectors, has_names=has_names, unmet=unmet)
            print(
                f"| {connectors:,} | {'yes' if has_names else 'no'} | {unmet} | {cost.seconds * 1000:.0f} | {cost.length / 1000:,.0f} "
                f"| {cost.peak / 1e6:.1f} | {cost.kept / 1000:.0f} |"
            )


if __name__ == "__main__":
    main()
