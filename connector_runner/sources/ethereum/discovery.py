"""Finding out, by web3.py, what a node is and what it offers; a handful of requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector_runner.protocols.errors import ConnectorError
from connector_runner.protocols.source import Report
from connector_runner.schemas.catalogue import Catalogue, ColumnInfo, StreamInfo
from connector_runner.sources.ethereum.connection import build_web3
from connector_runner.sources.ethereum.decode.events import find_events
from connector_runner.sources.ethereum.decode.traces import are_call_trees
from connector_runner.sources.ethereum.failures import (
    NodeFailure,
    RpcError,
    Verdict,
    judge,
    judge_status,
    parse_retry_after,
)
from connector_runner.sources.ethereum.fetch import CALL_TRACER, TRACE_METHODS
from connector_runner.sources.ethereum.nodes import LONGEST_HOLD
from connector_runner.sources.ethereum.pacing import RateLimit, backoff
from connector_runner.sources.ethereum.settings import Endpoint, Settings, Tag
from connector_runner.sources.ethereum.streams import StreamPlan
from connector_runner.sources.ethereum.verification import identity_of

if TYPE_CHECKING:
    from web3 import AsyncWeb3

MODES = ("backfill", "live")
TRIES = 3
"""Of a request that is refused because there are too many."""
# An address that nothing emits from: the range is what is asked about.
_NOBODY = "0x00000000000000000000000000000000000000a1"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node said of itself.

    Attributes:
        chain_id, genesis: Which chain it is on.
        client: Name and version, "" where it does not tell.
        head: Number of its newest block.
        finality: The tags that it knows a block for.
        earliest: Number of the first block whose receipts it still has, None when it has none at all.
        log_range: Blocks that a log query may cover, None: as many as are configured.
        has_block_receipts: eth_getBlockReceipts.
        trace_method: The way to traces, "" when there is none.
    """

    chain_id: int
    genesis: str
    client: str
    head: int
    finality: tuple[Tag, ...]
    earliest: int | None
    log_range: int | None
    has_block_receipts: bool
    trace_method: str


class Probe:
    """Requests over web3.py's connection, as fast as allowed; their failures are judged by the table."""

    def __init__(self, w3: AsyncWeb3[Any], endpoint: Endpoint, rate: RateLimit) -> None:
        self._w3 = w3
        self._endpoint = endpoint
        self._rate = rate

    async def ask(self, method: str, *params: Any) -> Any:
        """The result, decoded.

        Raises:
            NodeFailure: By the table of failures.
        """
        attempt = 0
        while True:
            await asyncio.sleep(self._rate.reserve(time.monotonic()))
            try:
                return await self._ask_once(method, *params)
            except NodeFailure as failure:
                if failure.reason != "RateLimited" or attempt == TRIES - 1 or (failure.retry_after or 0) > LONGEST_HOLD:
                    raise
                await asyncio.sleep(failure.retry_after or backoff(attempt, LONGEST_HOLD))
            attempt += 1

    async def _ask_once(self, method: str, *params: Any) -> Any:
        shown = self._endpoint.shown
        try:
            answer: Mapping[str, Any] = await self._w3.provider.make_request(method, list(params))
        except Exception as error:
            if isinstance(status := getattr(error, "status", None), int):
                retry_after = parse_retry_after((getattr(error, "headers", None) or {}).get("Retry-After"))
                raise judge_status(status, shown, retry_after) from None
            said = self._endpoint.redact(f"{type(error).__name__}: {error}")[:200]
            raise NodeFailure(Verdict.TRANSIENT, "Unavailable", f"{shown} can't be reached ({said})") from None
        if not isinstance(answer, Mapping) or ("error" not in answer and "result" not in answer):
            raise NodeFailure(Verdict.TRANSIENT, "Unavailable", f"{shown} answered with something that is not JSON-RPC")
        if isinstance(refusal := answer.get("error"), Mapping):
            message = self._endpoint.redact(str(refusal.get("message", "")))
            raise judge(method, RpcError(int(refusal.get("code", 0)), message), shown)
        return answer.get("result")

    async def has(self, method: str, *params: Any) -> bool:
        """Whether a method is offered and has an answer to this."""
        try:
            return await self.ask(method, *params) is not None
        except NodeFailure as failure:
            if failure.verdict in (Verdict.UNSUPPORTED, Verdict.MISSING) or failure.reason.startswith("Pruned"):
                return False
            raise


async def discover(settings: Settings, plans: Mapping[str, StreamPlan], report: Report) -> Catalogue:
    """The streams of a configuration, by the first endpoint that answers.

    Raises:
        TransientError, ActionRequiredError: None answers; what the first one said.
    """
    first: ConnectorError | None = None
    rate = RateLimit(settings.requests_per_second)
    for endpoint in settings.endpoints:
        try:
            facts = await probe_endpoint(endpoint, settings, rate)
        except NodeFailure as failure:
            first = first or failure.as_error()
            report.note(failure.message)
        else:
            report.connected()
            return build_catalogue(facts, plans, settings)
    assert first is not None  # noqa: S101 - there is at least one endpoint
    raise first


