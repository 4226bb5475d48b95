"""Waits for a condition, with a deadline whose message says what was expected."""

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
    """Polls until the condition holds, and returns its result.

    Args:
        condition: Called repeatedly.
        what: What is expected, for the message.
        seconds: The deadline, from now.
        task: Must not end meanwhile; if it fails, its error is raised.
        pause: Seconds between two calls.
        blocks: Whether the condition does blocking I/O: then it is called in a thread.
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
    """The same for code without an event loop.

    Args:
        condition: Called repeatedly.
        what: What is expected, for the message; may be a function that is called when needed.
        seconds: The deadline, from now.
        check: Raises if waiting has become useless.
        ignoring: Exceptions that the condition may raise as long as it does not hold; the message contains the last one.
        pause: Seconds between two calls.
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
