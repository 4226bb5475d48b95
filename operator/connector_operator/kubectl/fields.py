"""Reading a Connector as the API server returns it: any field may be absent or of another version. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from connector_operator.resources.times import parse_time

Object = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as JSON."""

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


def find(of: Object, *path: str) -> Any:
    """The value at a path; None if any part of it is absent."""
    value: Any = of
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def find_text(of: Object, *path: str) -> str:
    """The value as a text on one line; "" if it is absent."""
    value = find(of, *path)
    return "" if value is None else " ".join(str(value).split())


def find_objects(of: Object, *path: str) -> list[Object]:
    """The objects of a list; none if it is absent."""
    value = find(of, *path)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def find_texts(of: Object, *path: str) -> list[str]:
    """The texts of a list; none if it is absent."""
    value = find(of, *path)
    return [str(item) for item in value] if isinstance(value, list) else []


def find_count(of: Object, *path: str) -> int:
    """The number at a path; 0 if it is absent."""
    value = find(of, *path)
    return value if isinstance(value, int) else 0


def find_condition(connector: Object, kind: str) -> Object:
    """A condition of the status; empty if it is absent."""
    conditions = find_objects(connector, "status", "conditions")
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def is_observed(connector: Object) -> bool:
    """Whether the status is about the present spec."""
    return find_count(connector, "status", "observedGeneration") >= find_count(connector, "metadata", "generation")


def describe_selection(connector: Object) -> str:
    """The selected stream, or how many are selected; before that is known, what the spec says."""
    text = find_text(connector, "status", "selection", "text") or find_text(connector, "spec", "selectedStream")
    return text or ", ".join(find_texts(connector, "spec", "streams", "include"))


def describe_age(since: str, now: datetime) -> str:
    """How long ago a time was, as `kubectl get` shows an age: 5s, 12m, 3h, 4d; "" if it is absent or no time."""
    moment = parse_time(since)
    if moment is None:
        return ""
    seconds = max(0, int((now - moment).total_seconds()))
    return next((f"{seconds // size}{unit}" for unit, size in _UNITS if seconds >= 2 * size), f"{seconds}s")


def describe_time(since: str, now: datetime) -> str:
    """A time and how long ago it was, or in how long it will be."""
    moment = parse_time(since)
    if moment is None:
        return since
    if moment > now:
        return f"{since} (in {int((moment - now).total_seconds())}s)"
    return f"{since} ({describe_age(since, now)} ago)"
