"""The alerts and pod monitors speak of what is served, under the names that it has."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from connector_operator.cluster.cache import ClusterCache
from connector_operator.connector_series import ConnectorSeries
from connector_operator.decide import rollout
from connector_operator.decide.conditions import CONDITIONS
from connector_operator.engine.queue import WorkQueue
from connector_operator.metrics import REGISTRY
from connector_operator.resources.reasons import Reason
from connector_operator.workloads.hints import build_scrape_hints
from connector_operator.workloads.jobs import build_labels
from connector_runner.pipeline.health import Health
from connector_runner.pipeline.metrics import PrometheusMeters
from connector_runner.pipeline.queue import BatchQueue, Limits
from connector_runner.schemas.kinds.connector import ConnectorSpec
from generate.files import ROOT

MONITORING = ROOT / "manifests/monitoring"
GROUPS = {
    group["name"]: group["rules"] for group in yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]["groups"]
}
RULES = [rule for rules in GROUPS.values() for rule in rules]
MONITORS = {
    m["metadata"]["name"]: m["spec"] for m in yaml.safe_load_all((MONITORING / "pod-monitors.yaml").read_text())
}


def served() -> set[str]:
    """The names of all metrics of operator and runner, as they are scraped."""
    series = ConnectorSeries(ClusterCache(), WorkQueue(), has_names=True)
    series.note_compared()
    meters = PrometheusMeters()
    meters.watch(BatchQueue(Limits()), Health())
    metrics = [*REGISTRY.collect(), *series.collect(), *meters.registry.collect()]
    return {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in metrics}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_are_served(rule: dict[str, Any]) -> None:
    asked = set(re.findall(r"connector_[a-z_]+", rule["expr"] + str(rule["annotations"])))
    assert asked
    assert asked <= served()
    assert set(re.findall(r'reason!?="(\w+)"', rule["expr"])) <= {reason.value for reason in Reason}
    conditions = {kind.type for kind in CONDITIONS} | {kind.type for kind in rollout.CONDITIONS}
    assert set(re.findall(r'condition="(\w+)"', str(rule))) <= conditions


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_names_the_connector_and_a_page_that_there_is(rule: dict[str, Any]) -> None:
    if rule not in GROUPS["connector-operator"]:
        assert "{{ $labels.namespace }}/{{ $labels.name }}" in rule["annotations"]["summary"]
        assert "by (namespace, name" in rule["expr"]  # it outlives a change of pod
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    text = (ROOT / page).read_text()
    anchors = [reason.lower() for reason in Reason] if "{{" in anchor else [anchor] if anchor else []
    assert all(f'<a id="{one}"></a>' in text for one in anchors)


def test_the_pod_monitors_find_the_pods_and_their_ports() -> None:
    deployment = yaml.safe_load((ROOT / "manifests/base/deployment.yaml").read_text())["spec"]["template"]
    operator = MONITORS["connector-operator"]
    assert operator["selector"]["matchLabels"].items() <= deployment["metadata"]["labels"].items()
    ports = {port["name"] for port in deployment["spec"]["containers"][0]["ports"]}
    assert {endpoint["port"] for endpoint in operator["podMetricsEndpoints"]} <= ports
    runner = MONITORS["connector-runners"]
    labels = build_labels("orders", "runner", 1)
    assert runner["selector"]["matchLabels"].items() <= labels.items()
    hints = build_scrape_hints(ConnectorSpec(connector_type="COINBASE", selected_stream="ticker"))
    known = {f"__meta_kubernetes_pod_label_{re.sub(r'[./-]', '_', label)}" for label in labels}
    known |= {f"__meta_kubernetes_pod_annotation_{re.sub(r'[./-]', '_', name)}" for name in hints}
    relabelings = runner["podMetricsEndpoints"][0]["relabelings"]
    assert {source for one in relabelings for source in one["sourceLabels"]} <= known
    assert {one["targetLabel"] for one in relabelings} == {"name", "stream"}
    api = yaml.safe_load((ROOT / "manifests/api/deployment.yaml").read_text())["spec"]["template"]
    assert MONITORS["connectors-api"]["selector"]["matchLabels"].items() <= api["metadata"]["labels"].items()
    served_at = {port["name"]: str(port["containerPort"]) for port in api["spec"]["containers"][0]["ports"]}
    (endpoint,) = MONITORS["connectors-api"]["podMetricsEndpoints"]
    assert served_at[endpoint["port"]] == api["metadata"]["annotations"]["prometheus.io/port"]
