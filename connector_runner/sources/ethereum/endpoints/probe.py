"""Asks a node through web3.py what it is and what it offers. A refused probe shows what is not offered; it is not an error."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from connector_runner.resilience.backoff import backoff_delay
from connector_runner.resilience.rate_limit import RateLimit
from connector_runner.sources.ethereum.decode.rows import whole
from connector_runner.sources.ethereum.decode.traces import are_call_trees
from connector_runner.sources.ethereum.endpoints.pool import LONGEST_HOLD
from connector_runner.sources.ethereum.errors import NodeFailure, Verdict
from connector_runner.sources.ethereum.rpc.methods import (
    BLOCK,
    CALL_TRACER,
    CHAIN_ID,
    FLAT_TRACES,
    LOGS,
    RECEIPTS,
    TRACE_METHODS,
)
from connector_runner.sources.ethereum.rpc.refusals import (
    RpcError,
    classify_error,
    classify_status,
    read_error,
)
from connector_runner.sources.ethereum.rpc.transport import FIRST_BACKOFF, asked_wait, decode_envelope, width_of
from connector_runner.sources.ethereum.settings import Endpoint, Settings, Tag

if TYPE_CHECKING:
    from web3 import AsyncWeb3

TRIES = 3
"""Attempts of a request that is refused because of a rate limit."""
# An address that emits no logs: the query only tests the range.
_NOBODY = "0x00000000000000000000000000000000000000a1"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node reports about itself.

    Attributes:
        chain_id, genesis: Which chain it is on.
        client: Name and version, "" when it does not report them.
        head: Number of its newest block.
        finality: The tags for which it has a block.
        earliest: Number of the first block whose receipts it still has, None when it has none at all.
        log_range: Blocks that a log query may cover; None: as many as are configured.
        has_block_receipts: Whether it offers eth_getBlockReceipts.
        trace_method: The method for traces, "" when there is none.
        refused: The node's refusals, by method or tag.
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
    refused: Mapping[str, NodeFailure] = field(default_factory=dict)


class Probe:
    """Sends requests over web3.py's connection within the rate limit; failures are classified by the table."""

    def __init__(self, w3: AsyncWeb3[Any], endpoint: Endpoint, rate: RateLimit) -> None:
        self._w3 = w3
        self._endpoint = endpoint
        self._rate = rate
        self.refused: dict[str, NodeFailure] = {}

    async def ask(self, method: str, *params: Any) -> Any:
        """Returns the decoded result.

        Raises:
            NodeFailure: The request failed; classified by the table of failures.
        """
        attempt = 0
        while True:
            await asyncio.sleep(self._rate.reserve(time.monotonic()))
            try:
                return await self._ask_once(method, *params)
            except NodeFailure as failure:
                if failure.reason != "RateLimited" or attempt == TRIES - 1 or (failure.retry_after or 0) > LONGEST_HOLD:
                    raise
                own = backoff_delay(attempt, FIRST_BACKOFF, LONGEST_HOLD, random.random())  # noqa: S311 - no secret
                await asyncio.sleep(failure.retry_after or own)
            attempt += 1

    async def _ask_once(self, method: str, *params: Any) -> Any:
        shown = self._endpoint.shown
        try:
            answer: Mapping[str, Any] = await self._w3.provider.make_request(method, list(params))
        except Exception as error:
            if isinstance(status := getattr(error, "status", None), int):
                raise self._refused_by_status(method, params, status, error) from None
            said = self._endpoint.redact(f"{type(error).__name__}: {error}")[:200]
            raise NodeFailure(Verdict.TRANSIENT, "Unavailable", f"{shown} can't be reached ({said})") from None
        if not isinstance(answer, Mapping) or ("error" not in answer and "result" not in answer):
            raise NodeFailure(Verdict.TRANSIENT, "Unavailable", f"{shown} answered with something that is not JSON-RPC")
        if (refusal := answer.get("error")) is not None:
            found = dict(refusal) if isinstance(refusal, Mapping) else refusal
            raise self._classified(method, params, found)
        return answer.get("result")

    def _classified(self, method: str, params: Any, found: Any, status: int = 200) -> NodeFailure:
        error = read_error(found)
        shown = RpcError(error.code, self._endpoint.redact(error.message))
        return classify_error(method, shown, self._endpoint.shown, status, asked=width_of((method, params)))

    def _refused_by_status(self, method: str, params: Any, status: int, error: Exception) -> NodeFailure:
        """Classifies a failure by its body, if that is a JSON-RPC answer, otherwise by its status."""
        retry_after = asked_wait(getattr(error, "headers", None) or {})
        body = str(getattr(error, "message", ""))
        try:
            found = decode_envelope(body.encode()).error
        except msgspec.DecodeError:
            found = None
        if isinstance(found, dict):
            return self._classified(method, params, found, status)
        return classify_status(status, self._endpoint.shown, retry_after, self._endpoint.redact(body))

    async def has(self, name: str, method: str, *params: Any) -> bool:
        """Whether a method is offered and answers this request. A refusal, whatever its message, is kept under `name`."""
        try:
            return await self.ask(method, *params) is not None
        except NodeFailure as failure:
            if failure.is_unreachable:
                raise
            self.refused[name] = failure
            return False


