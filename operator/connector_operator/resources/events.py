"""Events as values: what keeps a Job or pod from starting, and what those that make nodes say of a pod."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from connector_operator.resources.times import parse_time

EventMessage = tuple[str, str]
"""Which Job or pod an event is about, by name, and its message."""
_NO_CAUSE = frozenset({"DeadlineExceeded", "BackoffLimitExceeded", "PodFailurePolicy"})
"""Warnings that tell of a Job's end, not of why it has no pod."""
_SIGNS = {
    ("TriggeredScaleUp", ""): True,
    ("NotTriggerScaleUp", ""): False,
    ("Nominated", "karpenter"): True,
    ("FailedScheduling", "karpenter"): False,
}
"""By reason and reporter ("" for any): whether a node is coming. The events of cluster-autoscaler and of Karpenter."""


class NodeSign(msgspec.Struct, frozen=True):
    """What something that makes nodes on demand says of a pod that no node takes.

    Attributes:
        pod: By name.
        is_coming: A node is being made for it; else none will be.
        message: Its own words.
        first, last: When it said so for the first and for the last time.
    """

    pod: str
    is_coming: bool
    message: str
    first: datetime
    last: datetime


class ObservedEvent(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        subject: Which Job or pod it is about, by name.
        reporter: The component that says so.
        first, last: When it was said for the first and for the last time; None when the event has no time.
    """

    subject: str
    reason: str
    reporter: str
    message: str
    is_warning: bool
    first: datetime | None
    last: datetime | None

    @property
    def tells_cause(self) -> bool:
        """Whether it is a warning that may say why something does not start."""
        return self.is_warning and self.reason not in _NO_CAUSE

    @property
    def sign(self) -> NodeSign | None:
        """What it says of a node that is made on demand; None where it says nothing of that."""
        is_coming = _SIGNS.get((self.reason, self.reporter), _SIGNS.get((self.reason, "")))
        if is_coming is None or self.first is None or self.last is None:
            return None
        return NodeSign(self.subject, is_coming, self.message, self.first, self.last)


def read_event(raw: Mapping[str, Any]) -> ObservedEvent:
    """A raw event, of the old recorder or of the new one, as a value; missing parts count as absent."""
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
