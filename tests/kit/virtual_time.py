"""An event loop whose clock does not wait: when nothing can be done, it moves on to the next timer.

For what waits for a network most of the time: how long that takes is computed instead of measured, whatever the machine does meanwhile. Sockets are
real; both ends must be in this loop. `time.monotonic` and `time.time` are not changed.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LOOPBACK_SECONDS = 0.001
"""Real seconds for bytes that were written to reach the other end, before the clock moves on."""


class _Selector(selectors.DefaultSelector):
    """Waits in virtual time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None and timeout <= 0 else LOOPBACK_SECONDS)
        if ready or timeout is None:
            return ready
        self.now += max(0.0, timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual.now


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine in virtual time; returns its result."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
