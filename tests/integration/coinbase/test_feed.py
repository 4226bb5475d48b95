"""The source against the simulated exchange over real sockets: each stream, each kind of failure, resuming."""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from connector_runner.protocols.errors import InvalidConfigError, SourceChangedError, TransientError, UnknownStreamError
from connector_runner.protocols.source import Checkpoint
from connector_runner.sources.coinbase.feed import session
from connector_runner.sources.coinbase.streams import STREAMS
from tests.integration.coinbase.feeding import Reading, reading, source_of
from tests.servers.ports import free_port
from tests.simulators.coinbase.faults import Fault
from tests.simulators.coinbase.process import Simulator

PRODUCTS = ("BTC-USD", "ETH-USD", "LINK-USD")


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    """For tests that change nothing but what happens to their own connections."""
    with Simulator(rate=40, connection_limit=0, request_limit=0) as simulator:
        yield simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(rate=40, connection_limit=0, request_limit=0) as simulator:
        yield simulator


def last_ids(read: Reading) -> dict[str, int]:
    """The newest trade of each product; each row must follow the one before. Every batch is checked once."""
    while read.looked_at < len(read.batches):
        for product, trade_id, *_ in read.batches[read.looked_at].rows:
            before = read.ids.get(product, trade_id - 1)
            assert trade_id == before + 1, f"{product}: {trade_id} after {before}"
            read.ids[product] = trade_id
        read.looked_at += 1
    return read.ids


@pytest.mark.parametrize("stream", STREAMS)
async def test_every_stream_brings_rows_of_its_schema(shared: Simulator, stream: str) -> None:
    config = shared.config(*PRODUCTS, with_key=STREAMS[stream].is_private)
    async with reading(config, stream) as read:
        await read.until(lambda read: len(read.rows()) >= 5)
    schema = STREAMS[stream].schema
    assert all(batch.schema is schema for batch in read.batches)
    assert {len(row) for row in read.rows()} <= {len(schema.columns), 1, 0}
    assert read.report.counts["malformed_messages"] == read.report.counts["lenient_messages"] == 0


async def test_discovery_lists_the_streams_of_the_configuration(shared: Simulator) -> None:
    public = await source_of(shared.config(*PRODUCTS)).discover(None)
    assert [stream.id for stream in public.streams] == [s.id for s in STREAMS.values() if not s.is_private]
    assert public.identity == "127.0.0.1"
    assert "level2, full, user, balance need an API key" in public.notes[0]
    private = await source_of(shared.config("*", with_key=True)).discover(None)
    assert [stream.id for stream in private.streams] == list(STREAMS)
    assert private.streams[2].key == ("product_id", "trade_id")


async def test_an_unknown_product_is_named_with_the_nearest(shared: Simulator) -> None:
    for attempt in ("discover", "open"):
        source = source_of(shared.config("BTC-USDD", "ETH-USD", "linkusd"))
        with pytest.raises(InvalidConfigError) as caught:
            await (source.discover(None) if attempt == "discover" else source.open({"ticker": None}))
        await source.close()
        assert caught.value.problems == (
            "config.productId[0]: BTC-USDD is not a product of the exchange: did you mean BTC-USD?",
            "config.productId[2]: linkusd is not a product of the exchange: did you mean LINK-USD?",
        )


async def test_without_rest_the_exchange_still_says_which_product_is_unknown(shared: Simulator) -> None:
    source = source_of(shared.config("BTC-USDD") | {"restUrl": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(InvalidConfigError, match="BTC-USDD is not a valid product"):
        await source.discover(None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "other"}, "invalid api key"),
        ({"secret": "b3RoZXI="}, "invalid signature"),
        ({"passphrase": "x"}, "invalid passphrase"),
    ],
)
async def test_a_bad_key_needs_a_person(shared: Simulator, change: dict[str, str], message: str) -> None:
    config = shared.config("BTC-USD", with_key=True)
    with pytest.raises(InvalidConfigError, match=message) as caught:
        await source_of(config | change).discover(None)
    assert caught.value.reason == "InvalidKey"
    assert config["secret"] not in str(caught.value)


async def test_streams_that_can_not_be_had_say_what_can(shared: Simulator) -> None:
    with pytest.raises(UnknownStreamError, match="needs an API key"):
        await source_of(shared.config("BTC-USD")).open({"level2": None})
    with pytest.raises(UnknownStreamError, match="did you mean ticker "):
        await source_of(shared.config("BTC-USD")).open({"tickers": None})


