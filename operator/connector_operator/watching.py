"""Kopf's watches, over the named namespaces that may be watched.

A namespace that is deleted, or loses its rights, does not stop the watches of the others.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import kopf

from connector_operator.cluster.client import ApiError
from connector_operator.handlers import build_registry
from connector_operator.metrics import UNSERVED
from connector_operator.operation import Operation

RECHECK = 15.0
"""Seconds between checks whether a namespace that could not be watched can be watched now."""
log = logging.getLogger(__name__)

Granted = Callable[[Sequence[str]], Awaitable[list[str]]]
"""In which of some namespaces the operator has all its rights."""


class Watches:
    """Runs Kopf, and starts it again when the namespaces that may be watched change.

    Args:
        operation: Handles the events.
        identity: Of this process, for Kopf.
        namespaces: The requested ones; none: all, by one watch per kind.
        granted: Checks which of them may be watched.
        stop: Ends everything.
    """

    def __init__(
        self, operation: Operation, identity: str, namespaces: Sequence[str], granted: Granted, stop: asyncio.Event
    ) -> None:
        self._operation = operation
        self._identity = identity
        self._namespaces = list(namespaces)
        self._granted = granted
        self._stop = stop

    async def run(self) -> None:
        """Returns when it is asked to stop.

        Raises:
            Exception: Kopf's, if all rights are there and it failed nevertheless.
        """
        served = await self._look(self._namespaces) if len(self._namespaces) > 1 else self._namespaces
        while not self._stop.is_set():
            self._report(served)
            served = await self._serve(served)

    async def _serve(self, served: list[str]) -> list[str]:
        """Watches some namespaces until others may be watched; returns these."""
        self._operation.serve(served)
        enough = asyncio.Event()
        watching = asyncio.create_task(self._watch(served, enough))
        changed = asyncio.create_task(self._until_more(served))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({watching, changed, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if changed.done() and not watching.done():
                enough.set()
                await watching
                return changed.result()
        finally:
            for task in (changed, stopping):
                task.cancel()
            enough.set()
            with suppress(Exception):
                await asyncio.wait({watching})
        if self._stop.is_set():
            return served
        if watching.exception() is None:  # Kopf took the signal: its handler replaces ours while it runs
            self._stop.set()
            return served
        now = await self._look(self._namespaces)
        if now == served or not self._namespaces:
            watching.result()
        return now

    async def _watch(self, served: list[str], enough: asyncio.Event) -> None:
        if self._namespaces and not served:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
            await enough.wait()
            return
        await kopf.operator(
            registry=build_registry(self._operation),
            settings=kopf.OperatorSettings(),
            # otherwise Kopf asks for the user's name, which a container may not have
            identity=cast("Any", self._identity),
            namespaces=served,
            clusterwide=not self._namespaces,
            standalone=True,
            stop_flag=enough,
        )

    async def _until_more(self, served: list[str]) -> list[str]:
        """Returns when a namespace that could not be watched can be watched now."""
        lost = [namespace for namespace in self._namespaces if namespace not in served]
        while True:
            await asyncio.sleep(RECHECK)
            if lost and (found := await self._look(lost)):
                return [namespace for namespace in self._namespaces if namespace in {*served, *found}]

    async def _look(self, namespaces: list[str]) -> list[str]:
        while True:
            try:
                return await self._granted(namespaces)
            except ApiError as error:
                log.warning("the rights could not be looked at: %s", error)
                await asyncio.sleep(1)

    def _report(self, served: list[str]) -> None:
        lost = [namespace for namespace in self._namespaces if namespace not in served]
        UNSERVED.set(len(lost))
        if lost:
            log.warning(
                "not watched, because the rights are missing there or the namespace is gone: %s; watched are %s. They are "
                "tried again every %d seconds; to end this, remove them from --namespaces or fix the RoleBinding",
                ", ".join(lost),
                ", ".join(served) or "none",
                RECHECK,
            )
