"""`top`: figures from metrics, statuses and pods, as far as they are there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_operator.kubectl.usage import (
    build_load,
    build_load_cells,
    build_load_document,
    choose_pods,
    explain_unreached,
    parse_quantity,
    read_usage,
    sort_loads,
)
from connector_operator.resources.runner_metrics import Sample, parse_sample
from connector_runner.schemas.manifest import PROBE_PORT
from tests.unit.kubectl.objects import connector

METRICS = """# TYPE connector_rows_total counter
connector_rows_total{operation="upsert"} 90.0
connector_rows_total{operation="delete"} 10.0
connector_rows_created{operation="upsert"} 1.7e+09
connector_lag_seconds 2.5
"""


def pod(name: str, run: str, phase: str = "Running", namespace: str = "shop") -> dict[str, Any]:
    labels = {"apperate.io/connector": name, "apperate.io/run": run}
    return {"metadata": {"name": f"{name}-{run}", "namespace": namespace, "labels": labels}, "status": {"phase": phase}}


def test_rates_are_those_between_two_looks_at_the_metrics() -> None:
    first = parse_sample(METRICS, 10.0)
    assert first == Sample(100.0, 2.5, 10.0)
    load = build_load(connector(), [first, Sample(160.0, 1.0, 12.0)], {("shop", "trades"): (0.25, 64 * 2.0**20)})
    assert build_load_cells(load, with_namespace=True) == (
        "shop",
        "trades",
        "30",
        "1s",
        "160",
        "250m",
        "64Mi",
        "metrics",
    )
    assert build_load_document(load)["rowsPerSecond"] == 30
    restarted = build_load(connector(), [first, Sample(5.0, None, 12.0)], {})
    assert (restarted.rows_per_second, restarted.lag) == (0, None)


def test_without_metrics_the_status_counts_and_what_is_absent_is_a_dash() -> None:
    made = connector(progress={"rows": 1200, "rowsPerMinute": 600, "lagSeconds": 4})
    assert build_load_cells(build_load(made, [None, None], {}), with_namespace=False) == (
        "trades", "10", "4s", "1,200", "-", "-", "status",
    )  # fmt: skip
    earlier = build_load(connector(), [], {})
    assert build_load_cells(earlier, with_namespace=False) == ("trades", "-", "-", "-", "-", "-", "-")


def test_the_busiest_come_first_and_of_two_pods_that_of_the_latest_execution_counts() -> None:
    loads = [
        build_load(connector(name, progress={"rowsPerMinute": rate}), [], {})
        for name, rate in (("a", 60), ("b", 600), ("c", 0))
    ]
    assert [load.name for load in sort_loads(loads)] == ["b", "a", "c"]
    chosen = choose_pods(
        [pod("trades", "10"), pod("trades", "9"), pod("trades", "11", "Pending"), pod("x", "1", namespace="b")]
    )
    assert {key: found["metadata"]["name"] for key, found in chosen.items()} == {
        ("shop", "trades"): "trades-10",
        ("b", "x"): "x-1",
    }


def test_usage_is_that_of_our_container() -> None:
    containers = [
        {"name": "proxy", "usage": {"cpu": "1"}},
        {"name": "runner", "usage": {"cpu": "12345678n", "memory": "65536Ki"}},
    ]
    listed = {"items": [{**pod("trades", "1"), "containers": containers}]}
    assert read_usage(listed) == {("shop", "trades"): (pytest.approx(0.0123, rel=0.01), 64 * 2.0**20)}  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("text", "value"), [("250m", 0.25), ("2", 2.0), ("1Gi", 2.0**30), ("5k", 5e3), ("", None), ("1e3x", None)]
)
def test_quantities(text: str, value: float | None) -> None:
    assert parse_quantity(text) == value


@given(st.text())
def test_what_is_no_metric_of_a_runner_is_left_out(text: str) -> None:
    assert parse_sample(text, 0.0) is None or "connector_" in text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_status_is_shown(progress: Any) -> None:
    cells = build_load_cells(
        build_load({"metadata": {"name": "a"}, "status": {"progress": progress}}, [], {}), with_namespace=True
    )
    assert len(cells) == 8


def test_an_address_that_the_api_server_does_not_ask_is_explained() -> None:
    assert explain_unreached("no answer") == "no answer"
    said = explain_unreached("The API server refuses to get pods/proxy (400): address not allowed")
    assert said.startswith(
        "The API server refuses to get pods/proxy (400): address not allowed. The API server asks no pod"
    )
    assert f":{PROBE_PORT}/metrics" in said
