"""How a stream is fetched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from connector_runner.protocols.batch import Position
from connector_runner.protocols.schema import StreamSchema
from connector_runner.sources.ethereum.decode.responses import BlockRows
from connector_runner.sources.ethereum.fetch.logs import Fetcher

FetchPiece = Callable[[Fetcher, int, int], Awaitable[list[BlockRows]]]


@dataclass(frozen=True)
class StreamPlan:
    """One stream.

    Attributes:
        schema: Of its rows.
        description: One sentence for catalogues and documentation.
        methods: What the node must offer, besides eth_chainId.
        fetch_block: One block of it (first and last are equal), as surely as it can be had.
        fetch_range: Several blocks that don't change any more in fewer requests, None where there is no such way.
        event: The event that it is about, by its identity; "" for other streams.
        rank: The more of a block it asks for, the lower.
    """

    schema: StreamSchema
    description: str
    methods: tuple[str, ...]
    fetch_block: FetchPiece = field(repr=False)
    fetch_range: FetchPiece | None = field(default=None, repr=False)
    event: str = ""
    rank: int = 3


def place_of_plan(plan: StreamPlan) -> Position:
    """What one of several streams keeps for itself: the event that it was begun with."""
    return {"_event": plan.event}
