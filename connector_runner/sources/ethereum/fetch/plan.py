"""Defines how a stream is fetched."""

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
    """The plan of one stream.

    Attributes:
        schema: The schema of its rows.
        description: One sentence for catalogues and documentation.
        methods: What the node must offer, besides eth_chainId.
        fetch_block: Fetches one block (first and last are equal), proven as far as possible.
        fetch_range: Fetches several blocks that don't change any more in fewer requests, None if that is not possible.
        event: The identity of its event; "" for other streams.
        rank: Lower if the stream requests more of a block.
    """

    schema: StreamSchema
    description: str
    methods: tuple[str, ...]
    fetch_block: FetchPiece = field(repr=False)
    fetch_range: FetchPiece | None = field(default=None, repr=False)
    event: str = ""
    rank: int = 3


def place_of_plan(plan: StreamPlan) -> Position:
    """The place of one of several streams: the event that it began with."""
    return {"_event": plan.event}
