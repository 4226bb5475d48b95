"""The alerts and pod monitors speak of what is served, under the names that it has."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from connector_operator.cluster.cache import ClusterCache
from connector_operator.connector_series import ConnectorSeries
from connector_operator.engine.queue import WorkQueue
from connector_operator.metrics import REGISTRY
from connector_operator.resources.reasons import Reason
from connector_operator.workloads.jobs import build_labels
from connector_runner.pipeline.metrics import PrometheusMeters
from generate.files import ROOT

MONITORING = ROOT / "manifests/monitoring"
RULES = [
    rule
    for group in yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]["groups"]
    for rule in group["rules"]
]
MONITORS = {
    m["metadata"]["name"]: m["spec"] for m in yaml.safe_load_all((MONITORING / "pod-monitors.yaml").read_text())
}


def served() -> set[str]:
    """The names of all metrics of operator and runner, as they are scraped."""
    series = ConnectorSeries(ClusterCache(), WorkQueue(), has_names=True)
    series.note_compared()
    metrics = [*REGISTRY.collect(), *series.collect(), *PrometheusMeters().registry.collect()]
    return {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in metrics}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_are_served(rule: dict[str, Any]) -> None:
    asked = set(re.findall(r"connector_[a-z_]+", rule["expr"] + str(rule["annotations"])))
    assert asked
    assert asked <= served()
    assert set(re.findall(r'reason="(\w+)"', rule["expr"])) <= {reason.value for reason in Reason}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_names_the_connector_and_a_page_that_there_is(rule: dict[str, Any]) -> None:
    if "connector_operator_connector" in rule["expr"] or not rule["expr"].startswith(("connector_operator", "absent")):
        assert "{{ $labels.namespace }}/{{ $labels.name }}" in rule["annotations"]["summary"]
    assert (ROOT / rule["annotations"]["runbook"]).exists()


def test_the_pod_monitors_find_the_pods_and_their_ports() -> None:
    deployment = yaml.safe_load((ROOT / "manifests/base/deployment.yaml").read_text())["spec"]["template"]
    operator = MONITORS["connector-operator"]
    assert operator["selector"]["matchLabels"].items() <= deployment["metadata"]["labels"].items()
    ports = {port["name"] for port in deployment["spec"]["containers"][0]["ports"]}
    assert {endpoint["port"] for endpoint in operator["podMetricsEndpoints"]} <= ports
    runner = MONITORS["connector-runners"]
    labels = build_labels("orders", "runner", 1)
    assert runner["selector"]["matchLabels"].items() <= labels.items()
    (relabeling,) = runner["podMetricsEndpoints"][0]["relabelings"]
    (source,) = relabeling["sourceLabels"]
    assert source.removeprefix("__meta_kubernetes_pod_label_") in {re.sub(r"[./-]", "_", label) for label in labels}
