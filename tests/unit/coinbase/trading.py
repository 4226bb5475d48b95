"""What tests of trades share: a reader, a market that it reads, and a clock."""

from collections.abc import Iterable
from typing import Any

from connector_runner.protocols.batch import Incident, Operation, Position, Row
from connector_runner.sources.coinbase.decode.rest import decode_page
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.settings import RestartedIds
from connector_runner.sources.coinbase.streams import STREAMS
from connector_runner.sources.coinbase.trades.reader import MatchesReader, Request
from tests.simulators.coinbase import messages
from tests.simulators.coinbase.market import Market, Trade

PRODUCT = "BTC-USD"
AFTER = 1_700_001_000_000_000
"""Microseconds since the epoch: the new numbers' trades happen later than the old ones'."""


class Bench:
    """A reader, a market that it reads, and a clock."""

    def __init__(
        self,
        history: int,
        position: Position | None = None,
        hidden: Iterable[int] = (),
        restarts: RestartedIds = RestartedIds.STAND_ASIDE,
    ) -> None:
        self.market = Market(1, [PRODUCT], history=history, start=1_700_000_000_000_000)
        self.market.hidden[PRODUCT].update(hidden)
        self.reader = MatchesReader(STREAMS["matches"], position, restarts)
        self.now = 0.0
        self.ids: list[int] = []
        self.from_rest: list[int] = []
        self.rows: list[Row] = []
        self.operations: list[Operation] = []
        self.gaps: list[tuple[int, int]] = []
        self.requests: list[Request] = []
        self.rest_newest = 10**9
        self.notes: list[str] = []
        self.incidents: list[Incident] = []

    def kinds(self) -> list[str]:
        return [incident.kind for incident in self.incidents]

    def feed(self, *ids: int) -> None:
        self._do(*(messages.encode(messages.match(self.market.trade(PRODUCT, n))) for n in ids))

    def beat(self, newest: int | None, time: str = "2026-01-01T00:00:00.000000Z") -> None:
        beat = {"type": "heartbeat", "sequence": 1, "last_trade_id": newest, "product_id": PRODUCT}
        self._do(messages.encode(beat | {"time": time}))

    def tell(self, *trades: dict[str, object]) -> None:
        """Messages as they are, whatever the market says."""
        self._do(*map(messages.encode, trades))

    def _do(self, *raws: bytes) -> None:
        builder = BatchBuilder()
        self.reader.read(raws, builder, self.now)
        self.keep(builder)

    def keep(self, builder: BatchBuilder) -> None:
        operations = builder.operations or bytes(len(builder.rows))
        for row, operation in zip(builder.rows, operations, strict=True):
            self.ids.append(row[1])
            self.rows.append(row)
            assert row[2] is None or operation == Operation.UPSERT
            if row[2] is None:
                self.from_rest.append(row[1])
                self.operations.append(Operation(operation))
        self.notes += builder.notes
        gaps = [incident.detail for incident in builder.incidents if incident.kind == "gap"]
        self.gaps += [(gap["from"], gap["to"]) for gap in gaps]
        self.incidents += builder.incidents

    def ask(self, seconds: float = 0.0) -> None:
        """Lets time pass, then answers what is due from the market."""
        self.now += seconds
        for request in self.reader.due(self.now, 9):
            self.requests.append(request)
            page = self.market.page(PRODUCT, request.limit, min(request.after, self.rest_newest + 1), None, 10**18)
            self.answer(request, page)

    def answer(self, request: Request, page: list[Trade]) -> None:
        keys = ("time", "trade_id", "price", "size", "side")
        text = messages.encode([{key: getattr(trade, key) for key in keys} for trade in page])  # type: ignore[arg-type]
        builder = BatchBuilder()
        self.reader.fill(request, decode_page(text), builder, self.now)
        self.keep(builder)


def matches_of(market: Market, *ids: int) -> list[dict[str, Any]]:
    return [messages.match(market.trade(PRODUCT, n)) for n in ids]
