"""The API's process: finds the cluster, serves until a signal, and lets requests in progress finish."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web

from connector_operator.api.certificate import Certificate
from connector_operator.api.cluster import Cluster, Location, LocationError, find_cluster
from connector_operator.api.connections import GuardedConnection
from connector_operator.api.fleet_routes import FleetRoutes
from connector_operator.api.fleet_service import FleetService
from connector_operator.api.rows_service import RowsService
from connector_operator.api.server import ConnectorsApi, build_health_app
from connector_operator.api.service import ConnectorService
from connector_operator.api.settings import ApiSettings
from connector_operator.api.streams_service import StreamsService

_BACKLOG = 1024
_GRACE = 15.0  # seconds that requests have to finish
_HEADER_BYTES = 16_384  # a token may have several thousand characters
Address = tuple[str, int]
log = logging.getLogger("connectors.api")


class ServeError(Exception):
    """The API can't start; the message says why."""


@asynccontextmanager
async def serving(settings: ApiSettings, namespace: str, location: Location) -> AsyncIterator[tuple[Address, Address]]:
    """Serves the API and its health checks; yields both addresses, with the actual ports if 0 was requested.

    Raises:
        ServeError: An address can't be bound, or the certificate can't be read.
    """
    async with AsyncExitStack() as stack:
        cluster = Cluster(location, timeout=settings.cluster_timeout, connections=settings.max_connections)
        stack.push_async_callback(cluster.close)
        service = ConnectorService(cluster, namespace)
        fleet = FleetService(cluster, namespace)
        rows, streams = RowsService(cluster, fleet, namespace), StreamsService(cluster, fleet, namespace)
        routes = FleetRoutes(fleet, rows, streams, settings.client_timeout)
        server = await _start(stack, ConnectorsApi(service, routes, settings).build_app())

        def connect() -> GuardedConnection:
            return GuardedConnection(
                server,
                settings.max_connections,
                settings.client_timeout,
                access_log=None,
                auto_decompress=False,
                keepalive_timeout=settings.client_timeout,
                max_line_size=_HEADER_BYTES,
                max_field_size=_HEADER_BYTES,
            )

        health = await _start(stack, build_health_app())
        secure: dict[str, Any] = {}
        if (certificate := _read_certificate(settings)) is not None:
            # A handshake may take as long as a request.
            secure = {"ssl": certificate.context, "ssl_handshake_timeout": settings.client_timeout}
            stack.callback(asyncio.create_task(certificate.follow()).cancel)
        yield (
            await _listen(stack, "--listen", settings.listen, connect, **secure),
            await _listen(stack, "--health-listen", settings.health_listen, health),
        )


async def _start(stack: AsyncExitStack, app: web.Application) -> web.Server:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE)
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    assert runner.server is not None  # noqa: S101 - set up above
    return runner.server


async def _listen(
    stack: AsyncExitStack, flag: str, address: str, connect: Callable[[], asyncio.BaseProtocol], **secure: Any
) -> Address:
    host, _, port = address.rpartition(":")
    try:
        listener = await asyncio.get_running_loop().create_server(
            connect, host.strip("[]"), int(port), backlog=_BACKLOG, **secure
        )
    except OSError as error:
        raise ServeError(f"{flag} {address}: {error.strerror or error}") from None
    stack.callback(listener.close)
    found: Address = listener.sockets[0].getsockname()[:2]
    return found


def _read_certificate(settings: ApiSettings) -> Certificate | None:
    """What makes a listener speak HTTPS; None without."""
    if not settings.tls_certificate:
        return None
    try:
        return Certificate(settings.tls_certificate, settings.tls_key)
    except OSError as error:
        files = f"--tls-certificate {settings.tls_certificate} --tls-key {settings.tls_key}"
        raise ServeError(f"{files}: {error.strerror or error}") from None


async def serve(settings: ApiSettings) -> None:
    """`connector-operator api`: returns after SIGTERM or SIGINT.

    Raises:
        ServeError: What is missing.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    namespace = settings.namespace or os.environ.get("POD_NAMESPACE", "")
    if not namespace:
        raise ServeError("--namespace (or CONNECTORS_API_NAMESPACE) must name the namespace to serve")
    try:
        location = await find_cluster()
    except LocationError as error:
        raise ServeError(str(error)) from None
    async with serving(settings, namespace, location) as ((host, port), (_, health_port)):
        fields = {"host": host, "port": port, "health_port": health_port, "namespace": namespace}
        log.info("serving", extra=fields)
        gc.freeze()  # what is there now stays: it is not searched for garbage again and again
        await stop.wait()
