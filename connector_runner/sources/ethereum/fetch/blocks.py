"""Fetches and checks blocks, receipts and traces from a node, as the node's objects.

Requests are by block hash unless all parts of the answer name their block. Blocks are requested by number, as the chain of
parent hashes proves them. An answer that can't be trusted raises `StaleAnswerError`, and the caller asks again.
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
    """Fetches blocks, their receipts and their traces from the nodes.

    Attributes:
        pool: The endpoints.
        prover: Proves the answers.
        missing: Endpoints (by index) and the methods that they do not offer.
        isolates: Streams that can't be read do not keep others from being read (see `PlanSet`).
    """

    def __init__(self, pool: EndpointPool, prover: Prover) -> None:
        self.pool = pool
        self.prover = prover
        self.missing: set[tuple[int, str]] = set()
        self.isolates = False
        self._refused: set[tuple[int, str]] = set()
        self._changes = pool.changes
        self._found: dict[Hashable, Any] | None = (
            None  # what was already fetched for a piece that several streams share
        )

    def for_piece(self, *, is_shared: bool) -> Self:
        """Returns a copy that reads some blocks, from one endpoint as long as `is_from_one`.

        `is_shared`: several streams read them in sequence, so nothing is requested or proven twice.
        """
        piece = copy.copy(self)
        piece._found = {} if is_shared else None
        piece._changes = self.pool.changes
        return piece

    @property
    def is_from_one(self) -> bool:
        """Whether everything of this piece is from the endpoint in use."""
        return self._changes == self.pool.changes

    async def _once(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Makes a value for the first stream of a piece, and reuses it for the others."""
        if self._found is None:
            return await make()
        if key not in self._found:
            self._found[key] = await make()
        found: T = self._found[key]
        return found

    def _do_once(self, key: Hashable, do: Callable[[], object]) -> None:
        """Does something for the first stream of a piece; it counts as done only if it did not fail."""
        if self._found is None:
            do()
        elif key not in self._found:
            do()
            self._found[key] = True

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
        """Fetches a block's header; an absent one if the chain may have no block at that height.

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
        """The header of a height without a block; the next block's parent hash shows whether that is correct."""
        if self.prover.family.heights:
            raise StaleAnswerError(f"the node does not have block {number}")
        return Header(number, "", "", 0, 0)

    async def headers(self, first: int, last: int) -> list[tuple[Header, int]]:
        """Fetches the headers of a range, in batches."""
        return await self._once(("headers", first, last), partial(self._headers, first, last))

    async def _headers(self, first: int, last: int) -> list[tuple[Header, int]]:
        numbers = range(first, last + 1)
        if not self.prover.family.heights:  # one refused header would fail its whole batch
            return await gather_all(map(self.header, numbers))
        answers = await self.pool.call_many([(BLOCK, [hex(number), False]) for number in numbers])
        return [self._header(answer, number) for number, answer in zip(numbers, answers, strict=True)]

    async def block(
        self, number: int, *, full: bool = False, known: type[Members] = tables.KNOWN_BLOCK
    ) -> tuple[Header, Json, int]:
        """Fetches a block with the hashes of its transactions, or with its full transactions, which are proven if configured.

        Raises:
            StaleAnswerError: The node has no such block, or omitted its contents.
        """
        return await self._once(("block", number, full, known), partial(self._block, number, full, known))

    async def _block(self, number: int, full: bool, known: type[Members]) -> tuple[Header, Json, int]:
        answer = await self._ask_block(number, full)
        found = decode_block(answer, known)
        if found is None:
            return self._absent(number), {}, len(memoryview(answer))
        header, block = found
        check_contents(check_number(header, number), block, self.prover.family)
        if full and self.prover.proves(number):
            self._do_once(("transactions proven", header.hash), partial(self._prove_transactions, header, block))
        return header, block, len(memoryview(answer))

    def _prove_transactions(self, header: Header, block: Json) -> None:
        self.prover.prove_transactions(header, check_transactions(header, block))

    async def proven_block(self, number: int) -> tuple[Header, Json, int]:
        """Fetches a block, with its list of transactions proven if configured; for streams that count or name them."""
        return await self.block(number, full=self.prover.proves(number) and self.prover.family.transactions)

    async def offered(self, method: str, *params: Any) -> Answer | None:
        """Returns the result; None if the endpoint does not offer the method, which it is then not asked for again."""
        if (self.pool.index, method) in self.missing:
            return None
        try:
            return await self.pool.call(method, *params)
        except NodeFailure as failure:
            self._lacks(failure, method)
            return None

    async def _offered_somehow(self, method: str, *ways: Sequence[Any]) -> Answer | None:
        """Returns the result of the first variant of a request that the endpoint does not refuse; None if it refuses all."""
        names = [f"{method} {number}" for number in range(len(ways))]
        for name, params in zip(names, ways, strict=True):
            if (self.pool.index, name) in self.missing:
                continue
            try:
                return await self.pool.call(method, *params)
            except NodeFailure as failure:
                self._lacks(failure, name)
        places = {place for place, _ in self.missing}
        self.missing |= {
            (place, method) for place in places if self.missing.issuperset((place, name) for name in names)
        }
        return None

    def _lacks(self, failure: NodeFailure, method: str) -> None:
        """Records that an endpoint refused a method: the one that was asked last, not the one that was asked first.

        Raises:
            NodeFailure: It did not refuse it, but failed otherwise.
        """
        if failure.verdict is not Verdict.UNSUPPORTED or failure.place is None:
            raise failure
        self.missing.add((failure.place, method))

    async def one_way(self, way: str, method: str, *params: Any) -> Answer | None:
        """Returns the result of one of several alternative requests. None if it is refused repeatedly, for whatever reason.

        An alternative that was refused like this is tried only once from then on, until it is answered.
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
        """Fetches all receipts of a block at once; some endpoints accept only numbers. None if the method is not offered."""
        return await self._offered_somehow(RECEIPTS, (header.hash,), (hex(header.number),))

    async def receipts(self, header: Header, hashes: Sequence[str]) -> tuple[list[Json], list[Json], int]:
        """Fetches a block's receipts, one per transaction and in order; returns them, their logs, and the bytes of the answers."""
        receipts, logs, size, _ = await self._once(("receipts", header.hash), partial(self._receipts, header, hashes))
        return receipts, logs, size

    async def _receipts(self, header: Header, hashes: Sequence[str]) -> tuple[list[Json], list[Json], int, bool]:
        """Like `receipts`; the last value is whether the block's root proves them."""
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
        """Fetches a block's traces; returns True with call trees (geth), False with flat traces, and the bytes of the answer.

        Raises:
            ActionRequiredError: No endpoint offers either method.
        """
        used = self.pool.index
        # A tracer's default timeout is 5 s per transaction; one longer than our timeout for the whole answer is useless.
        seconds = self.pool.limits.read_timeout(CALL_TREES).seconds
        patient = {**CALL_TRACER, "timeout": f"{seconds:.0f}s"}
        answer, changes = None, self.pool.changes
        if (used, CALL_TREES) not in self.missing:
            ways = (header.hash, patient), (header.hash, CALL_TRACER)
            answer = await self._offered_somehow(CALL_TREES, *ways)
        if answer is not None:
            traces = found_objects(decode_objects(answer, "traces"), header, "traces")
            if are_call_trees(traces):
                return True, traces, len(memoryview(answer))
            if changes != self.pool.changes:
                raise StaleAnswerError(f"the endpoint was changed while block {header.number} was traced")
            # Besu returns struct logs for any tracer.
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
    """Returns what a node answered about a block.

    Raises:
        StaleAnswerError: It answered null.
    """
    if objects is None:
        raise StaleAnswerError(f"the node does not have the {what} of block {header.number} ({header.hash})")
    return objects


def hashes_of(block: Json) -> list[str]:
    """Hashes of a block's transactions, whether it was fetched with full transactions or only their hashes."""
    return [item if isinstance(item, str) else item["hash"] for item in block.get("transactions") or ()]
