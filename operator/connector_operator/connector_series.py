"""Metrics that are computed when they are scraped, from what the watches show: connectors by name and state, the queue's age.

A series goes with its object. With names, each Connector has three series (ready, stalled, reason), and one more for each other condition
that is not met; `benchmarks/metrics_at_scale.py` says what they cost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from connector_operator.cluster.cache import ClusterCache
from connector_operator.engine.queue import WorkQueue
from connector_operator.resources.reasons import Reason
from connector_runner.schemas.kinds.connector_status import STATES

PREFIX = "connector_operator_"
OBJECT = ("namespace", "name", "type")
SUMMARIES = ("Ready", "Reconciling", "Stalled")
"""Conditions that say how an object does as a whole; all others are about a part of it."""

EMPTY_REASONS = (Reason.NO_EXECUTION, Reason.NOT_TRIED)
"""Reasons of conditions that are Unknown because there is nothing yet that they could be about."""


class Standing(NamedTuple):
    """How a Connector stands, by its status."""

    state: str
    ready: bool
    stalled: bool
    reason: str


def read_standing(raw: Mapping[str, Any]) -> Standing:
    """Reads it from a Connector; one without a status is pending and not ready, without a reason."""
    status = raw.get("status") or {}
    conditions = {condition.get("type"): condition for condition in status.get("conditions") or ()}
    ready, stalled = conditions.get("Ready", {}), conditions.get("Stalled", {})
    return Standing(
        (status.get("state") or {}).get("status") or "pending",
        ready.get("status") == "True",
        stalled.get("status") == "True",
        ready.get("reason", ""),
    )


def read_unmet(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Type and reason of what a Connector's or a Dataset's Ready does not say: parts that are False, or Unknown although they could be known.

    Parts with the same reason as a Ready that is False are left out, so that a broken fleet does not have many times the series.
    """
    conditions = (raw.get("status") or {}).get("conditions") or ()
    covered = {one.get("reason") for one in conditions if one.get("type") == "Ready" and one.get("status") == "False"}
    for condition in conditions:
        kind, reason = condition.get("type", ""), condition.get("reason", "")
        is_unmet = condition.get("status") != "True" and kind not in SUMMARIES
        if is_unmet and reason not in covered and reason not in EMPTY_REASONS:
            yield kind, reason


class ConnectorSeries(Collector):
    """The active operator's series about its connectors.

    Args:
        cache: What the watches show.
        queue: The keys that wait for a worker.
        has_names: Whether each Connector has series of its own.
        resync: Seconds between comparisons of what the watches show with what the API server lists.
        clock: Seconds, from any start.
    """

    def __init__(
        self,
        cache: ClusterCache,
        queue: WorkQueue,
        *,
        has_names: bool,
        resync: float = 600,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._has_names = has_names
        self._resync = resync
        self._clock = clock
        self._compared: float | None = None

    def note_compared(self) -> None:
        """What the watches show was compared with what the API server lists."""
        self._compared = self._clock()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All series, as they are now."""
        yield from self._connectors()
        if self._has_names:
            yield self._datasets()
            yield build_remedies()
        yield GaugeMetricFamily(
            f"{PREFIX}queue_age_seconds", "How long the oldest key has waited for a worker.", self._queue.oldest_age()
        )
        yield GaugeMetricFamily(
            f"{PREFIX}resync_seconds",
            "How often what the watches show is compared with what the API server lists.",
            self._resync,
        )
        if self._compared is not None:
            yield GaugeMetricFamily(
                f"{PREFIX}watch_age_seconds",
                "Seconds since what the watches show was last compared with what the API server lists.",
                self._clock() - self._compared,
            )

    def _connectors(self) -> Iterator[GaugeMetricFamily]:
        states: Counter[str] = Counter()
        ready = GaugeMetricFamily(f"{PREFIX}connector_ready", "Whether the Connector is Ready.", labels=OBJECT)
        stalled = GaugeMetricFamily(f"{PREFIX}connector_stalled", "Whether only a person can help it.", labels=OBJECT)
        reason = GaugeMetricFamily(
            f"{PREFIX}connector_reason", "1 for the reason of its condition Ready.", labels=(*OBJECT, "reason")
        )
        unmet = GaugeMetricFamily(
            f"{PREFIX}connector_condition_unmet",
            "1 for each condition about a part that is False or Unknown for another reason than Ready, with its reason.",
            labels=(*OBJECT, "condition", "reason"),
        )
        for key in self._cache.connector_keys():
            raw = self._cache.connector(key) or {}
            standing = read_standing(raw)
            states[standing.state] += 1
            if self._has_names:
                labels = (key.namespace, key.name, str((raw.get("spec") or {}).get("connectorType", "")))
                ready.add_metric(labels, standing.ready)
                stalled.add_metric(labels, standing.stalled)
                reason.add_metric((*labels, standing.reason), 1)
                for condition in read_unmet(raw):
                    unmet.add_metric((*labels, *condition), 1)
        by_state = GaugeMetricFamily(f"{PREFIX}connectors", "Connectors by state.", labels=("state",))
        for state in STATES:
            by_state.add_metric((state,), states[state])
        yield by_state
        if self._has_names:
            yield from (ready, stalled, reason, unmet)

    def _datasets(self) -> GaugeMetricFamily:
        unmet = GaugeMetricFamily(
            f"{PREFIX}dataset_condition_unmet",
            "1 for each condition about a part of a Dataset that is False or Unknown for another reason than Ready, with its reason.",
            labels=("namespace", "name", "condition", "reason"),
        )
        for namespace in dict.fromkeys(key.namespace for key in self._cache.dataset_keys()):
            for name, raw in self._cache.datasets(namespace).items():
                for condition in read_unmet(raw):
                    unmet.add_metric((namespace, name, *condition), 1)
        return unmet


def build_remedies() -> GaugeMetricFamily:
    """Each reason with its meaning and remedy, so that an alert's text can say them: the same lines whatever there is."""
    remedies = GaugeMetricFamily(
        f"{PREFIX}reason_info",
        "1 for each reason, with its meaning and remedy as labels.",
        labels=("reason", "meaning", "remedy"),
    )
    for reason in Reason:
        remedies.add_metric((reason.value, reason.meaning, reason.remedy), 1)
    return remedies
