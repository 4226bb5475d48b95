"""Blocks, receipts and traces, from a node: asked for and checked, still as the node's objects.

By block hash wherever an answer does not name its block all through; a block itself by its number, as the chain of parent
hashes proves it. What can't be believed is a `StaleAnswerError`, for the caller to ask again.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import msgspec

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.ethereum.decode import tables
from connector_runner.sources.ethereum.decode.responses import Header, decode_block, decode_header, decode_objects
from connector_runner.sources.ethereum.decode.rows import Json, Members
from connector_runner.sources.ethereum.decode.traces import are_call_trees
from connector_runner.sources.ethereum.endpoints.pool import ATTEMPTS, EndpointPool
from connector_runner.sources.ethereum.errors import NodeFailure, OtherWayError, StaleAnswerError, Verdict
from connector_runner.sources.ethereum.rpc.gathering import gather_all
from connector_runner.sources.ethereum.rpc.methods import (
    BLOCK,
    CALL_TRACER,
    CALL_TREES,
    FLAT_TRACES,
    RECEIPT,
    RECEIPTS,
    TRACE_METHODS,
)
from connector_runner.sources.ethereum.rpc.transport import Answer
from connector_runner.sources.ethereum.verify.consistency import (
    check_contents,
    check_number,
    check_receipts,
    check_receipts_bloom,
    check_transactions,
)
from connector_runner.sources.ethereum.verify.proofs import Prover

T = TypeVar("T")


class BlockFetcher:
    """Asks the nodes for blocks, their receipts and their traces.

    Attributes:
        pool: The endpoints.
        prover: What is proven of the answers.
        missing: Endpoints (their places) and the methods that they do not offer.
    """

    def __init__(self, pool: EndpointPool, prover: Prover) -> None:
        self.pool = pool
        self.prover = prover
        self.missing: set[tuple[int, str]] = set()
        self._refused: set[tuple[int, str]] = set()
        self._found: dict[Hashable, Any] | None = (
            None  # what was had for a piece already, where several streams share it
        )

    def for_piece(self) -> Self:
        """The same, for several streams that read the same blocks one after the other: nothing is asked for or proven twice."""
        piece = copy.copy(self)
        piece._found = {}
        return piece

    async def _once(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """What is made for the first stream of a piece serves the others."""
        if self._found is None:
            return await make()
        if key not in self._found:
            self._found[key] = await make()
        found: T = self._found[key]
        return found

    def _is_first(self, key: Hashable) -> bool:
        """Whether something is to be done that is done once for all streams of a piece."""
        if self._found is None:
            return True
        is_first = key not in self._found
        self._found[key] = True
        return is_first

    async def _ask_block(self, number: int, full: bool = False) -> Answer:
        full = full or (self._found is not None and (BLOCK, number, True) in self._found)
        return await self._once((BLOCK, number, full), partial(self._asked_block, number, full))

    async def _asked_block(self, number: int, full: bool) -> Answer:
        try:
            return await self.pool.call(BLOCK, hex(number), full)
        except NodeFailure as failure:
            if failure.verdict is Verdict.MISSING and not self.prover.family.heights:
                return msgspec.Raw(b"null")
            raise

    async def header(self, number: int) -> tuple[Header, int]:
        """A block's header; an absent one where the chain may have no block of that height.

        Raises:
            StaleAnswerError: The node has no such block.
        """
        return self._header(await self._ask_block(number), number)

    def _header(self, answer: Answer, number: int) -> tuple[Header, int]:
        header = decode_header(answer)
        if header is None:
            return self._absent(number), len(memoryview(answer))
        return check_number(header, number), len(memoryview(answer))

    def _absent(self, number: int) -> Header:
        """Whether it is so shows when the next block comes: it names its parent."""
        if self.prover.family.heights:
            raise StaleAnswerError(f"the node does not have block {number}")
        return Header(number, "", "", 0, 0)

    async def headers(self, first: int, last: int) -> list[tuple[Header, int]]:
        """Headers of a range, in batches."""
        return await self._once(("headers", first, last), partial(self._headers, first, last))

    async def _headers(self, first: int, last: int) -> list[tuple[Header, int]]:
        numbers = range(first, last + 1)
        if not self.prover.family.heights:  # one that is refused would refuse its batch
            return await gather_all(map(self.header, numbers))
        answers = await self.pool.call_many([(BLOCK, [hex(number), False]) for number in numbers])
        return [self._header(answer, number) for number, answer in zip(numbers, answers, strict=True)]

    async def block(
        self, number: int, *, full: bool = False, known: type[Members] = tables.KNOWN_BLOCK
    ) -> tuple[Header, Json, int]:
        """A block with the hashes of its transactions, or with its transactions, which are proven then where that is wanted.

        Raises:
            StaleAnswerError: The node has no such block, or left out what is in it.
        """
        return await self._once(("block", number, full, known), partial(self._block, number, full, known))

    async def _block(self, number: int, full: bool, known: type[Members]) -> tuple[Header, Json, int]:
        answer = await self._ask_block(number, full)
        found = decode_block(answer, known)
        if found is None:
            return self._absent(number), {}, len(memoryview(answer))
        header, block = found
        check_contents(check_number(header, number), block, self.prover.family)
        if full and self.prover.proves(number) and self._is_first(("transactions proven", header.hash)):
            self.prover.prove_transactions(header, check_transactions(header, block))
        return header, block, len(memoryview(answer))

    async def proven_block(self, number: int) -> tuple[Header, Json, int]:
        """A block whose list of transactions is proven where that is wanted; for streams that count or name them."""
        return await self.block(number, full=self.prover.proves(number) and self.prover.family.transactions)

    async def offered(self, method: str, *params: Any) -> Answer | None:
        """The result; None from an endpoint that does not offer the method, which is then not asked for it again."""
        lacking = self.pool.index, method
        if lacking in self.missing:
            return None
        try:
            return await self.pool.call(method, *params)
        except NodeFailure as failure:
            if failure.verdict is not Verdict.UNSUPPORTED:
                raise
            self.missing.add(lacking)
            return None

    async def _offered_somehow(self, method: str, *ways: Sequence[Any]) -> Answer | None:
        """The result by the first way to ask that an endpoint does not refuse; None where it refuses all."""
        place = self.pool.index
        for number, params in enumerate(ways):
            if (lacking := (place, f"{method} {number}")) in self.missing:
                continue
            try:
                return await self.pool.call(method, *params)
            except NodeFailure as failure:
                if failure.verdict is not Verdict.UNSUPPORTED:
                    raise
            self.missing.add(lacking)
        self.missing.add((place, method))
        return None

    async def one_way(self, way: str, method: str, *params: Any) -> Answer | None:
        """The result, by one of several ways to ask for the same. None where it is refused again and again, whatever is said.

        A way that was refused so is tried once from then on, until it is answered.
        """
        own = self.pool.index, way
        try:
            answer = await self.pool.call(method, *params, tries=1 if own in self._refused else ATTEMPTS)
        except OtherWayError:
            self._refused.add(own)
            return None
        except NodeFailure as failure:
            if failure.verdict is not Verdict.SHRINK:
                raise
            return None
        self._refused.discard(own)
        return answer

    async def block_receipts(self, header: Header) -> Answer | None:
        """All receipts of a block at once; some endpoints take only numbers. None where that is not offered."""
        return await self._offered_somehow(RECEIPTS, (header.hash,), (hex(header.number),))

    async def receipts(self, header: Header, hashes: Sequence[str]) -> tuple[list[Json], list[Json], int]:
        """A block's receipts, one a transaction and in their order; their logs; and the bytes that it took."""
        receipts, logs, size, _ = await self._once(("receipts", header.hash), partial(self._receipts, header, hashes))
        return receipts, logs, size

    async def _receipts(self, header: Header, hashes: Sequence[str]) -> tuple[list[Json], list[Json], int, bool]:
        """The last: whether the block's root proves them."""
        if not hashes:
            return [], [], 0, False
        answer = await self.block_receipts(header)
        if answer is None:
            singles = await self._single_receipts(hashes)
            raw = b"[" + b",".join(map(bytes, singles)) + b"]"
        else:
            raw = bytes(answer)
        receipts = found_objects(decode_objects(raw, "receipts"), header, "receipts")
        logs = check_receipts(header, hashes, receipts, self.prover.family, by_bloom=False)
        is_proven = self.prover.proves(header.number) and self.prover.prove_receipts(header, receipts)
        if not is_proven and self.prover.family.bloom:
            check_receipts_bloom(header, receipts)
        return receipts, logs, len(raw), is_proven

    async def _single_receipts(self, hashes: Sequence[str]) -> list[Answer]:
        answers = await self.pool.call_many([(RECEIPT, [own]) for own in hashes])
        if any(bytes(answer) == b"null" for answer in answers):
            raise StaleAnswerError("the node does not have a receipt of a transaction whose block it has")
        return answers

    async def traces(self, header: Header) -> tuple[bool, list[Json], int]:
        """A block's traces; True when they are call trees (geth), False when they are flat.

        Raises:
            ActionRequiredError: No endpoint has either method.
        """
        used = self.pool.index
        # A tracer gives a transaction 5 s unless it is told otherwise; more than we wait for the whole helps nobody.
        seconds = self.pool.limits.read_timeout(CALL_TREES).seconds
        patient = {**CALL_TRACER, "timeout": f"{seconds:.0f}s"}
        answer = None
        if (used, CALL_TREES) not in self.missing:
            ways = (header.hash, patient), (header.hash, CALL_TRACER)
            answer = await self._offered_somehow(CALL_TREES, *ways)
        if answer is not None:
            traces = found_objects(decode_objects(answer, "traces"), header, "traces")
            if are_call_trees(traces):
                return True, traces, len(memoryview(answer))
            # Besu makes struct logs whatever tracer is asked for.
            self.missing.add((used, CALL_TREES))
        answer = await self.offered(FLAT_TRACES, hex(header.number))
        if answer is not None:
            return False, found_objects(decode_objects(answer, "traces"), header, "traces"), len(memoryview(answer))
        message = (
            f"{self.pool.endpoint.shown} offers neither debug_traceBlockByHash nor trace_block, which the stream traces "
            "needs; use a node that has the debug or trace methods enabled"
        )
        lacking = (self.missing >= {(place, method) for method in TRACE_METHODS} for place in range(self.pool.count))
        if not all(lacking):
            await self.pool.rotate(message, used)
            raise StaleAnswerError(message)
        raise ActionRequiredError(message, reason="MethodMissing")


def found_objects(objects: list[Json] | None, header: Header, what: str) -> list[Json]:
    """What a node answered about a block.

    Raises:
        StaleAnswerError: It answered null.
    """
    if objects is None:
        raise StaleAnswerError(f"the node does not have the {what} of block {header.number} ({header.hash})")
    return objects


def hashes_of(block: Json) -> list[str]:
    """Hashes of a block's transactions, whether it was asked for with or without them."""
    return [item if isinstance(item, str) else item["hash"] for item in block.get("transactions") or ()]
