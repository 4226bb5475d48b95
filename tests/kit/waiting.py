"""Waiting for a condition, with a deadline that says what was waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

DEADLINE = 60.0


async def until(
    condition: Callable[[], Any], what: str, seconds: float = DEADLINE, *, task: asyncio.Task[Any] | None = None,
    pause: float = 0.01, blocks: bool = False,
) -> Any:  # fmt: skip
    """Polls until the condition holds, and returns what it gave.

    Args:
        condition: Asked again and again.
        what: For the message.
        seconds: Until when.
        task: Must not end meanwhile; what it failed with is raised.
        pause: Seconds between two looks.
        blocks: The condition does blocking I/O: it is asked in a thread.
    """
    end = time.monotonic() + seconds
    while not (value := await asyncio.to_thread(condition) if blocks else condition()):
        if task is not None and task.done():
            task.result()
            raise AssertionError(f"it ended while waiting: {what}")
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(pause)
    return value


def wait_until(
    condition: Callable[[], Any], what: str | Callable[[], str], seconds: float = DEADLINE, *,
    check: Callable[[], None] = lambda: None, ignoring: tuple[type[Exception], ...] = (), pause: float = 0.005,
) -> Any:  # fmt: skip
    """The same where nothing else runs.

    Args:
        condition: Asked again and again.
        what: For the message; may be made when it is needed.
        seconds: Until when.
        check: Raises when waiting is in vain.
        ignoring: What the condition may raise as long as it does not hold; the last one is told.
        pause: Seconds between two looks.
    """
    end = time.monotonic() + seconds
    while True:
        last: object
        try:
            if last := condition():
                return last
        except ignoring as error:
            last = error
        check()
        if time.monotonic() > end:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds:.0f} s: {text}; last: {last!r}")
        time.sleep(pause)
