"""Fetches logs of blocks from a node: proven as far as possible, and without blocks that a trusted bloom excludes.

An answer that was filtered by the node can't be distinguished from an incomplete one, so the filter is applied here.
"""

from __future__ import annotations

from functools import partial

import msgspec

from connector_runner.protocols.errors import ConnectorError
from connector_runner.sources.ethereum.decode import tables
from connector_runner.sources.ethereum.decode.responses import Header, decode_objects
from connector_runner.sources.ethereum.decode.rows import Json, whole
from connector_runner.sources.ethereum.endpoints.limits import RangeTuner
from connector_runner.sources.ethereum.endpoints.pool import EndpointPool
from connector_runner.sources.ethereum.errors import StaleAnswerError, TooLargeError
from connector_runner.sources.ethereum.fetch.blocks import BlockFetcher, found_objects, hashes_of
from connector_runner.sources.ethereum.rpc.gathering import gather_all, gather_pair
from connector_runner.sources.ethereum.rpc.methods import LOGS, RECEIPTS
from connector_runner.sources.ethereum.rpc.transport import Answer
from connector_runner.sources.ethereum.settings import LogFilter
from connector_runner.sources.ethereum.verify import bloom
from connector_runner.sources.ethereum.verify.consistency import check_logs, check_receipts, holds_logs, passes
from connector_runner.sources.ethereum.verify.proofs import BloomTrust, Prover
from connector_runner.sources.ethereum.verify.trie import EMPTY_ROOT


class BlockLogs(msgspec.Struct, frozen=True, gc=False):
    """The wanted logs of a block.

    Attributes:
        header: The block's header.
        logs: The logs in order.
        size: Bytes of the answers that they were in.
        asked: Bytes that were fetched besides the header.
        is_outside_bloom, is_left_out, refutes_bloom: See `BlockRows`.
    """

    header: Header
    logs: list[Json]
    size: int
    asked: int = 0
    is_outside_bloom: bool = False
    is_left_out: bool = False
    refutes_bloom: bool = False


