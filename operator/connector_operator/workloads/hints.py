"""Annotations of a runner's pod for scrapers that find pods by them. They are in no hash: a running execution is not replaced for them."""

from __future__ import annotations

from connector_operator.resources import names
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.manifest import PROBE_PORT


def build_scrape_hints(spec: ConnectorSpec) -> dict[str, str]:
    """Where the metrics are; and the stream, if it is a single one."""
    hints = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PROBE_PORT)}
    return hints if spec.streams is not None else {**hints, names.ANNOTATION_STREAM: spec.selected_stream}
