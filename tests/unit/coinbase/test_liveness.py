"""Which products a connection is given up for, and that it is done once."""

from connector_runner.sources.coinbase.feed.liveness import MUTE_PRODUCT_SECONDS, QUIET_PRODUCT_SECONDS, LivenessWatch
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.building import build_reader
from connector_runner.sources.coinbase.streams import STREAMS
from tests.simulators.coinbase import messages
from tests.simulators.coinbase.market import Market

PRODUCTS = ("BTC-USD", "ETH-USD")
NOTHING: tuple[list[str], list[str]] = ([], [])


class Bench:
    """A reader of tickers whose heartbeats come as the test wants."""

    def __init__(self) -> None:
        self.market = Market(1, PRODUCTS, history=10, start=1_700_000_000_000_000)
        self.reader = build_reader(STREAMS["ticker"], None, PRODUCTS)
        self.watch = LivenessWatch()
        self.now = 100.0

    def connect(self) -> None:
        self.reader.begin(PRODUCTS, BatchBuilder(), self.now)

    def beat(self, *products: str) -> None:
        raws = [
            messages.encode(messages.heartbeat(self.market, product, 1_700_000_000_000_000)) for product in products
        ]
        self.reader.read(raws, BatchBuilder(), self.now)

    def look(self) -> tuple[list[str], list[str]]:
        return self.watch.fresh(PRODUCTS, self.reader, self.now)

    def seconds(self, count: int, *beating: str) -> list[tuple[list[str], list[str]]]:
        """What was found in so many seconds, one beat a second."""
        found = []
        for _ in range(count):
            self.now += 1
            self.beat(*beating)
            found.append(self.look())
        return [each for each in found if each != NOTHING]


def test_a_product_without_heartbeats_costs_one_connection_and_no_more() -> None:
    bench = Bench()
    bench.connect()
    assert bench.seconds(int(QUIET_PRODUCT_SECONDS), "BTC-USD") == []
    assert bench.seconds(1, "BTC-USD") == [(["ETH-USD"], [])]
    bench.connect()
    assert bench.seconds(100, "BTC-USD") == [], "a new connection did not help; another one would not either"
    assert bench.seconds(5, *PRODUCTS) == []
    assert bench.seconds(100, "BTC-USD") == [(["ETH-USD"], [])], "it was heard again in between"


def test_a_long_outage_is_no_silence() -> None:
    bench = Bench()
    bench.connect()
    bench.seconds(3, *PRODUCTS)
    bench.now += 1000
    bench.connect()
    assert bench.look() == NOTHING
    assert bench.seconds(30, *PRODUCTS) == []


def test_nothing_is_known_before_the_first_connection() -> None:
    assert Bench().look() == NOTHING


def test_a_product_that_heartbeats_tell_of_and_the_stream_does_not_is_mute() -> None:
    bench = Bench()
    bench.connect()
    bench.beat(*PRODUCTS)
    bench.market.advance(1_700_000_000_000_000, 50)
    assert bench.seconds(int(MUTE_PRODUCT_SECONDS) + 1, *PRODUCTS) == []
    assert bench.seconds(1, *PRODUCTS) == [([], [*PRODUCTS])]
    bench.connect()
    assert bench.seconds(100, *PRODUCTS) == []
    for product in PRODUCTS:
        bench.reader.read(
            [messages.encode(messages.ticker(bench.market.trade(product, 11)))], BatchBuilder(), bench.now
        )
    assert bench.seconds(100, *PRODUCTS) == [], "nothing has happened since it was heard"
    bench.market.advance(1_700_000_000_000_000, 50)
    assert bench.seconds(100, *PRODUCTS) == [([], [*PRODUCTS])]
