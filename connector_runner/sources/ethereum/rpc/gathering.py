"""Runs several requests concurrently; when one fails, none is left running."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")


async def gather_all(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Returns all results, in order. On the first failure the others are cancelled; it is raised when they have ended.

    `asyncio.gather` lets them continue: they would request data that is no longer needed, over connections that nobody closes.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await cancel_all(tasks)


async def gather_pair(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Returns the results of two coroutines of different types; otherwise like `gather_all`."""
    first, second = asyncio.create_task(one), asyncio.create_task(other)
    try:
        await asyncio.gather(first, second)
        return first.result(), second.result()
    finally:
        await cancel_all((first, second))


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits until they have ended."""
    for task in tasks:
        if not task.cancelling():  # a second cancel would interrupt its cleanup
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
