"""The table of the operator's metrics, read from what it serves."""

from __future__ import annotations

from pathlib import Path

import yaml

from connector_operator.cluster.cache import ClusterCache
from connector_operator.connector_series import PREFIX, ConnectorSeries
from connector_operator.engine.queue import WorkQueue
from connector_operator.metrics import REGISTRY
from generate.blocks import Blocks, table

RULES = Path(__file__).parents[1] / "manifests/monitoring/rules.yaml"
_SUFFIXES = {"counter": "_total", "histogram": "_bucket, _sum, _count"}


def build_operator_metrics() -> str:
    """All series of the operator; those of the Python process are left out."""
    series = ConnectorSeries(ClusterCache(), WorkQueue(), has_names=True)
    series.note_compared()
    metrics = [*REGISTRY.collect(), *series.collect()]
    ours = {metric.name: metric for metric in metrics if metric.name.startswith(PREFIX)}
    return table(
        ["metric", "type", "meaning"],
        [
            (f"`{name}{_SUFFIXES.get(metric.type, '')}`", metric.type, metric.documentation)
            for name, metric in sorted(ours.items())
        ],
    )


def build_alerts() -> str:
    """The alert rules of `manifests/monitoring`."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["spec"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return table(
        ["alert", "when", "for"],
        [(rule["alert"], f"`{rule['expr']}`", rule.get("for", "")) for rule in rules],
    )


BLOCKS: Blocks = {"operator metrics": build_operator_metrics, "alerts": build_alerts}
