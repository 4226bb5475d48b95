"""The chain of the dataset's blocks, and what to do about a node's head. Pure: values only, no socket and no clock.

The position of a stream is the last block and a ring of the hashes before it. A node's head is compared with the ring. The
result is to continue, to wait, or to walk back to the common ancestor.
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
"""How deep a reorganisation may be: twice the depth of finality on the main chain (two epochs of 32 blocks)."""
PATIENCE_SECONDS = 30.0
"""How long a shorter chain that differs is treated as a lagging replica before it is accepted."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """What is known about the dataset, apart from its blocks.

    Attributes:
        reported: Keys of what was reported as an incident; each is reported only once.
        left_out: First and last block that may have been skipped because of a bloom; None: all were read.
        is_bloom_refuted: A bloom lacked some logs of its block. From then on no block is skipped because of its bloom.
        event: The event of an event stream; "" for other streams, and when it is not recorded.
        since: The first block whose blooms were tested before they were trusted; older versions trusted all.
    """

    reported: frozenset[str] = frozenset()
    left_out: tuple[int, int] | None = None
    is_bloom_refuted: bool = False
    event: str = ""
    since: int = 0

    @property
    def must_reread(self) -> bool:
        """Whether rows of skipped blocks may be missing."""
        return self.is_bloom_refuted and self.left_out is not None


@dataclass(frozen=True, slots=True)
class Chain:
    """The blocks of the dataset that may still be replaced.

    Attributes:
        start: Number of the first block of the dataset.
        number: Number of its last block; `start - 1` when it has none.
        hashes: Hashes of its last blocks, oldest first, at most `RING_BLOCKS`; the last is the hash of block `number`. A height
            without a block has the hash of the block before it.
        state: What else is known about the dataset.
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
        """Hash of the dataset's block at a height; None above the last block and below the ring."""
        return self.hashes[number - self.oldest] if self.oldest <= number <= self.number else None

    def is_parent_of(self, header: Header) -> bool:
        """Whether a block (or a height without one) continues this chain."""
        return header.number == self.number + 1 and (header.is_absent or self.head in (None, header.parent_hash))

    def extended(self, header: Header) -> Chain:
        """The chain with one more block."""
        own = header.hash or self.head or ""
        return Chain(self.start, header.number, (*self.hashes[1 - RING_BLOCKS :], own), self.state)

    def cut(self, number: int) -> Chain:
        """The chain up to and including block `number`."""
        return Chain(self.start, number, self.hashes[: number - self.oldest + 1], self.state)

    def orphans(self, ancestor: int) -> tuple[str, ...]:
        """Hashes of the blocks above `ancestor`, newest first."""
        above = dict.fromkeys(self.hashes[ancestor - self.oldest + 1 :][::-1])
        return tuple(own for own in above if own not in ("", self.hash_at(ancestor)))

    def with_state(self, state: StreamState) -> Chain:
        """The same blocks with another state."""
        return Chain(self.start, self.number, self.hashes, state)


@dataclass(frozen=True, slots=True)
class Extend:
    """Fetch these blocks, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to fetch. `behind`: how many blocks the node's head is below the dataset's; 0 at the head."""

    behind: int = 0


@dataclass(frozen=True, slots=True)
class WalkBack:
    """The dataset's last blocks differ from the node's: find the common ancestor, at or below block `top`."""

    top: int


Step = Extend | Wait | WalkBack


def next_step(chain: Chain, head: Header, waited: float) -> Step:
    """Decides what to do about the node's head (by finality); `waited`: seconds that it has been below the dataset's.

    The hash of a higher head need not be checked: the next block shows whether it continues the dataset. A lower head on the
    dataset's chain means a lagging replica or a rollback: no error, and nothing to do. A lower head that differs may be a
    lagging replica on an abandoned branch, so it is accepted only after a while.
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
    """Whether the node and the dataset have the same block at that height, or both have none."""
    own, before = chain.hash_at(header.number), chain.hash_at(header.number - 1)
    return own is not None and (own in (before, "") if header.is_absent else own == header.hash and own != before)


def lowest_ancestor(chain: Chain) -> int:
    """The lowest number at which an ancestor can be found: the end of the ring, or just before the dataset's first block.

    When the ring reaches back to the dataset's start, everything in the dataset may be replaced: block `start - 1` is an
    ancestor without a hash.
    """
    return chain.start - 1 if chain.oldest <= chain.start else chain.oldest


def check_depth(chain: Chain, number: int) -> None:
    """Checks, before block `number` is read on the way back, that it is not too deep.

    Raises:
        DeepReorganisationError: The block is below the ring; the message says from which block to rebuild.
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
    """Median of the seconds between blocks, from the times of consecutive blocks."""
    gaps = sorted(b - a for a, b in pairwise(seconds))
    return float(gaps[len(gaps) // 2]) if gaps else default


def summary(chain: Chain) -> dict[str, Any]:
    """The chain's head, as fields of a log line."""
    return {"block": chain.number, "hash": chain.head}
