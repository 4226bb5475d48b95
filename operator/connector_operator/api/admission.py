"""How many of the callers' bodies are processed at a time, so that memory stays within the pod's limit.

A body needs up to twenty times its size in memory once it is parsed, and is kept during the requests to the cluster.
Small bodies, as connectors have them, never wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connector_operator.api.problems import ProblemError


class Admission:
    """Room for bodies of so many bytes in total; a larger body is admitted alone. First come, first served."""

    def __init__(self, most: int, patience: float) -> None:
        self._most = most
        self._patience = patience
        self._used = 0
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()

    @asynccontextmanager
    async def admit(self, size: int) -> AsyncIterator[None]:
        """Waits until there is room for `size` bytes, and reserves it.

        Raises:
            ProblemError: 503: there was no room before the patience (in seconds) was over.
        """
        try:
            async with asyncio.timeout(self._patience), self._turn:
                while self._used and self._used + size > self._most:
                    self._left.clear()
                    await self._left.wait()
                self._used += size
        except TimeoutError:
            raise ProblemError(503, "too many long bodies at once; try again", headers={"Retry-After": "1"}) from None
        try:
            yield
        finally:
            self._used -= size
            self._left.set()
