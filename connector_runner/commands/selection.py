"""Finds out which streams a run carries: asks the source, looks into the dataset's ledger, and chooses."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from connector_runner.commands.choice import Choice, Target, choose, exact_names
from connector_runner.commands.session import build_sink_context, build_source_context, write_mode_of
from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.table_choice import choose_tables
from connector_runner.orders import Orders
from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.errors import ConnectorError, InvalidConfigError, TransientError
from connector_runner.protocols.sink import SinkContext, StoredStreams
from connector_runner.redaction import Redactor
from connector_runner.registry import SourceRegistry, build_dialect, build_inspector
from connector_runner.resilience.backoff import Backoff
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.orders import ANSWER_FIELD, MOST_PROBLEMS, OrdersAnswer, SelectionOrders

LEFT_OUT_LOGGED = 20
"""Streams that are left out and named in the log; all of them are counted."""


class Selecting:
    """Chooses the streams of one run.

    Args:
        orders: The run's orders; they have `streams`.
        registry: Where the source is found.
        telemetry: Told about failures and about what is left out.
        redactor: Receives the secrets.
    """

    def __init__(self, orders: Orders, registry: SourceRegistry, telemetry: Telemetry, redactor: Redactor) -> None:
        self._orders = orders
        self._registry = registry
        self._telemetry = telemetry
        self._redactor = redactor
        self._live: SelectionOrders | None = None

    async def choose(self, stopping: asyncio.Event, *, is_running: bool = False) -> Choice | None:
        """Asks until source and dataset have answered; None if a stop was requested meanwhile.

        Args:
            stopping: Set when a stop is requested.
            is_running: Whether streams are carried meanwhile, so that a failure here does not make the run unready.

        Raises:
            ActionRequiredError: A user must act; see `choice.choose`.
        """
        backoff = Backoff(random.random)
        while not stopping.is_set():
            lost = self._postponed if is_running else self._telemetry.source_lost
            try:
                spec = self.read_spec()
                catalogue = await self._discover(spec)
                lost = self._postponed if is_running else self._telemetry.sink_lost
                choice = await asyncio.to_thread(self._choose_from, spec, catalogue)
            except TransientError as error:
                delay = backoff.next_delay(error.retry_after)
                lost(error, delay)
                await _wait(stopping, delay)
            else:
                self._report(choice)
                return choice
        return None

    def _postponed(self, error: ConnectorError, delay: float) -> None:
        self._telemetry.log(
            "warning", f"new streams are looked for again later: {error.message}", retryInSeconds=round(delay, 2)
        )

    async def _discover(self, spec: StreamsSpec) -> Catalogue:
        context = build_source_context(self._orders, self._registry, self._telemetry, self._redactor)
        source = self._registry.build(self._orders.manifest.connector_type, context)
        try:
            return await source.discover(None, exact_names(spec))
        finally:
            await source.close()

    def read_spec(self) -> StreamsSpec:
        """The selection as it is asked for now: the mounted one, else that of the manifest.

        Mounted orders that vanish (somebody deleted them) still count: going back to those of the manifest would change what is
        carried twice, because the operator mounts them again.

        Raises:
            InvalidConfigError: There is none, or it can't be read.
        """
        self._live = self._orders.read_live() or self._live
        spec = self._live or self._orders.manifest.streams
        if spec is None:
            raise InvalidConfigError(["spec.streams: is required"])
        return spec

    def answer(self, choice: Choice) -> None:
        """Tells the operator that mounted orders are carried; nothing if the selection is that of the manifest."""
        if isinstance(choice.spec, SelectionOrders):
            problems = tuple(f"{stream} is left out: {why}" for stream, why in choice.left_out.items())
            self._answer("the orders are carried", OrdersAnswer(choice.spec.mark, problems=problems[:MOST_PROBLEMS]))

    def refuse(self, error: ConnectorError) -> None:
        """Tells the operator, and who reads the log, that the orders can't be carried and the earlier ones go on."""
        answer = OrdersAnswer(self._orders.read_mark(), error.reason, error.message)
        self._answer(f"the selection stays as it is: {error.message}", answer, "warning")

    def _answer(self, message: str, answer: OrdersAnswer, level: str = "info") -> None:
        said = {} if not answer.mark else {ANSWER_FIELD: msgspec.to_builtins(answer)}
        self._telemetry.log(level, message, **({"reason": answer.reason} if answer.reason else {}), **said)

    def _choose_from(self, spec: StreamsSpec, catalogue: Catalogue) -> Choice:
        context = build_sink_context(self._orders, self._redactor, {})
        dialect = build_dialect(context.read_url())
        template = self._orders.target().table
        stored = read_stored(context, possible_tables(spec, catalogue, template, dialect))
        target = Target(template, dialect, write_mode_of(self._orders), stored)
        return choose(spec, catalogue, target, isolates=self._orders.manifest.on_stream_failure == "isolate")

    def _report(self, choice: Choice) -> None:
        telemetry = self._telemetry
        for note in choice.notes:
            telemetry.note(note)
        for stream, problem in list(choice.left_out.items())[:LEFT_OUT_LOGGED]:
            telemetry.log("warning", f"{stream} is left out: {problem}", stream=stream)
        if (more := len(choice.left_out) - LEFT_OUT_LOGGED) > 0:
            telemetry.log("warning", f"{more} more streams are left out")
        if choice.left_out:
            telemetry.count("streams_left_out", len(choice.left_out))
        telemetry.note("streams are selected", streams=len(choice.tables), leftOut=len(choice.left_out))


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


def possible_tables(spec: StreamsSpec, catalogue: Catalogue, template: str, dialect: Dialect) -> dict[str, str]:
    """Where a ledger of these streams may be: for each schema, a stream and its table there."""
    wanted = spec.parse()
    selected = [stream for stream in catalogue.streams if wanted.takes(stream.named)]
    chosen = choose_tables(selected, template, spec.tables, {}, dialect, append=True)
    found: dict[str, tuple[str, str]] = {}
    for stream, table in chosen.tables.items():
        found.setdefault(dialect.parse_table(table).schema, (stream, table))
    return dict(found.values())


def read_stored(context: SinkContext, tables: Mapping[str, str], *, create: bool = True) -> StoredStreams:
    """What the ledger, and those beside it in other schemas, know of the connector; nothing if there are no tables.

    Args:
        context: Of the dataset.
        tables: See `possible_tables`.
        create: Whether a dataset that is a file may be created.

    Raises:
        TransientError, ActionRequiredError: The dataset can't be read.
    """
    if not tables:
        return StoredStreams()
    inspector = build_inspector(replace(context, tables=tables, is_selection=True), create=create)
    try:
        return inspector.stored_streams()
    finally:
        inspector.close()