class Fetcher(BlockFetcher):
    """Fetches the data of streams from the nodes.

    Attributes:
        is_bloom_refuted: A block of this dataset had logs that were missing in its bloom: no bloom is trusted any more.
    """

    def __init__(self, pool: EndpointPool, max_block_range: int, prover: Prover | None = None) -> None:
        super().__init__(pool, prover or Prover())
        self.is_bloom_refuted = False
        self._max_block_range = max_block_range
        self._trusts: dict[int, BloomTrust] = {}

    @property
    def tuner(self) -> RangeTuner:
        """The range limit for log queries of the endpoint in use."""
        return self.pool.limits.log_range(self._max_block_range)

    async def logs_of_block(self, number: int, wanted: LogFilter) -> BlockLogs:
        """Fetches the wanted logs of a block by its hash."""
        header, size = await self.header(number)
        return await self._logs_of(header, size, wanted)

    async def _logs_of(self, header: Header, size: int, wanted: LogFilter) -> BlockLogs:
        if header.is_absent:
            return BlockLogs(header, [], size)
        if self._excludes(header, wanted):
            return BlockLogs(header, [], size, is_outside_bloom=True, is_left_out=True)
        return self._kept(header, size, *await self._whole_logs(header), wanted)

    def _excludes(self, header: Header, wanted: LogFilter) -> bool:
        """Whether a block can be skipped; at the head none is."""
        if header.is_absent:
            return True
        if header.bloom == 0 and header.receipts_root != EMPTY_ROOT:
            return False  # an empty bloom although there are receipts: the node may have lost it, and reading is cheap
        may_leave_out = self.prover.family.bloom and not self.is_bloom_refuted and header.number < self.prover.head_from
        # A bloom is trusted where it was proven: on the endpoint that the header is from.
        return may_leave_out and not wanted.is_open and self.is_from_one and self._trust.excludes(header, wanted)

    @property
    def _trust(self) -> BloomTrust:
        return self._trusts.setdefault(self.pool.index, BloomTrust())

    async def _whole_logs(self, header: Header) -> tuple[list[Json], int, bool]:
        """All logs of a block, proven as far as possible; the bytes of the answers; and whether its bloom has all of them."""
        return await self._once(("logs", header.hash), partial(self._read_logs, header))

    async def _read_logs(self, header: Header) -> tuple[list[Json], int, bool]:
        if self.prover.family.receipts and (header.receipts_root or "").lower() == EMPTY_ROOT:
            return [], 0, True
        if self._found is not None and ("receipts", header.hash) in self._found:
            _, logs, _, is_proven = self._found["receipts", header.hash]
            return logs, 0, holds_logs(header, logs) if is_proven else check_logs(header, logs, self.prover.family)
        if self.prover.proves(header.number) and self.prover.family.receipts:
            found = await self._logs_by_root(header)
            if found is not None:
                return found
        return await self._logs_by_hash(header)

    async def _logs_by_root(self, header: Header) -> tuple[list[Json], int, bool] | None:
        """Logs from receipts, whose root proves all of them; None if the endpoint lacks the method, or the proof is impossible."""
        if header.receipts_root is None:
            return None
        answer = await self.block_receipts(header)
        if answer is None:
            self.prover.report(
                RECEIPTS,
                "logs",
                "the node does not offer eth_getBlockReceipts: a block's last log can't be proven to be there when its address "
                "and all its topics occur in the block's other logs, too",
            )
            return None
        receipts = found_objects(decode_objects(bytes(answer), "receipts"), header, "receipts")
        logs = check_receipts(header, None, receipts, self.prover.family, by_bloom=False)
        if not self.prover.prove_receipts(header, receipts):
            return None
        return logs, len(memoryview(answer)), holds_logs(header, logs)

    async def _logs_by_hash(self, header: Header) -> tuple[list[Json], int, bool]:
        """All logs of a block by its hash, without a filter: only the complete list can be proven."""
        answer = await self.one_way("logs by hash", LOGS, {"blockHash": header.hash})
        if answer is None:
            return await self._logs_from_receipts(header)
        logs = found_objects(decode_objects(answer, "logs", tables.KNOWN_LOG), header, "logs")
        return logs, len(memoryview(answer)), check_logs(header, logs, self.prover.family)

    async def _logs_from_receipts(self, header: Header) -> tuple[list[Json], int, bool]:
        """Logs from receipts, if the provider refuses even the logs of a single block."""
        _, block, _ = await self.block(header.number)
        _, logs, size = await self.receipts(header, hashes_of(block))
        return logs, size, check_logs(header, logs, self.prover.family)

    async def logs_of_range(self, first: int, last: int, wanted: LogFilter) -> list[BlockLogs]:
        """Fetches the wanted logs of a range of blocks that don't change any more.

        A filtered answer can't be distinguished from an incomplete one, so the filter is applied here: blooms that were proven on
        this endpoint show which blocks may have matching logs. If lists are proven in a backfill, each of these blocks is read by
        its receipts. Otherwise, if there are few, each is read by its hash; if there are many, all logs of the range are requested
        at once, and blocks whose logs are not proven complete are read again by their hash.
        """
        if wanted.is_open and not self._reads_by_root(first):
            both = gather_pair(self.headers(first, last), self._answers_by_range(first, last))
            return await self._proven_range(*await both, wanted)
        headers = await self.headers(first, last)
        asked = [header for header, _ in headers if not self._excludes(header, wanted)]
        if not self._reads_by_root(first) and 2 * len(asked) > len(headers):
            return await self._proven_range(headers, await self._answers_by_range(first, last), wanted)
        found = await gather_all(self._logs_of(header, size, wanted) for header, size in headers)
        self.tuner.measured(len(headers), sum(one.asked for one in found))
        return found

    def _reads_by_root(self, first: int) -> bool:
        is_offered = (self.pool.index, RECEIPTS) not in self.missing
        return self.prover.proves(first) and self.prover.family.receipts and is_offered

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
        return await gather_all(
            self._proven(header, size, by_block[header.number], each, wanted) for header, size in headers
        )

    async def _proven(self, header: Header, size: int, logs: list[Json], each: int, wanted: LogFilter) -> BlockLogs:
        if header.is_absent:
            return BlockLogs(header, [], size)
        if self._excludes(header, wanted):
            return BlockLogs(header, [], size, is_outside_bloom=True, is_left_out=True)
        holds = False
        try:
            is_proven = (
                check_logs(header, logs, self.prover.family) and header.bloom is not None and self.prover.family.bloom
            )
            is_proven = is_proven and (header.bloom != 0 or header.receipts_root in (EMPTY_ROOT, None))
            holds = is_proven
        except StaleAnswerError:
            is_proven = False
        if not is_proven:
            logs, _, holds = await self._whole_logs(header)
        return self._kept(header, size, logs, each * len(logs), holds, wanted)

    def _kept(
        self, header: Header, size: int, logs: list[Json], more: int, holds: bool, wanted: LogFilter
    ) -> BlockLogs:
        """Keeps the logs that match, with their share of the bytes; and records whether the block's bloom had all logs."""
        if logs and self.prover.family.bloom and header.bloom is not None and self.is_from_one:
            self._do_once(("tried", header.hash), partial(self._trust.observe, holds))
        kept = logs if wanted.is_open else list(filter(passes(wanted), logs))
        return BlockLogs(
            header,
            kept,
            size + more * len(kept) // max(1, len(logs)),
            asked=more,
            is_outside_bloom=not wanted.is_open and not bloom.may_match(header.bloom, wanted),
            refutes_bloom=not holds and self.prover.family.bloom,
        )

    async def _answers_by_range(self, first: int, last: int) -> list[Answer]:
        """Answers for a range, in as many requests as needed; without blocks that the provider refuses even individually."""
        return await self._once((LOGS, first, last), partial(self._ask_by_range, first, last))

    async def _ask_by_range(self, first: int, last: int) -> list[Answer]:
        answers = []
        while first <= last:
            tuner = self.tuner
            count = last - first + 1
            if not tuner.allows(count):  # the limit has shrunk since this piece was planned
                count = tuner.size
            try:
                answer = await self._logs_between(first, count)
            except TooLargeError as refusal:
                tuner.refused(count, refusal.failure.suggested, is_certain=refusal.is_certain)
                continue
            except ConnectorError:
                tuner.restore()  # even the smallest range failed: the range was not the problem
                raise
            if answer is None:  # a single block was refused: read its logs by hash, or from receipts
                tuner.restore()  # the range was not the problem
                first += 1
                continue
            tuner.measured(count, len(memoryview(answer)))
            answers.append(answer)
            first += count
        return answers

    async def _logs_between(self, first: int, count: int) -> Answer | None:
        bounds = {"fromBlock": hex(first), "toBlock": hex(first + count - 1)}
        if count == 1:
            return await self.one_way("logs by number", LOGS, bounds)
        return await self.pool.call(LOGS, bounds, width=count)
