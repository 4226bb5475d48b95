"""Blocks and what belongs to them, from a node: asked for and checked, still as the node's objects.

By block hash wherever an answer does not name its block all through; a block itself by its number, as the chain of parent
hashes proves it. What can't be believed is a `StaleAnswerError`, for the caller to ask again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError
from connector_runner.sources.ethereum import bloom
from connector_runner.sources.ethereum.checks import (
    StaleAnswerError,
    check_contents,
    check_logs,
    check_number,
    check_receipts,
    passes,
    whole,
)
from connector_runner.sources.ethereum.decode import tables
from connector_runner.sources.ethereum.decode.answers import Header, decode_block, decode_header, decode_objects
from connector_runner.sources.ethereum.decode.rows import Json
from connector_runner.sources.ethereum.decode.traces import are_call_trees
from connector_runner.sources.ethereum.failures import NodeFailure, TooLargeError, Verdict
from connector_runner.sources.ethereum.limits import RangeTuner
from connector_runner.sources.ethereum.nodes import Nodes
from connector_runner.sources.ethereum.settings import LogFilter
from connector_runner.sources.ethereum.transports import Answer

TRACE_METHODS = ("debug_traceBlockByHash", "trace_block")
CALL_TRACER = {"tracer": "callTracer"}
BlockLogs = tuple[Header, list[Json], int]
"""A block's header, its logs, and the bytes of the answers that they came in."""


