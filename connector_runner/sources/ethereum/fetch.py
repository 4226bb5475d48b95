"""Blocks and what belongs to them, from a node: asked for and checked, still as the node's objects.

By block hash wherever an answer does not name its block all through; a block itself by its number, as the chain of parent
hashes proves it. What can't be believed is a `StaleAnswerError`, for the caller to ask again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.ethereum import bloom
from connector_runner.sources.ethereum.checks import (
    StaleAnswerError,
    check_logs,
    check_number,
    check_receipts,
    passes,
    whole,
)
from connector_runner.sources.ethereum.decode.answers import Header, decode_block, decode_header, decode_objects
from connector_runner.sources.ethereum.decode.rows import Json
from connector_runner.sources.ethereum.failures import NodeFailure, Verdict
from connector_runner.sources.ethereum.nodes import Nodes
from connector_runner.sources.ethereum.pacing import RangeTuner
from connector_runner.sources.ethereum.settings import LogFilter
from connector_runner.sources.ethereum.transports import BATCH_SIZE, Answer

CALL_TRACER = {"tracer": "callTracer"}
BlockLogs = tuple[Header, list[Json], int]
"""A block's header, its logs, and the bytes of the answers that they came in."""


class Fetcher:
    """Asks the nodes for one stream.

    Attributes:
        nodes: The endpoints.
        tuner: The range of log queries.
    """

    def __init__(self, nodes: Nodes, max_block_range: int) -> None:
        self.nodes = nodes
        self.tuner = RangeTuner(max_block_range)
        self._has_block_receipts = True
        self._has_call_trees: bool | None = None

    async def header(self, number: int) -> tuple[Header, int]:
        """A block's header.

        Raises:
            StaleAnswerError: The node has no such block.
        """
        answer = await self.nodes.call("eth_getBlockByNumber", hex(number), False)
        return self._header(answer, number)

    def _header(self, answer: Answer, number: int) -> tuple[Header, int]:
        header = decode_header(answer)
        if header is None:
            raise StaleAnswerError(f"the node does not have block {number}")
        return check_number(header, number), len(memoryview(answer))

    async def headers(self, first: int, last: int) -> list[tuple[Header, int]]:
        """Headers of a range, in batches."""
        numbers = range(first, last + 1)
        chunks = [numbers[place : place + BATCH_SIZE] for place in range(0, len(numbers), BATCH_SIZE)]
        answers = await asyncio.gather(
            *(
                self.nodes.call_many([("eth_getBlockByNumber", [hex(number), False]) for number in chunk])
                for chunk in chunks
            )
        )
        flat = (answer for chunk in answers for answer in chunk)
        return [self._header(answer, number) for number, answer in zip(numbers, flat, strict=True)]

    async def block(self, number: int, *, full: bool) -> tuple[Header, Json, int]:
        """A block with the hashes of its transactions, or with its transactions.

        Raises:
            StaleAnswerError: The node has no such block.
        """
        answer = await self.nodes.call("eth_getBlockByNumber", hex(number), full)
        found = decode_block(answer)
        if found is None:
            raise StaleAnswerError(f"the node does not have block {number}")
        return check_number(found[0], number), found[1], len(memoryview(answer))

    async def receipts(self, header: Header, hashes: Sequence[str]) -> tuple[list[Json], int]:
        """A block's receipts, one a transaction and in their order."""
        if not hashes:
            return [], 0
        if self._has_block_receipts:
            try:
                answers = [await self.nodes.call("eth_getBlockReceipts", header.hash)]
            except NodeFailure as failure:
                if failure.verdict is not Verdict.UNSUPPORTED:
                    raise
                self._has_block_receipts = False
        if self._has_block_receipts:
            receipts = _found(decode_objects(answers[0], "receipts"), header, "receipts")
        else:
            answers = await self._single_receipts(hashes)
            receipts = _found(
                decode_objects(b"[" + b",".join(map(bytes, answers)) + b"]", "receipts"), header, "receipts"
            )
        check_receipts(header, hashes, receipts)
        return receipts, sum(len(memoryview(answer)) for answer in answers)

    async def _single_receipts(self, hashes: Sequence[str]) -> list[Answer]:
        chunks = [hashes[place : place + BATCH_SIZE] for place in range(0, len(hashes), BATCH_SIZE)]
        found = await asyncio.gather(
            *(self.nodes.call_many([("eth_getTransactionReceipt", [own]) for own in chunk]) for chunk in chunks)
        )
        answers = [answer for chunk in found for answer in chunk]
        if any(bytes(answer) == b"null" for answer in answers):
            raise StaleAnswerError("the node does not have a receipt of a transaction whose block it has")
        return answers

    async def logs_of_block(self, number: int, wanted: LogFilter) -> BlockLogs:
        """A block's logs by its hash."""
        header, size = await self.header(number)
        logs, more = await self._logs_by_hash(header, wanted)
        return header, logs, size + more

    async def _logs_by_hash(self, header: Header, wanted: LogFilter) -> tuple[list[Json], int]:
        if not bloom.may_match(header.bloom, wanted):
            return [], 0
        try:
            answer = await self.nodes.call("eth_getLogs", {"blockHash": header.hash, **wanted.parameters()})
        except NodeFailure as failure:
            if failure.verdict is not Verdict.SHRINK:
                raise
            return await self._logs_from_receipts(header, wanted)
        logs = _found(decode_objects(answer, "logs"), header, "logs")
        check_logs(header, logs, wanted)
        return logs, len(memoryview(answer))

    async def _logs_from_receipts(self, header: Header, wanted: LogFilter) -> tuple[list[Json], int]:
        """Where even one block has more logs than the provider gives in one answer."""
        _, block, _ = await self.block(header.number, full=False)
        receipts, size = await self.receipts(header, block["transactions"])
        logs = [log for receipt in receipts for log in receipt["logs"]]
        check_logs(header, logs, LogFilter())
        return list(filter(passes(wanted), logs)), size

    async def logs_of_range(self, first: int, last: int, wanted: LogFilter) -> list[BlockLogs]:
        """Logs of a range of blocks that don't change any more.

        Answers by range can't be told from lies by themselves, so each block's logs are held against its header; where they do not
        fit, or could be missing, the block is asked for again by its hash.
        """
        headers, (logs, size) = await asyncio.gather(
            self.headers(first, last), self._logs_by_range(first, last, wanted)
        )
        by_block: dict[int, list[Json]] = {}
        for log in logs:
            by_block.setdefault(whole(log.get("blockNumber")), []).append(log)
        if by_block and not (first <= min(by_block) and max(by_block) <= last):
            raise StaleAnswerError(f"asked for logs of blocks {first} to {last}, the node answered with others")
        share = size // len(headers)
        return list(
            await asyncio.gather(
                *(
                    self._trusted(header, by_block.get(header.number, []), own + share, wanted)
                    for header, own in headers
                )
            )
        )

    async def _trusted(self, header: Header, logs: list[Json], size: int, wanted: LogFilter) -> BlockLogs:
        try:
            check_logs(header, logs, wanted)
            is_certain = bool(logs) or not bloom.may_match(header.bloom, wanted)
        except StaleAnswerError:
            is_certain = False
        if not is_certain:
            logs, _ = await self._logs_by_hash(header, wanted)
        return header, logs, size

    async def _logs_by_range(self, first: int, last: int, wanted: LogFilter) -> tuple[list[Json], int]:
        logs: list[Json] = []
        size = 0
        while first <= last:
            count = min(self.tuner.size, last - first + 1)
            bounds = {"fromBlock": hex(first), "toBlock": hex(first + count - 1)}
            try:
                answer = await self.nodes.call("eth_getLogs", {**bounds, **wanted.parameters()})
            except NodeFailure as failure:
                if failure.verdict is not Verdict.SHRINK:
                    raise
                self.tuner.shrink(count, failure.suggested)
                if count == 1:
                    found, more = await self._logs_by_hash((await self.header(first))[0], wanted)
                    logs, size, first = logs + found, size + more, first + 1
                continue
            self.tuner.succeeded(count)
            logs += decode_objects(answer, "logs") or []
            size += len(memoryview(answer))
            first += count
        return logs, size

    async def traces(self, header: Header) -> tuple[bool, list[Json], int]:
        """A block's traces; True when they are call trees (geth), False when they are flat.

        Raises:
            ActionRequiredError: The node has neither method.
        """
        if self._has_call_trees is not False:
            try:
                answer = await self.nodes.call("debug_traceBlockByHash", header.hash, CALL_TRACER)
                self._has_call_trees = True
                return True, _found(decode_objects(answer, "traces"), header, "traces"), len(memoryview(answer))
            except NodeFailure as failure:
                if failure.verdict is not Verdict.UNSUPPORTED:
                    raise
                self._has_call_trees = False
        try:
            answer = await self.nodes.call("trace_block", hex(header.number))
        except NodeFailure as failure:
            if failure.verdict is not Verdict.UNSUPPORTED:
                raise
            raise ActionRequiredError(
                f"{self.nodes.endpoint.shown} offers neither debug_traceBlockByHash nor trace_block, which the stream traces "
                "needs; use a node that has the debug or trace methods enabled",
                reason="MethodMissing",
            ) from None
        return False, _found(decode_objects(answer, "traces"), header, "traces"), len(memoryview(answer))


def _found(objects: list[Json] | None, header: Header, what: str) -> list[Json]:
    if objects is None:
        raise StaleAnswerError(f"the node does not have the {what} of block {header.number} ({header.hash})")
    return objects


def hashes_of(block: dict[str, Any]) -> list[str]:
    """Hashes of the transactions of a block that was asked for without them."""
    hashes: list[str] = block.get("transactions") or []
    return hashes
