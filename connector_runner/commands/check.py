"""`connector-runner check`: would a run work? Asks the source and looks at the dataset; writes nothing to either."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from connector_runner.commands.check_report import Report, print_report
from connector_runner.commands.choice import Choice, Target, choose, exact_names
from connector_runner.commands.selection import possible_tables
from connector_runner.commands.session import build_sink_context, build_source_context, write_mode_of, write_termination
from connector_runner.datasets.recorded import kept_elsewhere
from connector_runner.log import LineLog
from connector_runner.orders import Orders
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.check import Check, Examiner, Part, failed, ok, unknown
from connector_runner.protocols.errors import (
    ActionRequiredError,
    ConnectorError,
    InvalidConfigError,
    TransientError,
    UnknownStreamError,
)
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext, StoredStreams
from connector_runner.protocols.source import Checkpoint, Opened, Source
from connector_runner.redaction import Redactor
from connector_runner.registry import SourceRegistry, build_dialect, build_examiner, can_examine
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.outcome import ExitCode, Termination, encode_termination

T = TypeVar("T")
SECONDS = 120.0
"""How long one question to the source may take."""


async def check(
    load: Callable[[], Orders], registry: SourceRegistry, log: LineLog, redactor: Redactor, *, as_json: bool
) -> ExitCode:
    """Runs all checks and prints what was found.

    Args:
        load: Reads the orders.
        registry: Where the source is found.
        log: Receives what the source reports meanwhile.
        redactor: Receives the secrets.
        as_json: Prints a JSON document instead of a table.
    """
    try:
        orders = load()
    except InvalidConfigError as error:
        report = Report([failed(Part.MANIFEST, "manifest", error)])
    else:
        report = await Checking(orders, registry, Telemetry(log, NoMeters()), redactor).run()
    print_report(report, redactor, as_json=as_json)
    code = report.exit_code
    if (first := report.first_failure) is not None:
        write_termination(encode_termination(Termination(first.reason, redactor.clean(report.summary))))
    return code


@dataclass(slots=True)
class _Dataset:
    """What was found in the dataset.

    Attributes:
        context: With the tables of the streams; None if they are not known.
        examiner: The open dataset; None if it can't be looked at.
        checkpoints: Stream → its checkpoint.
        choice: What a selection takes; None for one stream.
    """

    context: SinkContext | None = None
    examiner: Examiner | None = None
    checkpoints: Mapping[str, Checkpoint | None] = field(default_factory=dict)
    choice: Choice | None = None


class Checking:
    """All checks of one connector.

    Args:
        orders: Its orders.
        registry: Where the source is found.
        telemetry: Receives what the source reports.
        redactor: Receives the secrets.
    """

    def __init__(self, orders: Orders, registry: SourceRegistry, telemetry: Telemetry, redactor: Redactor) -> None:
        self._orders, self._registry, self._telemetry, self._redactor = orders, registry, telemetry, redactor
        self._report = Report([])
        self._spec: StreamsSpec | None = orders.manifest.streams

    async def run(self) -> Report:
        """Asks everything that can be asked; what fails does not prevent the rest."""
        if not self._orders.manifest.stream and self._spec is None:
            why = "spec.selectedStream: is required; `connector-runner discover` lists the streams"
            self._add(failed(Part.MANIFEST, "stream", InvalidConfigError([why])))
        catalogue = await self._ask_source()
        dataset = await asyncio.to_thread(self._look, catalogue)
        try:
            schemas = await self._open(catalogue, dataset)
            await asyncio.to_thread(self._examine, dataset, schemas)
        finally:
            if dataset.examiner is not None:
                await asyncio.to_thread(dataset.examiner.close)
        return self._report

    def _add(self, *checks: Check) -> None:
        self._report.checks.extend(checks)

    # the source

    async def _with_source(self, ask: Callable[[Source], Awaitable[T]]) -> T:
        context = build_source_context(self._orders, self._registry, self._telemetry, self._redactor)
        # Under a name of its own, so that the source can't take it for the runner of the connector, and end that one's connections.
        source = self._registry.build(
            self._orders.manifest.connector_type, replace(context, connector=f"{context.connector} (check)")
        )
        try:
            async with asyncio.timeout(SECONDS):
                return await ask(source)
        except TimeoutError:
            raise TransientError(
                f"the source did not answer within {SECONDS:.0f} seconds", reason="Unavailable"
            ) from None
        finally:
            await source.close()

    async def _ask_source(self) -> Catalogue | None:
        """The streams of the source; None if it does not tell them."""
        named = exact_names(self._spec) if self._spec is not None else ()
        try:
            catalogue = await self._with_source(
                lambda source: source.discover(self._orders.manifest.stream or None, named)
            )
        except ConnectorError as error:
            if isinstance(error, UnknownStreamError) or error.is_of_stream:
                self._add(ok(Part.SOURCE, "reachable", "the source answers"), failed(Part.SOURCE, "streams", error))
            else:
                name = "configuration" if isinstance(error, InvalidConfigError) else "reachable"
                self._add(failed(Part.SOURCE, name, error))
            return None
        where = catalogue.identity or self._orders.manifest.connector_type
        self._add(
            ok(
                Part.SOURCE,
                "reachable",
                f"{where} answers and accepts the credentials; it has {catalogue.total} streams",
            )
        )
        self._report.notes.extend(catalogue.notes)
        return catalogue

    async def _open(self, catalogue: Catalogue | None, dataset: _Dataset) -> Mapping[str, StreamSchema]:
        """The schemas with which a run would begin: the source is opened as a run would open it, and not read."""
        if dataset.context is None or not dataset.context.tables:
            return {}
        streams = dataset.context.tables
        if catalogue is None:
            self._add(unknown(Part.SOURCE, "readable", "not asked, because the source could not list its streams"))
            return {}
        checkpoints = {stream: dataset.checkpoints.get(stream) for stream in streams}
        try:
            opened = await self._with_source(lambda source: source.open(checkpoints))
        except ConnectorError as error:
            self._add(failed(Part.SOURCE, "streams" if isinstance(error, UnknownStreamError) else "readable", error))
            return {}
        self._add(*self._say_opened(opened, checkpoints, catalogue, dataset))
        return opened.schemas

    def _say_opened(
        self, opened: Opened, checkpoints: Mapping[str, Checkpoint | None], catalogue: Catalogue, dataset: _Dataset
    ) -> list[Check]:
        found = [failed(Part.SOURCE, "readable", error, stream) for stream, error in opened.failed.items()]
        if dataset.choice is None:
            streams = f"{self._orders.manifest.stream} exists"
        else:
            streams = f"spec.streams takes {len(checkpoints)} of {catalogue.total} streams"
        kept = sum(1 for checkpoint in checkpoints.values() if checkpoint is not None)
        how = "can be read from the beginning"
        if kept:
            rest = f"; {len(checkpoints) - kept} begin at the start" if kept < len(checkpoints) else ""
            how = f"can be read on from the position in the dataset{rest}"
        elif dataset.examiner is None:
            how += " (from where a run would go on is in the dataset, which does not answer)"
        return [ok(Part.SOURCE, "streams", streams), *found, *([] if found else [ok(Part.SOURCE, "readable", how)])]

    # the dataset

    def _look(self, catalogue: Catalogue | None) -> _Dataset:
        """Opens the dataset, finds the tables of the streams and their positions."""
        try:
            context = build_sink_context(self._orders, self._redactor, None if self._spec is None else {})
            url = context.read_url()
            dialect = build_dialect(url)
            template = self._orders.target().table
            tables: Mapping[str, str] = context.tables
            if self._spec is not None:
                tables = {} if catalogue is None else possible_tables(self._spec, catalogue, template, dialect)
        except ConnectorError as error:
            self._add(failed(Part.DATASET, "configuration", error))
            return _Dataset()
        if not tables or not all(tables):
            why = "which tables the streams need is not known before the source lists them"
            if self._spec is not None and catalogue is not None:  # a run does not look at the dataset either
                self._choose(context, catalogue, StoredStreams())
                why = "no stream is selected, so no table is known"
            self._add(unknown(Part.DATASET, "reachable", why))
            return _Dataset()
        context = replace(context, tables=tables)
        examiner = self._connect(context)
        try:
            stored = StoredStreams() if examiner is None else examiner.stored_streams()
            chosen = self._choose(context, catalogue, stored)
            if chosen.context is not None and chosen.context.tables != tables and examiner is not None:
                examiner.close()
                examiner = None
                examiner = self._connect(chosen.context, is_known=True)
            if examiner is not None:
                chosen.checkpoints = _checkpoints(examiner)
        except ConnectorError as error:
            self._add(failed(Part.DATASET, "reachable", error))
            chosen = _Dataset(context if self._spec is None else None)
        chosen.examiner = examiner
        return chosen

    def _connect(self, context: SinkContext, *, is_known: bool = False) -> Examiner | None:
        try:
            examiner = build_examiner(context) if can_examine(context.read_url()) else None
        except ConnectorError as error:
            name = "rights" if error.reason in {"MissingDatasetGrant", "MissingSchema"} else "reachable"
            self._add(failed(Part.DATASET, name, error))
            return None
        if examiner is None:
            self._add(unknown(Part.DATASET, "reachable", "this kind of dataset can't be looked at without a run"))
        elif not is_known:
            self._add(ok(Part.DATASET, "reachable", "the dataset answers"))
        return examiner

    def _choose(self, context: SinkContext, catalogue: Catalogue | None, stored: StoredStreams) -> _Dataset:
        """The tables of the streams, as a run would choose them."""
        if self._spec is None:
            return _Dataset(self._where_kept(context, stored))
        assert catalogue is not None  # noqa: S101 - without it there are no tables, see `_look`
        dialect = build_dialect(context.read_url())
        target = Target(self._orders.target().table, dialect, write_mode_of(self._orders), stored)
        isolates = self._orders.manifest.on_stream_failure == "isolate"
        try:
            choice = choose(self._spec, catalogue, target, isolates=isolates)
        except ActionRequiredError as error:
            self._add(failed(Part.SOURCE, "streams", error))
            return _Dataset()
        self._report.notes.extend(choice.notes)
        obstacles = {stream.id for stream in catalogue.streams if stream.obstacle}
        for stream, problem in choice.left_out.items():
            name, part = ("readable", Part.SOURCE) if stream in obstacles else ("table", Part.DATASET)
            reason = "Preflight" if part is Part.SOURCE else "SchemaConflict"
            left_out = ActionRequiredError(f"{stream} would be left out: {problem}", reason=reason)
            self._add(failed(part, name, left_out, stream))
        return _Dataset(replace(context, tables=choice.tables, selection=choice.record), choice=choice)

    def _where_kept(self, context: SinkContext, stored: StoredStreams) -> SinkContext:
        """The context with the table that a single stream keeps from a time when it belonged to a selection."""
        ((stream, table),) = context.tables.items()
        dialect = build_dialect(context.read_url())
        names = dialect.parse_table(table)
        kept = kept_elsewhere(stored, stream, names.text if dialect.has_schemas else dialect.table_key(names))
        if not kept:
            return context
        self._report.notes.append(
            f"stream {stream} has its rows in table {kept} since it belonged to a selection; it goes on there"
        )
        return replace(context, tables={stream: kept})

    def _examine(self, dataset: _Dataset, schemas: Mapping[str, StreamSchema]) -> None:
        if dataset.examiner is None:
            return
        try:
            self._add(*dataset.examiner.examine(schemas))
        except ConnectorError as error:
            self._add(failed(Part.DATASET, "rights" if "Grant" in error.reason else "table", error))


def _checkpoints(examiner: Examiner) -> Mapping[str, Checkpoint | None]:
    return {
        stored.stream: Checkpoint(stored.position, stored.identity, stored.schema_version) if stored.position else None
        for stored in examiner.checkpoints()
    }
