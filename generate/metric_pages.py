"""The table of the operator's metrics, read from what it serves."""

from __future__ import annotations

from connector_operator.cluster.cache import ClusterCache
from connector_operator.connector_series import PREFIX, ConnectorSeries
from connector_operator.engine.queue import WorkQueue
from connector_operator.metrics import REGISTRY
from generate.blocks import Blocks, table

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


BLOCKS: Blocks = {"operator metrics": build_operator_metrics}
