"""The table of the operator's metrics, read from what it serves."""

from __future__ import annotations

import re

from connector_operator.cluster.cache import ClusterCache
from connector_operator.connector_series import PREFIX, ConnectorSeries
from connector_operator.engine.queue import WorkQueue
from connector_operator.metrics import REGISTRY
from generate.blocks import Blocks, table
from generate.monitoring.alerts import ALERTS, CONNECTOR

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


def build_alert_table() -> str:
    """The alerts, each with an anchor, what it says and what helps."""
    return table(
        ["alert", "when", "for", "what it says"],
        [
            (
                f'<a id="{alert.name.lower()}"></a>{alert.name}',
                f"`{alert.expression}`",
                alert.wait,
                _plain(alert.summary),
            )
            for alert in ALERTS
        ],
    )


def _plain(text: str) -> str:
    """A text of an alert with words for what Prometheus fills in."""
    text = text.replace(CONNECTOR, "*namespace/name*").replace("{{ $value | humanizeDuration }}", "*so long*")
    return re.sub(r"\{\{ range .*?\{\{ end \}\}", "*reason*", text)


BLOCKS: Blocks = {"operator metrics": build_operator_metrics, "alerts": build_alert_table}