async def test_an_exchange_that_is_not_there_is_transient() -> None:
    config = {"url": f"ws://127.0.0.1:{free_port()}", "restUrl": f"http://127.0.0.1:{free_port()}"}
    for products in (["BTC-USD"], ["*"]):
        with pytest.raises(TransientError, match="can't be reached"):
            await source_of(config | {"productId": products}).discover(None)


async def test_another_feed_than_the_checkpoint_knows_is_refused(shared: Simulator) -> None:
    with pytest.raises(SourceChangedError, match=r"ws-feed\.exchange"):
        await source_of(shared.config("BTC-USD")).open(
            {"matches": Checkpoint({"format": 2, "_last": {}}, "ws-feed.exchange.coinbase.com", "")}
        )


async def test_resuming_after_an_outage_misses_nothing_and_repeats_nothing(simulator: Simulator) -> None:
    async with reading(simulator.config(*PRODUCTS), "matches") as first:
        await first.until(lambda read: len(last_ids(read)) == 3 and len(read.rows()) > 20)
    position = first.batches[-1].position
    simulator.market(burst=5000)
    async with reading(
        simulator.config(*PRODUCTS), "matches", Checkpoint(position, "127.0.0.1", STREAMS["matches"].schema.version)
    ) as second:
        simulator.market(rate=0)
        newest = simulator.truth()["last_trade_id"]
        await second.until(lambda read: last_ids(read) == newest)
    rows = [*(row for batch in first.batches for row in batch.rows), *second.rows()]
    for product in PRODUCTS:
        found = [row for row in rows if row[0] == product]
        truth = list(simulator.trades(product, found[0][1]))
        assert [row[1] for row in found] == [trade["trade_id"] for trade in truth]
        assert [(row[3], row[4], row[5]) for row in found] == [
            (trade["side"], Decimal(trade["price"]), Decimal(trade["size"])) for trade in truth
        ]
    assert second.report.counts["filled_trades"] >= 4000


TROUBLES = [fault for fault in Fault if fault is not Fault.UNFILLABLE]


@pytest.mark.parametrize("fault", TROUBLES)
async def test_matches_stay_complete_through(simulator: Simulator, fault: Fault) -> None:
    async with reading(simulator.config(*PRODUCTS), "matches") as read:
        await read.until(lambda read: len(read.rows()) > 10)
        simulator.arm(fault)
        if fault in {Fault.TOO_MANY_REQUESTS, Fault.UNAVAILABLE, Fault.STALE}:
            simulator.arm(Fault.DROP_SOCKET)
        started = time.monotonic()
        while not simulator.truth()["faults"][fault]:
            assert time.monotonic() - started < 60
            await asyncio.sleep(0.02)
        if fault in {Fault.FREEZE, Fault.HALF_OPEN}:
            await read.until(lambda read: any("silent" in loss for loss in read.report.losses))
        if fault is Fault.NO_HEARTBEAT:
            await read.until(lambda read: any("no heartbeat of" in loss for loss in read.report.losses))
        marker = simulator.truth()["last_trade_id"]
        await read.until(lambda read: all(last_ids(read).get(p, 0) > n + 5 for p, n in marker.items()))
        assert read.details("gap") == []


async def test_what_nobody_can_fill_is_a_gap_and_nothing_else(simulator: Simulator) -> None:
    async with reading(simulator.config(*PRODUCTS), "matches") as read:
        await read.until(lambda read: len(read.rows()) > 10)
        simulator.arm(Fault.UNFILLABLE, 3)
        await read.until(lambda read: sum(gap["count"] for gap in read.details("gap")) >= 3)
    hidden = {(product, n) for product, ids in simulator.truth()["hidden"].items() for n in ids}
    assert {(gap["product_id"], n) for gap in read.details("gap") for n in range(gap["from"], gap["to"] + 1)} == hidden
    assert not hidden & {(row[0], row[1]) for row in read.rows()}
    assert read.report.counts["gaps"] == len(read.details("gap"))