async def probe_endpoint(endpoint: Endpoint, settings: Settings, rate: RateLimit) -> NodeFacts:
    """Asks one node.

    Raises:
        NodeFailure: It can't be reached or does not answer as a node does.
    """
    w3 = build_web3(endpoint)
    async with AsyncExitStack() as stack:
        if endpoint.kind == "http":
            stack.push_async_callback(asyncio.sleep, 0)  # the sockets are closed in the loop's next turn
            stack.push_async_callback(w3.provider.disconnect)
        else:
            try:
                await stack.enter_async_context(w3)
            except Exception as error:
                said = endpoint.redact(f"{type(error.__cause__ or error).__name__}: {error.__cause__ or error}")[:200]
                if isinstance(
                    status := getattr(getattr(error.__cause__ or error, "response", None), "status_code", None), int
                ):
                    raise judge_status(status, endpoint.shown) from None
                raise NodeFailure(
                    Verdict.TRANSIENT, "Unavailable", f"{endpoint.shown} can't be reached ({said})"
                ) from None
        probe = Probe(w3, endpoint, rate)
        try:
            return await _facts(probe, settings)
        except (TypeError, ValueError, KeyError) as error:
            said = f"does not answer as a node does ({type(error).__name__})"
            raise NodeFailure(Verdict.TRANSIENT, "Unavailable", f"{endpoint.shown} {said}") from None


async def _facts(probe: Probe, settings: Settings) -> NodeFacts:
    chain_id = int(await probe.ask("eth_chainId"), 16)
    genesis = (await probe.ask("eth_getBlockByNumber", "0x0", False))["hash"]
    latest = await probe.ask("eth_getBlockByNumber", "latest", False)
    head = int(latest["number"], 16)
    has_receipts = await probe.has("eth_getBlockReceipts", latest["hash"])
    tags = (Tag.SAFE, Tag.FINALIZED)
    known = tuple([tag for tag in tags if await probe.has("eth_getBlockByNumber", tag.value, False)])
    return NodeFacts(
        chain_id,
        genesis,
        str(await probe.ask("web3_clientVersion")) if await probe.has("web3_clientVersion") else "",
        head,
        known,
        await _earliest(probe, head),
        await _log_range(probe, head, settings.max_block_range),
        has_receipts,
        await _trace_method(probe, latest["hash"], latest["number"]),
    )


async def _earliest(probe: Probe, head: int) -> int | None:
    """By halving: nodes drop history from the beginning (EIP-4444), bodies and receipts but not headers."""

    async def is_there(number: int) -> bool:
        # By logs: every node has them by number, and a pruned one says so.
        try:
            block = await probe.ask("eth_getBlockByNumber", hex(number), False)
            return block is not None and await probe.has("eth_getLogs", {"blockHash": block["hash"]})
        except NodeFailure as failure:
            if failure.verdict is Verdict.SHRINK:
                return True
            if failure.reason.startswith("Pruned") or failure.verdict is Verdict.MISSING:
                return False
            raise

    low, high = 0, head
    if await is_there(min(1, head)):
        return 0
    if not await is_there(head):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if await is_there(middle) else (middle, high)
    return high


async def _log_range(probe: Probe, head: int, wanted: int) -> int | None:
    """What a refusal suggests, else by halving, as reading does it."""
    size = limit = min(wanted, head + 1)
    while True:
        bounds = {"fromBlock": hex(head - size + 1), "toBlock": hex(head), "address": _NOBODY}
        try:
            await probe.ask("eth_getLogs", bounds)
        except NodeFailure as failure:
            if failure.verdict is Verdict.MISSING or failure.reason.startswith("Pruned"):
                return None
            if failure.verdict is not Verdict.SHRINK:
                raise
            if size > 1:
                suggested = failure.suggested or 0
                size = suggested if 0 < suggested < size else size // 2
                continue
        return None if size == limit else size


async def _trace_method(probe: Probe, head: str, number: str) -> str:
    for method, params in (("debug_traceBlockByHash", (head, CALL_TRACER)), ("trace_block", (number,))):
        try:
            found = await probe.ask(method, *params)
        except NodeFailure as failure:
            if failure.verdict in (Verdict.UNSUPPORTED, Verdict.FINAL):
                continue
        else:
            if method != TRACE_METHODS[1] and isinstance(found, list) and not are_call_trees(found):
                continue
        return method
    return ""


def build_catalogue(facts: NodeFacts, plans: Mapping[str, StreamPlan], settings: Settings) -> Catalogue:
    """What a node's facts mean for the streams. Pure."""
    streams = tuple(
        StreamInfo(
            id=name,
            key=plan.schema.key,
            modes=MODES,
            columns=tuple(ColumnInfo(c.name, str(c.type), c.nullable) for c in plan.schema.columns),
            description=plan.description,
        )
        for name, plan in plans.items()
        if name != "traces" or facts.trace_method
    )
    return Catalogue(streams, len(streams), identity_of(facts.chain_id, facts.genesis), tuple(_notes(facts, settings)))


def _notes(facts: NodeFacts, settings: Settings) -> list[str]:
    client = facts.client or "a client that does not tell its name"
    notes = [f"chain {facts.chain_id}, {client}, head at block {facts.head}"]
    notes += find_events(settings.abi, settings.events).unreadable
    if isinstance(settings.finality, Tag) and settings.finality not in (Tag.LATEST, *facts.finality):
        notes.append(
            f"the node knows no {settings.finality} block now, so that nothing would be read; "
            "wait for it to catch up, or set finality to a number of confirmations"
        )
    if facts.earliest is None:
        notes.append("the node has no logs even of its newest block; it may still be starting")
    elif facts.earliest:
        wanted = (
            settings.start if isinstance(settings.start, int) else 0 if settings.start is Tag.EARLIEST else facts.head
        )
        cure = "; startBlock lies before, so reading would stop there" if wanted < facts.earliest else ""
        notes.append(f"the node's history begins at block {facts.earliest}{cure}")
    if facts.log_range is not None:
        notes.append(f"log queries cover {facts.log_range} blocks here; the range tunes itself to that")
    if not facts.has_block_receipts:
        notes.append(
            "the node has no eth_getBlockReceipts; receipts are read one by one, which takes many more requests"
        )
    if not facts.trace_method:
        notes.append("the node offers neither debug_traceBlockByHash nor trace_block: there is no stream traces")
    return notes
