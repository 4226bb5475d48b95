"""`connector-runner run`: one execution, until the stream ends or a stop is requested."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from connector_runner.commands.session import build_sink_context, build_source_context
from connector_runner.log import LineLog
from connector_runner.orders import Orders
from connector_runner.pipeline.engine import Engine
from connector_runner.pipeline.health import Health
from connector_runner.pipeline.progress import log_progress, read_interval
from connector_runner.pipeline.rotation import fingerprint, watch_files
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.errors import InvalidConfigError, KeptElsewhereError, TableTakenError
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import Source
from connector_runner.redaction import Redactor
from connector_runner.registry import SourceRegistry, build_sink
from connector_runner.schemas.outcome import ExitCode

if TYPE_CHECKING:
    from connector_runner.commands.following import Following
    from connector_runner.commands.selection import Selecting
    from connector_runner.pipeline.metrics import PrometheusMeters


async def run(
    orders: Orders, registry: SourceRegistry, log: LineLog, redactor: Redactor, probe_address: str | None
) -> ExitCode:
    """Carries the selected streams into the dataset.

    Raises:
        ConnectorError: The error that ended the execution.
    """
    manifest = orders.manifest
    if not manifest.stream and manifest.streams is None:
        raise InvalidConfigError(["spec.selectedStream: is required; `connector-runner discover` lists the streams"])
    before = fingerprint(orders.watched)
    live_before = fingerprint([orders.live]) if orders.live is not None else ""
    telemetry = Telemetry(log, NoMeters(), Health(clean=redactor.clean))
    build_source_context(orders, registry, telemetry, redactor)  # errors are reported before anything is changed

    stopping = asyncio.Event()
    with stop_signals(stopping.set, log):
        async with _surroundings(telemetry, probe_address) as meters:
            selecting = _select_many(orders, registry, telemetry, redactor)
            following = _follow(selecting)

            def build_source() -> Source:
                context = build_source_context(orders, registry, telemetry, redactor)
                context = replace(context, appeared=following.appeared) if following is not None else context
                return registry.build(manifest.connector_type, context)

            carrying = Carrying(build_source, telemetry, orders, before, meters, stopping, following, live_before)
            code = None
            while code is None:
                context = await _choose_streams(orders, redactor, selecting, stopping)
                code = ExitCode.TERMINATED if context is None else await _carry(carrying, context)
    totals = telemetry.totals
    log("info", "done", rows=totals.rows, commits=totals.commits, refused=totals.refused, exitCode=int(code))
    return code


async def _carry(carrying: Carrying, context: SinkContext) -> ExitCode | None:
    """Carries the streams; None if another connector took over tables of a selection, so that it must be chosen without them."""
    try:
        return await carrying.run(context)
    except KeptElsewhereError as kept:
        carrying.telemetry.note(f"{kept.message}; it goes on there")
        return await carrying.run(replace(context, tables=dict.fromkeys(context.tables, kept.table)))
    except TableTakenError as taken:
        carrying.telemetry.log("warning", f"{taken.message}; the others go on", reason=taken.reason)
        return None


def _select_many(
    orders: Orders, registry: SourceRegistry, telemetry: Telemetry, redactor: Redactor
) -> Selecting | None:
    """What chooses the streams of a selection; None for one stream."""
    if orders.manifest.streams is None:
        return None
    from connector_runner.commands.selection import Selecting

    return Selecting(orders, registry, telemetry, redactor)


def _follow(selecting: Selecting | None) -> Following | None:
    """What changes the selection while it runs; None for one stream."""
    if selecting is None:
        return None
    from connector_runner.commands.following import Following

    return Following(selecting)


async def _choose_streams(
    orders: Orders, redactor: Redactor, selecting: Selecting | None, stopping: asyncio.Event
) -> SinkContext | None:
    """The context of the selected stream, or of all that the selection takes; None if a stop was requested meanwhile."""
    if selecting is None:
        return build_sink_context(orders, redactor)
    chosen = await selecting.choose(stopping)
    if chosen is None:
        return None
    selecting.answer(chosen)
    return build_sink_context(orders, redactor, chosen.tables, chosen.record)


@dataclass(frozen=True, slots=True)
class Carrying:
    """Runs an engine among what surrounds it.

    Attributes:
        build_source: Builds the source.
        telemetry: Receives what happens.
        orders: The run's orders.
        before: The fingerprint of the mounted Secrets when they were first read.
        meters: The metrics, if they are served.
        stopping: Set when a stop is requested.
        following: Changes the selection while it runs.
        live_before: The fingerprint of the live orders when they were first read.
    """

    build_source: Callable[[], Source]
    telemetry: Telemetry
    orders: Orders
    before: str
    meters: PrometheusMeters | None
    stopping: asyncio.Event
    following: Following | None = None
    live_before: str = ""

    async def run(self, context: SinkContext) -> ExitCode:
        """Carries the streams of the context into its dataset; see `Engine.run`."""
        engine = Engine(self.build_source, build_sink(context), self.telemetry, wait=self.orders.manifest.wait)
        if self.meters is not None:
            self.meters.watch(engine.queue, self.telemetry.health)
        watched = self.orders.watched
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(background(_stop_when(self.stopping, engine)))
            if watched:
                await stack.enter_async_context(background(watch_files(watched, self.before, engine.reconnect)))
            if self.following is not None:
                following = self.following.run(engine, context.tables, context.selection, self.stopping)
                await stack.enter_async_context(background(following))
                if self.orders.live is not None:
                    live = watch_files((self.orders.live,), self.live_before, self.following.changed)
                    await stack.enter_async_context(background(live))
            return await engine.run()


async def _stop_when(stopping: asyncio.Event, engine: Engine) -> None:
    await stopping.wait()
    engine.stop()


@asynccontextmanager
async def _surroundings(telemetry: Telemetry, probe_address: str | None) -> AsyncIterator[PrometheusMeters | None]:
    """Probes and metrics, and progress on a terminal or else in the log; each runs only where it is needed."""
    async with contextlib.AsyncExitStack() as stack:
        meters = None
        if probe_address:
            from connector_runner.pipeline.metrics import PrometheusMeters
            from connector_runner.pipeline.probes import serve_probes

            meters = telemetry.meters = PrometheusMeters()
            server, port = await serve_probes(probe_address, telemetry.health, meters)
            stack.push_async_callback(server.cleanup)
            meters.watch_streams(telemetry.stream_lags)
            telemetry.note("probes and metrics are served", port=port)
        if sys.stderr.isatty():
            from connector_runner.pipeline.terminal import show_progress

            await stack.enter_async_context(background(show_progress(telemetry)))
        else:
            await stack.enter_async_context(background(log_progress(telemetry, read_interval(os.environ))))
        yield meters


@asynccontextmanager
async def background(work: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """Runs it beside the body, which ends at once with its error: else nobody would know of it until the run's end."""
    body, task = asyncio.current_task(), asyncio.create_task(work)
    failed: list[BaseException] = []

    def end_body(ended: asyncio.Task[object]) -> None:
        if not ended.cancelled() and (error := ended.exception()) is not None and body is not None:
            failed.append(error)
            body.cancel()

    task.add_done_callback(end_body)
    try:
        yield
    except asyncio.CancelledError:
        if not failed:
            raise
    finally:
        task.remove_done_callback(end_body)
        task.cancel()
        if failed and body is not None:
            body.uncancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task  # raises its error


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
