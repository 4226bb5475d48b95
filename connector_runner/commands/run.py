"""`connector-runner run`: one execution, until the stream ends or a stop is requested."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from connector_runner.commands.session import build_sink_context, build_source_context
from connector_runner.log import LineLog
from connector_runner.orders import Orders
from connector_runner.pipeline.engine import Engine
from connector_runner.pipeline.health import Health
from connector_runner.pipeline.rotation import fingerprint, watch_files
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.protocols.source import Source
from connector_runner.redaction import Redactor
from connector_runner.registry import SourceRegistry, build_sink
from connector_runner.schemas.outcome import ExitCode


async def run(
    orders: Orders, registry: SourceRegistry, log: LineLog, redactor: Redactor, probe_address: str | None
) -> ExitCode:
    """Carries the selected streams into the dataset.

    Raises:
        ConnectorError: The error that ended the execution.
    """
    manifest = orders.manifest
    if not manifest.stream:
        raise InvalidConfigError(["spec.selectedStream: is required; `connector-runner discover` lists the streams"])
    before = fingerprint(orders.watched)
    telemetry = Telemetry(log, NoMeters(), Health(clean=redactor.clean))
    build_source_context(orders, registry, telemetry, redactor)  # errors are reported before anything is changed
    sink = build_sink(build_sink_context(orders, redactor))

    def build_source() -> Source:
        return registry.build(manifest.connector_type, build_source_context(orders, registry, telemetry, redactor))

    engine = Engine(build_source, sink, telemetry, wait=manifest.wait)
    with stop_signals(engine.stop, log):
        async with _surroundings(engine, telemetry, orders, before, probe_address):
            code = await engine.run()
    totals = telemetry.totals
    log("info", "done", rows=totals.rows, commits=totals.commits, refused=totals.refused, exitCode=int(code))
    return code


@asynccontextmanager
async def _surroundings(
    engine: Engine, telemetry: Telemetry, orders: Orders, before: str, probe_address: str | None
) -> AsyncIterator[None]:
    """Probes, progress on a terminal, and the watch over mounted Secrets; each runs only where it is needed."""
    async with contextlib.AsyncExitStack() as stack:
        if probe_address:
            from connector_runner.pipeline.metrics import PrometheusMeters
            from connector_runner.pipeline.probes import serve_probes

            meters = PrometheusMeters()
            meters.watch(engine.queue, telemetry.health)
            telemetry.meters = meters
            server, port = await serve_probes(probe_address, telemetry.health, meters)
            stack.push_async_callback(server.cleanup)
            telemetry.note("probes and metrics are served", port=port)
        if orders.watched:
            await stack.enter_async_context(_background(watch_files(orders.watched, before, engine.reconnect)))
        if sys.stderr.isatty():
            from connector_runner.pipeline.terminal import show_progress

            await stack.enter_async_context(_background(show_progress(telemetry)))
        yield


@asynccontextmanager
async def _background(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def stop_signals(stop: Callable[[], None], log: LineLog) -> Any:
    """Handles SIGTERM and Ctrl-C: the first one commits and exits, the second one exits at once."""
    loop = asyncio.get_running_loop()
    received = 0

    def handle() -> None:
        nonlocal received
        received += 1
        if received > 1:
            os._exit(ExitCode.TERMINATED)
        log("info", "stop requested; committing what was read")
        stop()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, handle)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
