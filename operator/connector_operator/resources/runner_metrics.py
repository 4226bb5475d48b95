"""What a runner's own metrics say of its execution, read from their text form. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from connector_operator.resources.names import LABEL_ROLE, LABEL_RUN, ROLE_RUNNER

_SERIES = re.compile(
    r"^(connector_rows_total|connector_lag_seconds|connector_commit_seconds_sum|connector_commit_seconds_count)(?:\{[^}]*\})? (\S+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a runner's metrics said.

    Attributes:
        rows: Committed since its start.
        lag: In seconds; None if it is not known.
        at: When, in seconds from any start.
        commits: Since its start.
        commit_seconds: What these commits took, together.
    """

    rows: float
    lag: float | None
    at: float
    commits: float = 0.0
    commit_seconds: float = 0.0


def parse_sample(text: str, at: float) -> Sample | None:
    """A runner's metrics; None if they are of something else."""
    found: dict[str, list[float]] = {}
    for name, value in _SERIES.findall(text):
        if (number := _number(value)) is not None:
            found.setdefault(name, []).append(number)
    if not found:
        return None
    lags = found.get("connector_lag_seconds")
    return Sample(
        sum(found.get("connector_rows_total", ())),
        lags[0] if lags else None,
        at,
        sum(found.get("connector_commit_seconds_count", ())),
        sum(found.get("connector_commit_seconds_sum", ())),
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def choose_running(pods: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Of one connector's pods the runner's that runs; of several that of the latest execution."""
    runners = (pod for pod in pods if (pod["metadata"].get("labels") or {}).get(LABEL_ROLE) == ROLE_RUNNER)
    running = (pod for pod in runners if (pod.get("status") or {}).get("phase") == "Running")
    return max(running, key=run_of, default=None)


def run_of(pod: Mapping[str, Any]) -> int:
    """The number of a pod's execution; 0 where it has none."""
    text = str((pod["metadata"].get("labels") or {}).get(LABEL_RUN) or "")
    return int(text) if text.isdecimal() else 0
