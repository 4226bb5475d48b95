"""The operator's process: checks, the Lease, then Kopf's watches and our workers, until a signal."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress

from connector_operator.cluster.client import ApiError, KubeClient, load_configuration, own_namespace
from connector_operator.defaults import DefaultsError, InstallationDefaults
from connector_operator.leader import Leadership
from connector_operator.operation import Operation
from connector_operator.probes import serve_probes
from connector_operator.settings import Settings
from connector_operator.startup import check_cluster, check_start, gives_own_ids, granted_namespaces
from connector_operator.watching import Watches

_PATIENCE = 60
"""How often `connector-operator check` asks an API server that does not answer; `run` waits for it, and says so as often."""
_PAUSE = 1.0
"""Seconds between two attempts."""
Check = Callable[[KubeClient, Iterable[str], str], Awaitable[list[str]]]
log = logging.getLogger(__name__)


class StartError(Exception):
    """The operator can't start; the message says why, one sentence per line."""


async def connect(settings: Settings) -> KubeClient:
    """A client of the API server.

    Raises:
        StartError: No credentials.
    """
    try:
        return KubeClient(await load_configuration(), settings.requests_per_second)
    except ApiError as error:
        raise StartError(error.message) from None


async def check(settings: Settings) -> None:
    """`connector-operator check`.

    Raises:
        StartError: What is missing.
    """
    defaults = InstallationDefaults(settings.runner_defaults)
    client = await connect(settings)
    try:
        await _check(client, settings, defaults, check_cluster, _PATIENCE)
    finally:
        await client.close()
    sys.stdout.write(
        f"# What each runner's pod is made from, unless spec.runner says otherwise:\n{defaults.describe()}"
    )
    log.info("custom resources and rights are as they should be")


async def _check(
    client: KubeClient, settings: Settings, defaults: InstallationDefaults, look: Check, most: float = math.inf
) -> None:
    """Checks all, as soon as the API server answers; asks at most so often.

    A process that ended instead would be started again later and later, by five minutes at last.
    """
    try:
        defaults.load()
    except DefaultsError as error:
        raise StartError("\n".join(f"--runner-defaults {line}" for line in str(error).splitlines())) from None
    for attempt in itertools.count(1):
        try:
            problems = await look(client, settings.namespaces, lease_namespace(settings))
            defaults.is_cluster_choosing = await gives_own_ids(client)
            break
        except ApiError as error:
            if not error.is_transient or attempt >= most:
                raise StartError(f"The API server did not answer the checks: {error}.") from None
            if attempt % _PATIENCE == 1:
                log.warning("waiting for the API server: %s", error)
            await asyncio.sleep(_PAUSE)
    if problems:
        raise StartError("\n".join(problems))


def lease_namespace(settings: Settings) -> str:
    """Where the Lease is."""
    return settings.lease_namespace or own_namespace()


async def run(settings: Settings) -> None:
    """`connector-operator run`: returns after SIGTERM or SIGINT.

    Raises:
        StartError: What is missing.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = await connect(settings)
    operation = Operation(client, settings)
    is_active = False
    try:
        probes = await serve_probes(
            settings.listen, lambda: not is_active or operation.workers.is_turning(), lambda: not stop.is_set()
        )
    except OSError as error:
        raise StartError(f"--listen {settings.listen}: can't be bound ({error.strerror}).") from None
    identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{secrets.token_hex(3)}"
    leadership = Leadership(client, lease_namespace(settings), settings.lease_name, identity, settings.lease_duration)
    try:
        if await _before(stop, _check(client, settings, operation.defaults, check_start)) and await _before(
            stop, leadership.acquire()
        ):
            is_active = True
            try:
                await _operate(client, operation, leadership, settings, stop)
            finally:
                await leadership.release()
    finally:
        await probes.cleanup()
        await client.close()


async def _before(stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Runs `work` to its end unless a signal comes first; returns whether it ended."""
    doing = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if doing.done():
        doing.result()
        return True
    doing.cancel()
    with suppress(asyncio.CancelledError):
        await doing
    return False


async def _operate(
    client: KubeClient, operation: Operation, leadership: Leadership, settings: Settings, stop: asyncio.Event
) -> None:
    async def granted(namespaces: Sequence[str]) -> list[str]:
        return await granted_namespaces(client, namespaces)

    watches = Watches(operation, leadership.identity, settings.namespaces, granted, stop)
    tasks = {
        asyncio.create_task(watches.run()),
        asyncio.create_task(operation.run()),
        asyncio.create_task(leadership.keep()),
    }
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks - done:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        if task.exception() is not None:
            raise StartError(f"The operator stopped: {task.exception()!r}.") from task.exception()
