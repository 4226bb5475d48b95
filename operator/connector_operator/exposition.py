"""Metrics as text, for a scrape: what `prometheus_client` writes, byte for byte, in a third of the time where gauges have thousands of series.

The client checks and escapes each label's name again for every sample; the names here are the operator's own, and checked once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_PLAIN_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class _One(Collector):
    """A registry of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


def write_text(registry: Collector) -> bytes:
    """All series of a registry in Prometheus' text format (0.0.4)."""
    return b"".join(_write_gauge(family) or generate_latest(_One(family)) for family in registry.collect())


def _write_gauge(family: Metric) -> bytes:
    """A family of gauges; empty if it has anything that only the client knows how to write."""
    name = family.name
    if family.type != "gauge" or not _PLAIN_NAME.fullmatch(name):
        return b""
    lines = [f"# HELP {name} {_escape(family.documentation)}\n# TYPE {name} gauge\n"]
    names: tuple[str, ...] = ()
    order: list[str] = []
    values: dict[str, str] = {}
    numbers: dict[float, str] = {}
    for sample in family.samples:
        labels = sample.labels
        if tuple(labels) != names:
            names = tuple(labels)
            order = sorted(names)
            if not all(map(_PLAIN_NAME.fullmatch, names)):
                return b""
        if sample.timestamp is not None or sample.name != name:
            return b""
        parts = []
        for label in order:
            value = labels[label]
            text = values.get(value)
            if text is None:
                text = values[value] = _escape(value).replace('"', r"\"")
            parts.append(f'{label}="{text}"')
        number = numbers.get(sample.value)
        if number is None or not sample.value:  # 0.0 and -0.0 are equal, and written differently
            number = numbers[sample.value] = floatToGoString(sample.value)  # type: ignore[no-untyped-call]
        lines.append(f"{name}{{{','.join(parts)}}} {number}\n" if parts else f"{name} {number}\n")
    return "".join(lines).encode()


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")
