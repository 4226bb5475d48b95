"""Events as values: what keeps a Job or pod from starting, and what node autoscalers report about a pod."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from connector_operator.resources.times import parse_time

EventMessage = tuple[str, str]
"""The name of the Job or pod that an event is about, and its message."""
_NO_CAUSE = frozenset({"DeadlineExceeded", "BackoffLimitExceeded", "PodFailurePolicy"})
"""Warnings that report the end of a Job, not why it has no pod."""
_SIGNS = {
    ("TriggeredScaleUp", ""): True,
    ("NotTriggerScaleUp", ""): False,
    ("Nominated", "karpenter"): True,
    ("FailedScheduling", "karpenter"): False,
}
"""Whether a node is coming, by reason and reporter ("" for any): the events of cluster-autoscaler and of Karpenter."""


class NodeSign(msgspec.Struct, frozen=True):
    """What a node autoscaler reports about an unschedulable pod.

    Attributes:
        pod: The pod's name.
        is_coming: A node is being created for it; otherwise none will be.
        message: The event's message.
        first, last: When it was reported for the first and for the last time.
    """

    pod: str
    is_coming: bool
    message: str
    first: datetime
    last: datetime


class ObservedEvent(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        subject: The name of the Job or pod that it is about.
        reporter: The component that reports it.
        first, last: When it was reported for the first and for the last time; None when the event has no time.
    """

    subject: str
    reason: str
    reporter: str
    message: str
    is_warning: bool
    first: datetime | None
    last: datetime | None

    @property
    def names_cause(self) -> bool:
        """Whether it is a warning that may explain why something does not start."""
        return self.is_warning and self.reason not in _NO_CAUSE

    @property
    def sign(self) -> NodeSign | None:
        """What it reports about a node that is created on demand; None if it reports nothing about that."""
        is_coming = _SIGNS.get((self.reason, self.reporter), _SIGNS.get((self.reason, "")))
        if is_coming is None or self.first is None or self.last is None:
            return None
        return NodeSign(self.subject, is_coming, self.message, self.first, self.last)


def read_event(raw: Mapping[str, Any]) -> ObservedEvent:
    """A raw event, of the old or the new event API, as a value; missing parts count as absent."""
    series = raw.get("series") or {}
    first = raw.get("firstTimestamp") or raw.get("eventTime")
    last = series.get("lastObservedTime") or raw.get("lastTimestamp") or first
    return ObservedEvent(
        subject=(raw.get("involvedObject") or {}).get("name", ""),
        reason=raw.get("reason") or "",
        reporter=(raw.get("source") or {}).get("component") or raw.get("reportingComponent") or "",
        message=raw.get("message") or "",
        is_warning=raw.get("type") == "Warning",
        first=parse_time(first or last),
        last=parse_time(last),
    )


def read_events(raws: Iterable[Mapping[str, Any]]) -> list[ObservedEvent]:
    """Raw events as values, the latest last; those without a time come first."""
    events = [read_event(raw) for raw in raws]
    return sorted(events, key=lambda event: event.last.timestamp() if event.last is not None else 0.0)
