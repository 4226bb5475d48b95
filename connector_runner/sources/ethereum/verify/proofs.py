"""Proves a block's lists by its roots, and decides whether its bloom may be used to skip it. Pure.

The root is recomputed from a list, and compared with the header's (`verify.roots`). Blooms are trusted only on an endpoint where
they had all logs of some blocks, and they continue to be tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from connector_runner.protocols.batch import Incident
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.decode.rows import Json
from connector_runner.sources.ethereum.errors import StaleAnswerError
from connector_runner.sources.ethereum.settings import LogFilter
from connector_runner.sources.ethereum.verify import bloom
from connector_runner.sources.ethereum.verify.families import ETHEREUM, Family
from connector_runner.sources.ethereum.verify.roots import (
    UnknownTypeError,
    receipts_roots,
    transactions_root,
    withdrawals_root,
)

BLOCKS_TO_TRUST = 16
"""Consecutive blocks with logs whose bloom must have all of them before blooms may be used to skip blocks."""
TRIED_EACH = 256
"""One in this many blocks that a bloom excludes is read anyway."""
CURE = "if this chain makes its blocks otherwise, set proofs: relaxed; else use another node"


@dataclass
class Prover:
    """Proves lists on the chain in use, and collects incidents about what can't be proven.

    Attributes:
        family: What the chain's blocks commit to.
        proves_all: Roots are also recomputed in a backfill.
        head_from: The first block of the chain's head, where roots are always recomputed.
        reported: Incidents to store in the dataset, once each, by their keys.
    """

    family: Family = ETHEREUM
    proves_all: bool = True
    head_from: int = 0
    reported: dict[str, Incident] = field(default_factory=dict)

    def proves(self, number: int) -> bool:
        """Whether the roots of a block are recomputed."""
        return self.proves_all or number >= self.head_from

    def report(self, key: str, subject: str, message: str) -> None:
        """Reports something that can't be proven here."""
        self.reported.setdefault(key, Incident("unproven", subject, message, {}))

    def prove_transactions(self, header: Header, transactions: Sequence[Json]) -> None:
        """Proves that all full transactions of a block are present.

        Raises:
            StaleAnswerError: The root of the transactions is not the block's.
        """
        if not self.family.transactions or header.transactions_root is None:
            return
        try:
            found = transactions_root(transactions)
        except UnknownTypeError as error:
            self._report_type(error, header, "transactions", "transactionsRoot")
            return
        if found != header.transactions_root.lower():
            raise _mismatch(header, len(transactions), "transactions", "transactionsRoot")

    def prove_receipts(self, header: Header, receipts: Sequence[Json]) -> bool:
        """Proves that all receipts of a block are present, with all their logs; returns False if that can't be proven.

        Raises:
            StaleAnswerError: The root of the receipts is not the block's.
        """
        if not self.family.receipts or header.receipts_root is None:
            return False
        try:
            if any(root() == header.receipts_root.lower() for root in receipts_roots(receipts)):
                return True
        except UnknownTypeError as error:
            self._report_type(error, header, "receipts and logs", "receiptsRoot")
            return False
        raise _mismatch(header, len(receipts), "receipts", "receiptsRoot")

    def prove_withdrawals(self, header: Header, withdrawals: Sequence[Json]) -> None:
        """Proves that all withdrawals of a block are present.

        Raises:
            StaleAnswerError: The root of the withdrawals is not the block's.
        """
        if not self.family.withdrawals or header.withdrawals_root is None:
            return
        if withdrawals_root(withdrawals) != header.withdrawals_root.lower() and (
            withdrawals or set(header.withdrawals_root[2:]) != {"0"}
        ):
            raise _mismatch(header, len(withdrawals), "withdrawals", "withdrawalsRoot")

    def _report_type(self, error: UnknownTypeError, header: Header, what: str, root: str) -> None:
        message = f"block {header.number} has {error}, so that its {root} can't be recomputed: its {what}, and those of other blocks like it, are not proven to be all"
        self.report(f"{root} {error.kind:#x}", f"transactions of type {error.kind:#x}", message)


def _mismatch(header: Header, count: int, what: str, root: str) -> StaleAnswerError:
    return StaleAnswerError(
        f"block {header.number} ({header.hash}): its {count} {what} do not make up its {root}; {CURE}"
    )


@dataclass
class BloomTrust:
    """Whether the blooms of one endpoint may be used to skip blocks.

    Attributes:
        held: Number of blocks with logs that were compared with their bloom.
        is_refuted: The bloom of one of them lacked some logs.
    """

    held: int = 0
    is_refuted: bool = False

    def observe(self, holds: bool) -> None:
        """Records the comparison of a block's logs (at least one) with its bloom."""
        self.is_refuted |= not holds
        self.held += 1

    def excludes(self, header: Header, wanted: LogFilter) -> bool:
        """Whether a block can be skipped: its bloom can be trusted, and has no wanted logs."""
        return (
            self.held >= BLOCKS_TO_TRUST
            and not self.is_refuted
            and int(header.hash[-4:], 16) % TRIED_EACH != 0
            and not bloom.may_match(header.bloom, wanted)
        )
