"""The API's process: finds the cluster, serves until a signal, and lets requests that are under way end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from connector_operator.api.cluster import Cluster, Location, LocationError, find_cluster
from connector_operator.api.connections import GuardedConnection
from connector_operator.api.server import ConnectorsApi
from connector_operator.api.service import ConnectorService
from connector_operator.api.settings import ApiSettings

_BACKLOG = 1024
_GRACE = 15.0  # seconds that requests have to end
_HEADER_BYTES = 16_384  # a token may have several thousand characters
log = logging.getLogger("connectors.api")


class ServeError(Exception):
    """The API can't start; the message says why."""


@asynccontextmanager
async def serving(settings: ApiSettings, namespace: str, location: Location) -> AsyncIterator[tuple[str, int]]:
    """Serves the API; yields the address, with the port that was found if 0 was asked for.

    Raises:
        ServeError: The address can't be bound, or the certificate not read.
    """
    cluster = Cluster(location, timeout=settings.cluster_timeout, connections=settings.max_connections)
    service = ConnectorService(cluster, namespace, settings.wait)
    runner = web.AppRunner(ConnectorsApi(service, settings).build_app(), access_log=None, shutdown_timeout=_GRACE)
    await runner.setup()
    server = runner.server
    assert server is not None  # noqa: S101 - set up above

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

    host, _, port = settings.listen.rpartition(":")
    try:
        secure = _build_tls(settings)
        listener = await asyncio.get_running_loop().create_server(
            connect, host.strip("[]"), int(port), ssl=secure, backlog=_BACKLOG
        )
    except OSError as error:
        await runner.cleanup()
        await cluster.close()
        raise ServeError(f"--listen {settings.listen}: {error.strerror or error}") from None
    try:
        yield listener.sockets[0].getsockname()[:2]
    finally:
        listener.close()
        await runner.cleanup()
        await cluster.close()


def _build_tls(settings: ApiSettings) -> ssl.SSLContext | None:
    if not settings.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context


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
    async with serving(settings, namespace, location) as (host, port):
        log.info("serving", extra={"host": host, "port": port, "namespace": namespace})
        await stop.wait()