def book_of(read: Reading, product: str) -> dict[str, dict[Decimal, Decimal]]:
    """The book that the batches add up to."""
    book: dict[str, dict[Decimal, Decimal]] = {"buy": {}, "sell": {}}
    for batch in read.batches:
        for row, operation in zip(batch.rows, batch.operations or bytes(len(batch.rows)), strict=True):
            if row[0] != product:
                continue
            if operation == 3:
                book = {"buy": {}, "sell": {}}
            elif operation == 1:
                book[row[1]].pop(row[2], None)
            else:
                book[row[1]][row[2]] = row[3]
    return book


async def test_the_book_equals_the_exchange_after_trouble(simulator: Simulator) -> None:
    async with reading(simulator.config(*PRODUCTS), "level2_batch") as read:
        for fault in (Fault.GARBAGE, Fault.DROP_SOCKET, Fault.OVERSIZED, Fault.ERROR):
            seen = len(read.details("resnapshot"))
            simulator.arm(fault)
            if fault is not Fault.OVERSIZED:
                await read.until(lambda read, seen=seen: len(read.details("resnapshot")) >= seen + 3)  # type: ignore[misc]
        simulator.market(rate=0)
        truth = {product: simulator.book(product) for product in PRODUCTS}
        wanted = {
            product: {side: {Decimal(p): Decimal(s) for p, s in levels.items()} for side, levels in book.items()}
            for product, book in truth.items()
        }
        await read.until(lambda read: {product: book_of(read, product) for product in PRODUCTS} == wanted)


async def test_full_tells_the_gap_of_a_lost_message(simulator: Simulator) -> None:
    async with reading(simulator.config("BTC-USD", with_key=True), "full") as read:
        await read.until(lambda read: len(read.rows()) > 10)
        simulator.arm(Fault.DROP_MESSAGE)
        await read.until(lambda read: len(read.details("gap")) == 1)
        (gap,) = read.details("gap")
        await read.until(lambda read: read.rows()[-1][1] > gap["to"])
    sequences = {row[1] for row in read.rows()}
    assert set(range(min(sequences), max(sequences) + 1)) - sequences == set(range(gap["from"], gap["to"] + 1))


async def test_a_slow_dataset_makes_the_source_let_go_before_memory_grows(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector_runner.sources.coinbase.source.BUFFER_BYTES", 2**20)
    monkeypatch.setattr(session, "STUCK_SECONDS", 1.0)
    async with reading(simulator.config(*PRODUCTS), "matches") as read:
        await read.until(lambda read: len(read.rows()) > 10)
        read.gate.clear()
        simulator.market(burst=20_000)
        await read.until(lambda read: "the dataset is slower than the feed" in read.report.losses)
        (only,) = read.source._sessions.up
        assert only._size < 4 * 2**20
        simulator.market(rate=0, burst=10_000)
        newest = simulator.truth()["last_trade_id"]
        read.gate.set()
        await read.until(lambda read: last_ids(read) == newest, deadline=120)
    assert read.details("gap") == []
    assert read.report.counts["filled_trades"] > 5000


async def test_many_products_live_on_many_connections() -> None:
    with Simulator(products=120, rate=200, products_a_connection=60) as simulator:
        async with reading(simulator.config("*"), "matches") as read:
            await read.until(lambda read: len(last_ids(read)) == 120)
            assert simulator.truth()["subscribed"] == 3
            simulator.arm(Fault.DROP_SOCKET)
            await read.until(lambda read: len(read.report.losses) >= 3)
            marker = simulator.truth()["last_trade_id"]
            await read.until(lambda read: all(last_ids(read)[p] > n for p, n in marker.items()))


async def test_a_subscription_that_the_exchange_refuses_for_its_size_is_transient() -> None:
    with Simulator(products=50, products_a_connection=10) as simulator:
        source = source_of(simulator.config("*"))
        with pytest.raises(TransientError, match="too many products"):
            await source.open({"ticker": None})
        await source.close()
        await source.close()


async def test_a_product_that_is_delisted_while_it_runs_needs_a_person(simulator: Simulator) -> None:
    async with reading(simulator.config("BTC-USD", "ETH-USD"), "ticker") as read:
        await read.until(lambda read: len(read.rows()) > 5)
        simulator.market(states={"ETH-USD": "delisted"})
        simulator.arm(Fault.DROP_SOCKET)
        with pytest.raises(InvalidConfigError, match="ETH-USD"):
            await read.until(lambda read: False)
