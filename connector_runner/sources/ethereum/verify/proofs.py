"""What a block's roots prove of its lists, and whether its bloom may say what is left out. Pure.

A list is recomputed to the root that the header commits to (`verify.roots`). A bloom is believed only on an endpoint where it
was found to hold all logs of some blocks, and goes on being tried.
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
"""Blocks with logs, one after the other, whose bloom must hold them all before one may leave something out."""
TRIED_EACH = 256
"""Of blocks that a bloom leaves out, one of so many is read all the same."""
CURE = "if this chain makes its blocks otherwise, set proofs: relaxed; else use another node"


@dataclass
class Prover:
    """What is proven on the chain in use, and what a person must be told.

    Attributes:
        family: What its blocks commit to.
        proves_all: Roots are recomputed in a backfill, too.
        head_from: From this block on the chain's head begins, where they always are.
        told: Incidents to be stored with the dataset, once each, by what they are about.
    """

    family: Family = ETHEREUM
    proves_all: bool = True
    head_from: int = 0
    told: dict[str, Incident] = field(default_factory=dict)

    def proves(self, number: int) -> bool:
        """Whether the roots of a block are recomputed."""
        return self.proves_all or number >= self.head_from

    def tell(self, key: str, subject: str, message: str) -> None:
        """Something that can't be proven here."""
        self.told.setdefault(key, Incident("unproven", subject, message, {}))

    def prove_transactions(self, header: Header, transactions: Sequence[Json]) -> None:
        """All full transactions of a block are there.

        Raises:
            StaleAnswerError: They are not.
        """
        if not self.family.transactions or header.transactions_root is None:
            return
        try:
            found = transactions_root(transactions)
        except UnknownTypeError as error:
            self._tell_type(error, header, "transactions", "transactionsRoot")
            return
        if found != header.transactions_root.lower():
            raise _mismatch(header, len(transactions), "transactions", "transactionsRoot")

    def prove_receipts(self, header: Header, receipts: Sequence[Json]) -> bool:
        """Whether all receipts of a block are there, with all their logs; False when that can't be said.

        Raises:
            StaleAnswerError: They are not.
        """
        if not self.family.receipts or header.receipts_root is None:
            return False
        try:
            if any(root() == header.receipts_root.lower() for root in receipts_roots(receipts)):
                return True
        except UnknownTypeError as error:
            self._tell_type(error, header, "receipts and logs", "receiptsRoot")
            return False
        raise _mismatch(header, len(receipts), "receipts", "receiptsRoot")

    def prove_withdrawals(self, header: Header, withdrawals: Sequence[Json]) -> None:
        """All withdrawals of a block are there.

        Raises:
            StaleAnswerError: They are not.
        """
        if not self.family.withdrawals or header.withdrawals_root is None:
            return
        if withdrawals_root(withdrawals) != header.withdrawals_root.lower() and (
            withdrawals or set(header.withdrawals_root[2:]) != {"0"}
        ):
            raise _mismatch(header, len(withdrawals), "withdrawals", "withdrawalsRoot")

    def _tell_type(self, error: UnknownTypeError, header: Header, what: str, root: str) -> None:
        message = f"block {header.number} has {error}, so that its {root} can't be recomputed: its {what}, and those of other blocks like it, are not proven to be all"
        self.tell(f"{root} {error.kind:#x}", f"transactions of type {error.kind:#x}", message)


def _mismatch(header: Header, count: int, what: str, root: str) -> StaleAnswerError:
    return StaleAnswerError(
        f"block {header.number} ({header.hash}): its {count} {what} do not make up its {root}; {CURE}"
    )


@dataclass
class BloomTrust:
    """Whether the blooms of one endpoint may leave blocks out.

    Attributes:
        held: Blocks with logs, one after the other, whose bloom held them.
        is_refuted: One did not.
    """

    held: int = 0
    is_refuted: bool = False

    def observe(self, holds: bool) -> None:
        """The logs of a block were read, some at least, and held against its bloom."""
        self.is_refuted |= not holds
        self.held += 1

    def excludes(self, header: Header, wanted: LogFilter) -> bool:
        """Whether a block need not be read: its bloom can be believed, and holds nothing that is wanted."""
        return (
            self.held >= BLOCKS_TO_TRUST
            and not self.is_refuted
            and int(header.hash[-4:], 16) % TRIED_EACH != 0
            and not bloom.may_match(header.bloom, wanted)
        )
