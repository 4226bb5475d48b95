"""Records what a source reports."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from connector_runner.protocols.source import StreamState


class RecordingReport:
    """A `Report` that stores all calls and checks the protocol's promises for each.

    Args:
        unit: The expected unit of progress; None for any.

    Attributes:
        counts: Counts by name; 0 for a name that was never counted.
        losses: Messages of lost connections and notes, in order.
        lags: Seconds, in order.
        steps: Progress as (done, total).
        is_connected: The last reported value.
        states: Stream → its last state, and the reason of a failure.
    """

    def __init__(self, unit: str | None = None) -> None:
        self._unit = unit
        self.counts: Counter[str] = Counter()
        self.losses: list[str] = []
        self.lags: list[float] = []
        self.steps: list[tuple[int, int | None]] = []
        self.is_connected = False
        self.states: dict[str, tuple[StreamState, str]] = {}

    def connected(self) -> None:
        self.is_connected = True

    def disconnected(self, message: str) -> None:
        self.is_connected = False
        self.losses.append(message)

    def lag(self, seconds: float) -> None:
        assert seconds >= 0
        self.lags.append(seconds)

    def progress(self, done: int, total: int | None, unit: str, stream: str = "") -> None:
        assert done >= 0  # `total` is an estimate
        assert self._unit in {None, unit}
        self.steps.append((done, total))

    def count(self, name: str, amount: int = 1) -> None:
        assert re.fullmatch(r"[a-z][a-z_]*", name)
        self.counts[name] += amount

    def note(self, message: str, **fields: Any) -> None:
        self.losses.append(message)

    def stream(self, stream: str, state: StreamState, reason: str = "", message: str = "") -> None:
        assert bool(reason) == (state is StreamState.FAILED)
        self.states[stream] = (state, reason)
