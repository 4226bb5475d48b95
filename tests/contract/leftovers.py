"""What a source must not leave behind when it is closed: tasks, threads, sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.kit.waiting import DEADLINE


# What must be gone after `close`, by name: a test compares before and after.
def sockets() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if (target := os.readlink(descriptor)).startswith("socket:"):  # noqa: PTH115 - not a path
                found.add(target)
    return found


async def gone(what: str, left: Callable[[], Set[Any]]) -> None:
    end = time.monotonic() + DEADLINE
    while found := left():
        assert time.monotonic() < end, f"{what} are left: {found}"
        await asyncio.sleep(0.02)
        gc.collect()  # a pool's idle threads end with the pool, and what is merely forgotten warns


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fails when tasks, threads or sockets outlive the block; calls in the loop's pool of threads must have come back."""
    tasks, threads, opened = asyncio.all_tasks(), set(threading.enumerate()), sockets()
    pool = ThreadPoolExecutor()
    asyncio.get_running_loop().set_default_executor(pool)
    yield
    pool.shutdown(wait=False)
    await gone("tasks", lambda: asyncio.all_tasks() - tasks)
    gc.collect()
    await gone("threads", lambda: set(threading.enumerate()) - threads)
    await gone("sockets", lambda: sockets() - opened)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
