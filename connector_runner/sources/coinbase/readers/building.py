"""Which reader reads a stream: by what is known about lost messages. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from connector_runner.protocols.batch import Position
from connector_runner.sources.coinbase.readers.books import BookReader
from connector_runner.sources.coinbase.readers.channels import HeartbeatReader, OrderReader, TickerReader
from connector_runner.sources.coinbase.readers.reader import Reader
from connector_runner.sources.coinbase.readers.status import StatusReader
from connector_runner.sources.coinbase.settings import RestartedIds
from connector_runner.sources.coinbase.streams import Proof, StreamSpec
from connector_runner.sources.coinbase.trades.reader import MatchesReader


def build_reader(
    spec: StreamSpec,
    position: Position | None,
    products: Iterable[str],
    restarts: RestartedIds = RestartedIds.STAND_ASIDE,
) -> Reader:
    """The reader for a stream's proof of completeness."""
    if spec.proof is Proof.BOOK:
        return BookReader(spec, position, products)
    if spec.proof is Proof.STATE:
        return StatusReader(spec, position)
    if spec.proof is Proof.TRADE_IDS:
        return MatchesReader(spec, position, restarts)
    return READERS.get(spec.id, Reader)(spec, position, restarts)


READERS: Mapping[str, type[Reader]] = {
    "ticker": TickerReader,
    "ticker_batch": TickerReader,
    "heartbeat": HeartbeatReader,
    "full": OrderReader,
    "user": OrderReader,
}