class Fetcher:
    """Asks the nodes for one stream.

    Attributes:
        nodes: The endpoints.
    """

    def __init__(self, nodes: Nodes, max_block_range: int) -> None:
        self.nodes = nodes
        self._max_block_range = max_block_range
        self._missing: set[tuple[int, str]] = set()

    @property
    def tuner(self) -> RangeTuner:
        """The range of log queries of the endpoint in use."""
        return self.nodes.limits.log_range(self._max_block_range)

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
        answers = await self.nodes.call_many([("eth_getBlockByNumber", [hex(number), False]) for number in numbers])
        return [self._header(answer, number) for number, answer in zip(numbers, answers, strict=True)]

    async def block(self, number: int, *, full: bool) -> tuple[Header, Json, int]:
        """A block with the hashes of its transactions, or with its transactions.

        Raises:
            StaleAnswerError: The node has no such block, or left out what is in it.
        """
        answer = await self.nodes.call("eth_getBlockByNumber", hex(number), full)
        found = decode_block(answer, tables.KnownFullBlock if full else tables.KNOWN_BLOCK)
        if found is None:
            raise StaleAnswerError(f"the node does not have block {number}")
        check_contents(check_number(found[0], number), found[1])
        return *found, len(memoryview(answer))

    async def _offered(self, method: str, *params: Any) -> Answer | None:
        """The result; None from an endpoint that does not offer the method, which is then not asked for it again."""
        lacking = self.nodes.place, method
        if lacking in self._missing:
            return None
        try:
            return await self.nodes.call(method, *params)
        except NodeFailure as failure:
            if failure.verdict is not Verdict.UNSUPPORTED:
                raise
            self._missing.add(lacking)
            return None

    async def receipts(self, header: Header, hashes: Sequence[str]) -> tuple[list[Json], list[Json], int]:
        """A block's receipts, one a transaction and in their order; their logs; and the bytes that it took."""
        if not hashes:
            return [], [], 0
        answer = await self._offered("eth_getBlockReceipts", header.hash)
        if answer is None:
            singles = await self._single_receipts(hashes)
            raw = b"[" + b",".join(map(bytes, singles)) + b"]"
        else:
            raw = bytes(answer)
        receipts = _found(decode_objects(raw, "receipts"), header, "receipts")
        return receipts, check_receipts(header, hashes, receipts), len(raw)

    async def _single_receipts(self, hashes: Sequence[str]) -> list[Answer]:
        answers = await self.nodes.call_many([("eth_getTransactionReceipt", [own]) for own in hashes])
        if any(bytes(answer) == b"null" for answer in answers):
            raise StaleAnswerError("the node does not have a receipt of a transaction whose block it has")
        return answers

    async def logs_of_block(self, number: int, wanted: LogFilter) -> BlockLogs:
        """A block's logs by its hash."""
        header, size = await self.header(number)
        if not wanted.is_open and not bloom.may_match(header.bloom, wanted):
            return header, [], size
        logs, more = await self._logs_by_hash(header)
        return _kept(header, size, logs, more, wanted)

    async def _logs_by_hash(self, header: Header) -> tuple[list[Json], int]:
        """All of them, as only that can be proven."""
        try:
            answer = await self.nodes.call("eth_getLogs", {"blockHash": header.hash})
        except NodeFailure as failure:
            if failure.verdict is not Verdict.SHRINK:
                raise
            return await self._logs_from_receipts(header)
        logs = _found(decode_objects(answer, "logs", tables.KNOWN_LOG), header, "logs")
        check_logs(header, logs)
        return logs, len(memoryview(answer))

    async def _logs_from_receipts(self, header: Header) -> tuple[list[Json], int]:
        """Where the provider does not give even one block's logs in one answer."""
        _, block, _ = await self.block(header.number, full=False)
        _, logs, size = await self.receipts(header, hashes_of(block))
        check_logs(header, logs)
        return logs, size

    async def logs_of_range(self, first: int, last: int, wanted: LogFilter) -> list[BlockLogs]:
        """Logs of a range of blocks that don't change any more.

        An answer by a filter can't be told from one that lacks something, so the filter is applied here: the blooms say which
        blocks may have logs that pass it. Where those are few, each is asked for by its hash; else all logs of the range are asked
        for at once, and again by hash those of blocks that they do not prove to be whole.
        """
        if wanted.is_open:
            headers, answers = await asyncio.gather(self.headers(first, last), self._answers_by_range(first, last))
            return await self._proven_range(headers, answers, wanted)
        headers = await self.headers(first, last)
        matching = [header for header, _ in headers if bloom.may_match(header.bloom, wanted)]
        if 2 * len(matching) > len(headers):
            return await self._proven_range(headers, await self._answers_by_range(first, last), wanted)
        found = await asyncio.gather(*(self._matching(header, size, wanted) for header, size in headers))
        self.tuner.measured(len(headers), sum(asked for _, asked in found))
        return [logs for logs, _ in found]

    async def _matching(self, header: Header, size: int, wanted: LogFilter) -> tuple[BlockLogs, int]:
        if not bloom.may_match(header.bloom, wanted):
            return (header, [], size), 0
        logs, more = await self._logs_by_hash(header)
        return _kept(header, size, logs, more, wanted), more

    async def _proven_range(
        self, headers: list[tuple[Header, int]], answers: list[Answer], wanted: LogFilter
    ) -> list[BlockLogs]:
        by_block: dict[int, list[Json]] = {header.number: [] for header, _ in headers}
        for answer in answers:
            for log in decode_objects(answer, "logs", tables.KNOWN_LOG) or []:
                if (number := whole(log.get("blockNumber"))) not in by_block:
                    raise StaleAnswerError(
                        f"asked for logs of blocks {headers[0][0].number} to {headers[-1][0].number}, "
                        f"the node answered with one of block {number}"
                    )
                by_block[number].append(log)
        each = sum(len(memoryview(answer)) for answer in answers) // max(1, sum(map(len, by_block.values())))
        return list(
            await asyncio.gather(
                *(self._proven(header, size, by_block[header.number], each, wanted) for header, size in headers)
            )
        )

    async def _proven(self, header: Header, size: int, logs: list[Json], each: int, wanted: LogFilter) -> BlockLogs:
        if not wanted.is_open and not bloom.may_match(header.bloom, wanted):
            return header, [], size
        try:
            check_logs(header, logs)
            is_proven = header.bloom is not None
        except StaleAnswerError:
            is_proven = False
        if not is_proven:
            logs, _ = await self._logs_by_hash(header)
        return _kept(header, size, logs, each * len(logs), wanted)

    async def _answers_by_range(self, first: int, last: int) -> list[Answer]:
        """As many as it takes; without blocks that the provider does not answer for even one by one."""
        answers = []
        while first <= last:
            tuner = self.tuner
            count = last - first + 1
            if not tuner.allows(count):  # it has shrunk since this piece was planned
                count = tuner.size
            try:
                answer = await self._logs_between(first, count)
            except TooLargeError as refusal:
                tuner.refused(count, refusal.failure.suggested, is_certain=refusal.is_certain)
                continue
            except NodeFailure as failure:
                if failure.verdict is Verdict.SHRINK:  # not even one block: its logs come by its hash, or from receipts
                    first += 1
                    continue
                raise
            except ConnectorError:
                tuner.restore()  # not even the narrowest: the width was not the trouble
                raise
            tuner.measured(count, len(memoryview(answer)))
            answers.append(answer)
            first += count
        return answers

    async def _logs_between(self, first: int, count: int) -> Answer:
        bounds = {"fromBlock": hex(first), "toBlock": hex(first + count - 1)}
        return await self.nodes.call("eth_getLogs", bounds, width=count)

    async def traces(self, header: Header) -> tuple[bool, list[Json], int]:
        """A block's traces; True when they are call trees (geth), False when they are flat.

        Raises:
            ActionRequiredError: No endpoint has either method.
        """
        used = self.nodes.place
        answer = await self._offered(TRACE_METHODS[0], header.hash, CALL_TRACER)
        if answer is not None:
            traces = _found(decode_objects(answer, "traces"), header, "traces")
            if are_call_trees(traces):
                return True, traces, len(memoryview(answer))
            # Besu makes struct logs whatever tracer is asked for.
            self._missing.add((used, TRACE_METHODS[0]))
        answer = await self._offered(TRACE_METHODS[1], hex(header.number))
        if answer is not None:
            return False, _found(decode_objects(answer, "traces"), header, "traces"), len(memoryview(answer))
        message = (
            f"{self.nodes.endpoint.shown} offers neither debug_traceBlockByHash nor trace_block, which the stream traces "
            "needs; use a node that has the debug or trace methods enabled"
        )
        lacking = (self._missing >= {(place, method) for method in TRACE_METHODS} for place in range(self.nodes.count))
        if not all(lacking):
            await self.nodes.rotate(message, used)
            raise StaleAnswerError(message)
        raise ActionRequiredError(message, reason="MethodMissing")


def _kept(header: Header, size: int, logs: list[Json], more: int, wanted: LogFilter) -> BlockLogs:
    """The logs that pass, with their share of the bytes."""
    kept = logs if wanted.is_open else list(filter(passes(wanted), logs))
    return header, kept, size + more * len(kept) // max(1, len(logs))


def _found(objects: list[Json] | None, header: Header, what: str) -> list[Json]:
    if objects is None:
        raise StaleAnswerError(f"the node does not have the {what} of block {header.number} ({header.hash})")
    return objects


def hashes_of(block: Json) -> list[str]:
    """Hashes of the transactions of a block that was asked for without them."""
    hashes: list[str] = block.get("transactions") or []
    return hashes
