"""What the metrics of a thousand connectors cost: the same whatever machine this is, so memory and length, not time."""

from __future__ import annotations

from benchmarks.metrics_at_scale import measure


def test_a_scrape_of_a_thousand_connectors_takes_little_memory_and_keeps_none() -> None:
    cost = measure(1_000, unmet=1)
    assert cost.peak < 20_000_000
    assert cost.kept < 100_000
    assert cost.length < 1_000_000


def test_a_connector_without_faults_has_three_series() -> None:
    more, less = measure(20), measure(10)
    assert (more.lines - less.lines) / 10 == 3
