"""The dashboard: its panels have a place, and its queries ask for what is served."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest

from generate.monitoring.dashboard import COLUMNS, build_dashboard
from generate.monitoring.panels import QUERIES, Query
from tests.unit.operator.test_monitoring import served

DASHBOARD: dict[str, Any] = json.loads(build_dashboard())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
OF_PROMETHEUS = {"ALERTS", "process_resident_memory_bytes", "process_cpu_seconds_total"}
METRIC = re.compile(r"\b(?:connector_[a-z_]+|process_[a-z_]+|ALERTS)\b")
GROUPING = re.compile(r"by \(([a-z, ]+)\)")


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression[:60])
def test_a_query_asks_for_metrics_that_are_served(query: Query) -> None:
    asked = {name.removesuffix("_bucket") for name in METRIC.findall(query.expression)}
    assert asked
    assert asked <= served() | OF_PROMETHEUS


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression[:60])
def test_a_legend_names_labels_that_the_query_keeps(query: Query) -> None:
    shown = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
    kept = {label for group in GROUPING.findall(query.expression) for label in group.split(", ")}
    assert shown <= kept | ({"instance"} if "by (" not in query.expression else set())


def test_panels_have_numbers_and_places_of_their_own() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [panel["gridPos"] for panel in PANELS]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in combinations(places, 2):
        apart_across = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_down = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_across or apart_down


def test_every_panel_asks_the_chosen_prometheus_for_what_is_chosen() -> None:
    variables = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    used = re.findall(r"\$\{?(\w+)", json.dumps(PANELS))
    assert set(used) - {"__rate_interval", "__range", "__all", "labels"} == set(variables)
    for panel in PANELS:
        for target in panel.get("targets", ()):
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