async def find_facts(probe: Probe, settings: Settings) -> NodeFacts:
    """Finds out what a node is and offers. Only requests that every stream needs may raise; other refusals are kept.

    Raises:
        NodeFailure: The chain's id, block 0 or the newest block were not returned.
        TypeError, ValueError, KeyError: They were returned in a format that no node uses.
    """
    chain_id = whole(await probe.ask(CHAIN_ID))
    genesis = (await probe.ask(BLOCK, "0x0", False))["hash"]
    latest = await probe.ask(BLOCK, "latest", False)
    head = whole(latest["number"])
    tags = (Tag.SAFE, Tag.FINALIZED)
    known = tuple([tag for tag in tags if await probe.has(tag.value, BLOCK, tag.value, False)])
    return NodeFacts(
        chain_id,
        genesis,
        await _client(probe),
        head,
        known,
        await _earliest(probe, head),
        await _log_range(probe, head, settings.max_block_range),
        # Some nodes accept only hashes, some only numbers.
        await probe.has(RECEIPTS, RECEIPTS, latest["hash"]) or await probe.has(RECEIPTS, RECEIPTS, latest["number"]),
        await _trace_method(probe, latest["hash"], latest["number"]),
        probe.refused,
    )


async def _client(probe: Probe) -> str:
    try:
        return str(await probe.ask("web3_clientVersion") or "")
    except NodeFailure:
        return ""


async def _earliest(probe: Probe, head: int) -> int | None:
    """Finds the earliest block by bisection: nodes drop the oldest bodies and receipts, not headers (EIP-4444). 0 if unknown."""

    async def is_there(number: int) -> bool:
        # With a log query: every node has logs by number, and a pruned one reports it.
        try:
            block = await probe.ask(BLOCK, hex(number), False)
            return block is not None and await probe.ask(LOGS, {"blockHash": block["hash"]}) is not None
        except NodeFailure as failure:
            if failure.verdict is Verdict.SHRINK:
                return True
            if failure.reason.startswith("Pruned") or failure.verdict is Verdict.MISSING:
                return False
            raise

    low, high = 0, head
    try:
        if await is_there(min(1, head)):
            return 0
        if not await is_there(head):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if await is_there(middle) else (middle, high)
    except NodeFailure as failure:
        probe.refused[LOGS] = failure
        return 0
    return high


async def _log_range(probe: Probe, head: int, wanted: int) -> int | None:
    """Finds the range by a refusal's suggestion, otherwise by halving, whatever its message, as in reading. None if unknown."""
    size = limit = min(wanted, head + 1)
    while True:
        bounds = {"fromBlock": hex(head - size + 1), "toBlock": hex(head), "address": _NOBODY}
        try:
            await probe.ask(LOGS, bounds)
            return None if size == limit else size
        except NodeFailure as failure:
            if failure.verdict is Verdict.MISSING or failure.reason.startswith("Pruned"):
                return None
            if size == 1:
                probe.refused.setdefault(LOGS, failure)
                return None if failure.verdict is not Verdict.SHRINK or size == limit else size
            suggested = failure.suggested or 0
            size = suggested if 0 < suggested < size else size // 2


async def _trace_method(probe: Probe, head: str, number: str) -> str:
    for method, params in zip(TRACE_METHODS, ((head, CALL_TRACER), (number,)), strict=True):
        try:
            found = await probe.ask(method, *params)
        except NodeFailure as failure:
            if failure.verdict is not Verdict.TRANSIENT and failure.verdict is not Verdict.MISSING:
                probe.refused[method] = failure
                continue
        else:
            if method != FLAT_TRACES and isinstance(found, list) and not are_call_trees(found):
                continue
        return method
    return ""
