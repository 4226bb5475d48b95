"""The operator's own writer of metrics gives what the client gives."""

from __future__ import annotations

import re
import string

from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from benchmarks.metrics_at_scale import build_registry
from connector_operator.exposition import write_text
from connector_operator.metrics import REGISTRY

TEXTS = st.text(alphabet=st.characters(codec="utf-8")) | st.sampled_from(['"', "\\", "\n", "é", "a\\nb", ""])
NUMBERS = st.floats() | st.integers(-(10**9), 10**9) | st.booleans()


@example("", [("a", "", 0.0), ("b", "", -0.0), ("c", "", 0.0)], -0.0)
@given(st.text(string.ascii_letters + '\\"\n é'), st.lists(st.tuples(TEXTS, TEXTS, NUMBERS), max_size=5), NUMBERS)
def test_it_is_what_the_client_writes(about: str, series: list[tuple[str, str, float]], alone: float) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("some_gauge", about, ("z", "a"), registry=registry)
    for first, second, number in series:
        gauge.labels(first, second).set(number)
    Gauge("without_labels", about, registry=registry).set(alone)
    counter = Counter("some_counter", about, ("kind",), registry=registry)
    counter.labels("x").inc(3)
    Histogram("some_histogram", about, registry=registry).observe(0.2)
    assert write_text(registry) == generate_latest(registry)


def test_it_is_what_the_client_writes_of_a_fleet() -> None:
    registry = build_registry(50, has_names=True, unmet=3)
    assert write_text(registry) == generate_latest(registry)


def test_it_is_what_the_client_writes_of_the_operator() -> None:
    """But for the figures of the process itself, which go on."""

    def without_process(text: bytes) -> list[str]:
        return re.findall(r"^(?!process_).*$", text.decode(), flags=re.MULTILINE)

    assert without_process(write_text(REGISTRY)) == without_process(generate_latest(REGISTRY))
