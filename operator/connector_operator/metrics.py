"""What the operator counts, for Prometheus. Labels are bounded; series with names of connectors: `connector_series`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

from connector_operator.exposition import write_text

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

API_REQUESTS = Counter(
    "connector_operator_api_requests",
    "Requests to the Kubernetes API.",
    ("verb", "resource", "code"),
    registry=REGISTRY,
)
DECISIONS = Counter("connector_operator_decisions", "Decisions by row of the table.", ("row",), registry=REGISTRY)
FAILURES = Counter("connector_operator_failures", "Visits that ended with an error.", ("reason",), registry=REGISTRY)
VISIT_SECONDS = Histogram(
    "connector_operator_visit_seconds",
    "How long one visit of one connector takes.",
    registry=REGISTRY,
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30),
)
QUEUE_LENGTH = Gauge("connector_operator_queue_length", "Keys that wait for a worker.", registry=REGISTRY)
DISCOVERIES = Gauge("connector_operator_discoveries_active", "Discoveries that are running.", registry=REGISTRY)
IS_LEADER = Gauge("connector_operator_leader", "1 when this process is the active operator.", registry=REGISTRY)
DEFAULTS_VALID = Gauge(
    "connector_operator_runner_defaults_valid",
    "1 when the file of runners' defaults is good (or there is none), 0 when its last good form counts.",
    registry=REGISTRY,
)
RUNNER_UPDATES = Gauge(
    "connector_operator_runner_updates",
    "Connectors by how they stand to the runner's image: current, waiting, updating, failed (stops the roll-out), held, on_restart.",
    ("state",),
    registry=REGISTRY,
)
UNSERVED = Gauge(
    "connector_operator_unserved_namespaces", "Namespaces of --namespaces that can't be watched.", registry=REGISTRY
)


def render_metrics() -> bytes:
    """The text format of Prometheus."""
    return write_text(REGISTRY)
