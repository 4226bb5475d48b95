"""Runs without the log: a copy that ends, or polls. What they leave is compared with the table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tests.fuzz.mysql.oracle import Truth, differences, read_dataset
from tests.fuzz.mysql.running.connector import TABLE, Connector


async def await_table(connector: Connector, truth: Callable[[], Truth | None], patience: float) -> str:
    """Until the dataset is the table, or the run has ended; what the difference is then, "" without one or where there is no table."""
    deadline, problem = time.monotonic() + patience, "nothing was stored"
    while problem and time.monotonic() < deadline:
        await connector.wait(0.2)
        has_ended = not connector.is_running
        if connector.error is not None:
            return ""
        if not connector.path.exists():
            continue
        found = await asyncio.to_thread(truth)
        if found is None:
            return ""
        stored = read_dataset(connector.path, TABLE, found.shape, connector.mode)
        problem = stored if isinstance(stored, str) else differences(found, stored)
        if has_ended:
            break
    return problem
