"""The chain of the dataset's blocks, and what to do about a node's head: following a chain as values, without a socket or a clock.

The position of a stream is the last block and a ring of the hashes before it. A node's head is compared with the ring; from
that follows whether to go on, to wait, or to walk back to the common ancestor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from connector_runner.protocols.errors import RESET
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.errors import DeepReorganisationError

RING_BLOCKS = 128
"""How deep a reorganisation may be: twice what finality takes on the main chain (two epochs of 32 blocks)."""
PATIENCE_SECONDS = 30.0
"""How long a shorter chain that differs is taken for a lagging replica before it is believed."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """What is known of the dataset besides its blocks.

    Attributes:
        told: What was told as an incident, once and for all.
        left_out: First and last block that a bloom may have left out, None: all were read.
        is_bloom_refuted: A bloom did not hold all logs: none leaves out anything any more.
        event: The event that a stream of events is about, "" for other streams and where it is not recorded.
        since: The first block whose blooms were tried before they were believed; older versions believed all.
    """

    told: frozenset[str] = frozenset()
    left_out: tuple[int, int] | None = None
    is_bloom_refuted: bool = False
    event: str = ""
    since: int = 0

    @property
    def must_reread(self) -> bool:
        """Whether blocks that were left out may lack rows."""
        return self.is_bloom_refuted and self.left_out is not None


@dataclass(frozen=True, slots=True)
class Chain:
    """The blocks that the dataset has, as far as they may still be replaced.

    Attributes:
        start: Number of the first block of the dataset.
        number: Number of its last block; `start - 1` when it has none.
        hashes: Of its last blocks, oldest first, at most `RING_BLOCKS`; ends with the hash of block `number`. A height without a
            block has the hash of the block before.
        state: What is known of the dataset besides.
    """

    start: int
    number: int
    hashes: tuple[str, ...] = ()
    state: StreamState = StreamState()

    @classmethod
    def starting_at(cls, start: int) -> Chain:
        """A dataset without blocks, the first of which will be `start`."""
        return cls(start, start - 1, state=StreamState(since=start))

    @property
    def head(self) -> str | None:
        """Hash of the last block, None when there is none."""
        return (self.hashes[-1] or None) if self.hashes else None

    @property
    def oldest(self) -> int:
        """Number of the oldest block whose hash is known; `number + 1` when there is none."""
        return self.number - len(self.hashes) + 1

    def hash_at(self, number: int) -> str | None:
        """The dataset's block of a height, None when it is above, or below the ring."""
        return self.hashes[number - self.oldest] if self.oldest <= number <= self.number else None

    def is_parent_of(self, header: Header) -> bool:
        """Whether a block (or a height without one) continues this chain."""
        return header.number == self.number + 1 and (header.is_absent or self.head in (None, header.parent_hash))

    def extended(self, header: Header) -> Chain:
        """With one more block."""
        own = header.hash or self.head or ""
        return Chain(self.start, header.number, (*self.hashes[1 - RING_BLOCKS :], own), self.state)

    def cut(self, number: int) -> Chain:
        """Up to and with the block `number`."""
        return Chain(self.start, number, self.hashes[: number - self.oldest + 1], self.state)

    def orphans(self, ancestor: int) -> tuple[str, ...]:
        """Hashes of the blocks above `ancestor`, newest first."""
        above = dict.fromkeys(self.hashes[ancestor - self.oldest + 1 :][::-1])
        return tuple(own for own in above if own not in ("", self.hash_at(ancestor)))

    def with_state(self, state: StreamState) -> Chain:
        """The same blocks."""
        return Chain(self.start, self.number, self.hashes, state)


@dataclass(frozen=True, slots=True)
class Extend:
    """Fetch these blocks, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to fetch. `behind` is by how many blocks the node's head is below the dataset's; 0 at the head."""

    behind: int = 0


@dataclass(frozen=True, slots=True)
class WalkBack:
    """The dataset's last blocks are not the node's: find the common ancestor, at or below block `top`."""

    top: int


Step = Extend | Wait | WalkBack


def next_step(chain: Chain, head: Header, waited: float) -> Step:
    """What to do about the node's head (by finality); `waited` is how many seconds it has been lower than the dataset's.

    A higher head needs no look at its hash: whether it continues the dataset shows when the next block arrives. A lower one that is
    on the dataset's chain is a lagging replica or a rollback: no error, and nothing to do. A lower one that differs may be a lagging
    replica on a branch that was given up, so it is believed only after a while.
    """
    if head.number > chain.number:
        return Extend(chain.number + 1, head.number)
    if not chain.hashes:
        return Wait(chain.number + 1 - head.number)
    known = chain.hash_at(head.number)
    behind = chain.number - head.number
    if known is None or known == head.hash or (behind and waited < PATIENCE_SECONDS):
        return Wait(behind)
    return WalkBack(head.number)


def ancestor_at(chain: Chain, header: Header) -> bool:
    """Whether the node's block of that height is the dataset's too; or that neither has one."""
    own, before = chain.hash_at(header.number), chain.hash_at(header.number - 1)
    return own is not None and (own in (before, "") if header.is_absent else own == header.hash and own != before)


def lowest_ancestor(chain: Chain) -> int:
    """The number below which no ancestor can be found: below the ring, or before the dataset's first block.

    When the ring reaches back to the dataset's start, everything in it may be replaced: block `start - 1` is an ancestor
    without a hash.
    """
    return chain.start - 1 if chain.oldest <= chain.start else chain.oldest


def check_depth(chain: Chain, number: int) -> None:
    """Called before block `number` is looked at on the way back.

    Raises:
        DeepReorganisationError: It is below the ring; the message says from which block to rebuild.
    """
    if number < lowest_ancestor(chain):
        raise DeepReorganisationError(
            f"the node's chain differs from the dataset's even at block {chain.oldest}, "
            f"{chain.number - chain.oldest + 1} blocks below the dataset's last block {chain.number} ({chain.head}): deeper than "
            "reorganisations can be followed. If the node is wrong, point the connector at another one. If it is right, the rows of "
            f"block {chain.oldest} and above, possibly of earlier ones too, are orphans: find the first block N, at most {chain.oldest}, "
            "whose block_hash in the dataset is not the node's; stop the connector; delete the rows with block_number >= N; "
            f"run {RESET}; set startBlock to N; and start it again"
        )


def median_interval(seconds: Sequence[int], default: float) -> float:
    """Seconds between blocks, from the times of consecutive ones."""
    gaps = sorted(b - a for a, b in pairwise(seconds))
    return float(gaps[len(gaps) // 2]) if gaps else default


def summary(chain: Chain) -> dict[str, Any]:
    """For a line in the log."""
    return {"block": chain.number, "hash": chain.head}
