"""The streams: what each one is, what it needs from a node, and how its rows of some blocks are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from connector_runner.protocols.batch import Row
from connector_runner.protocols.errors import (
    START_OVER,
    ActionRequiredError,
    ConnectorError,
    SourceChangedError,
    UnknownStreamError,
)
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.source import Checkpoint, Report
from connector_runner.schemas.selection import say_near
from connector_runner.sources.ethereum.chain import Chain
from connector_runner.sources.ethereum.decode import tables
from connector_runner.sources.ethereum.decode.abi import Event
from connector_runner.sources.ethereum.decode.events import PREFIX, event_rows, event_schema, find_events
from connector_runner.sources.ethereum.decode.responses import BlockRows, Header
from connector_runner.sources.ethereum.decode.rows import Json
from connector_runner.sources.ethereum.decode.traces import TRACE_SCHEMA, call_tree_rows, flat_trace_rows
from connector_runner.sources.ethereum.decode.transfers import TOPICS, TRANSFER_SCHEMA, transfer_rows
from connector_runner.sources.ethereum.fetch.blocks import hashes_of
from connector_runner.sources.ethereum.fetch.logs import BlockLogs, Fetcher
from connector_runner.sources.ethereum.fetch.plan import StreamPlan
from connector_runner.sources.ethereum.position import from_position
from connector_runner.sources.ethereum.rpc.methods import BLOCK, LOGS, RECEIPT, RECEIPTS, TRACE_METHODS
from connector_runner.sources.ethereum.settings import LogFilter, Settings
from connector_runner.sources.ethereum.verify.consistency import check_transactions, check_withdrawals
from connector_runner.sources.ethereum.verify.traces import check_call_trees, check_flat_traces

LogRows = Callable[[Header, Sequence[Json]], list[Row]]


async def _blocks(fetcher: Fetcher, number: int, _last: int) -> list[BlockRows]:
    header, block, size = await fetcher.proven_block(number)
    if fetcher.prover.proves(number):
        fetcher.prover.prove_withdrawals(header, check_withdrawals(header, block, fetcher.prover.family))
    return [BlockRows(header, [] if header.is_absent else tables.block_rows(header, block), size)]


async def _transactions(fetcher: Fetcher, number: int, _last: int) -> list[BlockRows]:
    header, block, size = await fetcher.block(number, full=True, known=tables.KnownFullBlock)
    rows = [] if header.is_absent else tables.transaction_rows(header, check_transactions(header, block))
    return [BlockRows(header, rows, size)]


async def _withdrawals(fetcher: Fetcher, number: int, _last: int) -> list[BlockRows]:
    header, block, size = await fetcher.block(number)
    withdrawals = check_withdrawals(header, block, fetcher.prover.family)
    if fetcher.prover.proves(number):
        fetcher.prover.prove_withdrawals(header, withdrawals)
    return [BlockRows(header, tables.withdrawal_rows(header, withdrawals), size)]


async def _receipts(fetcher: Fetcher, number: int, _last: int) -> list[BlockRows]:
    header, block, size = await fetcher.block(number)
    receipts, _, more = await fetcher.receipts(header, hashes_of(block))
    return [BlockRows(header, tables.receipt_rows(header, receipts), size + more)]


async def _traces(fetcher: Fetcher, number: int, _last: int) -> list[BlockRows]:
    header, block, size = await fetcher.proven_block(number)
    hashes = hashes_of(block)
    if number == 0 or header.is_absent:  # genesis has no traces, and nodes refuse to make them
        return [BlockRows(header, [], size)]
    are_trees, traces, more = await fetcher.traces(header)
    if are_trees:
        check_call_trees(header, hashes, traces)
        return [BlockRows(header, call_tree_rows(header, hashes, traces), size + more)]
    check_flat_traces(header, hashes, traces)
    return [BlockRows(header, flat_trace_rows(header, traces), size + more)]


async def _logs(make: LogRows, wanted: LogFilter, fetcher: Fetcher, number: int, _last: int) -> list[BlockRows]:
    return [_log_unit(make, await fetcher.logs_of_block(number, wanted))]


async def _log_range(make: LogRows, wanted: LogFilter, fetcher: Fetcher, first: int, last: int) -> list[BlockRows]:
    return [_log_unit(make, found) for found in await fetcher.logs_of_range(first, last, wanted)]


def _log_unit(make: LogRows, found: BlockLogs) -> BlockRows:
    rows = make(found.header, found.logs)
    return BlockRows(found.header, rows, found.size, found.is_outside_bloom, found.is_left_out, found.refutes_bloom)


def _log_plan(schema: StreamSchema, description: str, make: LogRows, wanted: LogFilter) -> StreamPlan:
    return StreamPlan(
        schema, description, (BLOCK, LOGS), partial(_logs, make, wanted), partial(_log_range, make, wanted)
    )


def _counted_transfers(report: Report, header: Header, logs: Sequence[Json]) -> list[Row]:
    rows, others = transfer_rows(header, logs)
    if others:
        report.count("other_transfer_logs", others)
    return rows


def _event_plan(stream: str, event: Event, addresses: tuple[str, ...]) -> StreamPlan:
    plan = _log_plan(
        event_schema(event, stream),
        f"Logs of the event {event.identity}, an argument a column.",
        partial(event_rows, event),
        LogFilter(addresses, () if event.anonymous else ((event.topic,),)),
    )
    return replace(plan, event=event.identity)


def choose_plan(
    plans: Mapping[str, StreamPlan], stream: str, recorded: str | None = None, version: str = ""
) -> StreamPlan:
    """Returns the plan of a stream. An event stream continues with the event that it began with, at whatever index in the ABI.

    Args:
        plans: The plans of the configuration, by id.
        stream: The id that was selected.
        recorded: The event that the checkpoint names; "" when it names none (an older checkpoint); None without a checkpoint.
        version: The version of the checkpoint's schema.

    Raises:
        UnknownStreamError: There is no such stream.
        ActionRequiredError: The event is no longer in the configuration.
    """
    plan = plans.get(stream)
    if recorded is None or not stream.startswith(PREFIX):
        if plan is None:
            raise UnknownStreamError(f"there is no stream {stream!r}; {say_near(stream, plans)}")
        return plan
    if recorded:
        fitting = [other for other in plans.values() if other.event == recorded]
    else:
        name = stream.removeprefix(PREFIX) if plan is None else plan.event.partition("(")[0]
        own = [plan] if plan is not None else []
        same = [other for other in plans.values() if other.event.partition("(")[0] == name and other is not plan]
        fitting = [other for other in (*own, *same) if other.schema.version == version]
    if not fitting:
        filled = f"by the event {recorded}" if recorded else "by an event with other columns"
        now = f"{stream} is {plan.event} now" if plan is not None else f"there is no {stream} now"
        raise ActionRequiredError(
            f"the dataset's table was filled {filled}, which is not in abi or events any more ({now}); "
            "put that event back, or choose another table (datasetId) for this one",
            reason="EventChanged",
        )
    return replace(fitting[0], schema=replace(fitting[0].schema, stream=stream))


def begin_stream(
    plans: Mapping[str, StreamPlan], stream: str, checkpoint: Checkpoint | None
) -> tuple[StreamPlan, Chain | None]:
    """Returns a stream's plan, and the chain that the dataset has of it (None: no data).

    Raises:
        UnknownStreamError, ActionRequiredError: See `choose_plan` and `from_position`.
    """
    if checkpoint is None:
        return choose_plan(plans, stream), None
    chain = from_position(checkpoint.position)
    plan = choose_plan(plans, stream, chain.state.event, checkpoint.schema_version)
    return plan, chain.with_state(replace(chain.state, event=plan.event))


def begin_streams(
    plans: Mapping[str, StreamPlan], checkpoints: Mapping[str, Checkpoint | None], *, isolates: bool
) -> tuple[list[tuple[StreamPlan, Chain | None]], dict[str, ConnectorError]]:
    """Returns what `begin_stream` returns for each stream, and why the others can't be read, if they are isolated.

    Raises:
        ActionRequiredError: A stream can't be read and is not isolated, or none can.
    """
    found = []
    failed: dict[str, ConnectorError] = {}
    for stream, checkpoint in checkpoints.items():
        try:
            found.append(begin_stream(plans, stream, checkpoint))
        except ActionRequiredError as error:
            if not isolates:
                raise
            failed[stream] = error
    if not found:
        raise next(iter(failed.values()))
    return found, failed


def chain_identity(checkpoints: Iterable[Checkpoint | None]) -> str | None:
    """The identity of the chain that all streams were filled from; None when none has begun.

    Raises:
        SourceChangedError: They were filled from different chains.
    """
    recorded = sorted({checkpoint.identity for checkpoint in checkpoints if checkpoint is not None})
    if len(recorded) > 1:
        raise SourceChangedError(
            f"the streams of this connector were filled from different chains ({', '.join(recorded)}); choose another datasetId, "
            f"or {START_OVER}"
        )
    return recorded[0] if recorded else None


def build_plans(settings: Settings, report: Report, reserved: Iterable[str] = ()) -> dict[str, StreamPlan]:
    """Builds all streams of a configuration by id, in catalogue order; no column of an event's argument has a name in `reserved`.

    Raises:
        InvalidConfigError: The ABI or an event's signature can't be understood.
    """
    addresses = settings.filter.addresses
    plans = [
        StreamPlan(tables.BLOCK_SCHEMA, "One row a block.", (BLOCK,), _blocks, rank=1),
        StreamPlan(
            tables.TRANSACTION_SCHEMA, "One row a transaction, as it was sent.", (BLOCK,), _transactions, rank=0
        ),
        StreamPlan(
            tables.RECEIPT_SCHEMA,
            "One row a transaction, what became of it.",
            (BLOCK, f"{RECEIPTS} (or {RECEIPT})"),
            _receipts,
            rank=2,
        ),
        _log_plan(tables.LOG_SCHEMA, "One row a log, by addresses and topics.", tables.log_rows, settings.filter),
        _log_plan(
            TRANSFER_SCHEMA,
            "One row a transfer of an ERC-20, ERC-721 or ERC-1155 token, by addresses.",
            partial(_counted_transfers, report),
            LogFilter(addresses, (TOPICS,)),
        ),
        StreamPlan(tables.WITHDRAWAL_SCHEMA, "One row a withdrawal of a validator.", (BLOCK,), _withdrawals, rank=2),
        StreamPlan(
            TRACE_SCHEMA,
            "One row a call inside a transaction.",
            (BLOCK, " or ".join(TRACE_METHODS)),
            _traces,
            rank=1,
        ),
    ]
    events = find_events(settings.abi, settings.events, frozenset(reserved)).streams
    plans += [_event_plan(stream, event, addresses) for stream, event in events.items()]
    return {plan.schema.stream: plan for plan in plans}
