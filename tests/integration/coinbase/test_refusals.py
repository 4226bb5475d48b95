"""Products that the feed refuses are left out, reported and tried again, and never prevent rows of other products."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector_runner.protocols.errors import InvalidConfigError, TransientError
from connector_runner.sources.coinbase import discovery
from connector_runner.sources.coinbase.errors import ProductsChangedError
from connector_runner.sources.coinbase.streams import STREAMS
from tests.integration.coinbase.feeding import reading, source_of
from tests.simulators.coinbase.faults import Fault
from tests.simulators.coinbase.process import Simulator

PRODUCTS = ("ADA-USD", "BTC-USD", "ETH-USD", "LINK-USD", "SOL-USD")
WORDS = [
    "ETH-USD is not a valid product",
    "Invalid product ID provided",
    "sorry, no ETH-USD for you today",
    "ETH-USD is not allowed in your jurisdiction, or temporarily unavailable",
]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(products=",".join(PRODUCTS), rate=60, connection_limit=0, request_limit=0) as simulator:
        yield simulator


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("stream", ["ticker", "matches", "level2_batch"])
async def test_one_refused_product_is_left_out_and_told(simulator: Simulator, stream: str, words: str) -> None:
    simulator.market(refused={"ETH-USD": words})
    async with reading(simulator.config("*"), stream) as read:
        await read.until(lambda read: {row[0] for row in read.rows() if row} == {*PRODUCTS} - {"ETH-USD"})
        (refused,) = read.details("refused")
    assert refused["product_id"] == "ETH-USD"
    assert words in refused["answer"]
    assert read.report.counts["refused_products"] == 1


@pytest.mark.parametrize("stream", ["status", "balance"])
async def test_streams_without_products_take_another_heartbeat(simulator: Simulator, stream: str) -> None:
    simulator.market(refused={"ADA-USD": WORDS[1], "BTC-USD": WORDS[1]})
    config = simulator.config("*", with_key=STREAMS[stream].is_private)
    async with reading(config, stream) as read:
        await read.until(lambda read: len(read.rows()) > 1)
        assert read.source._sessions.up[0].subscription.channels["heartbeat"] == ("ETH-USD",)


async def test_a_product_that_is_refused_later_does_not_end_the_others(simulator: Simulator) -> None:
    async with reading(simulator.config("*"), "ticker") as read:
        await read.until(lambda read: len(read.rows()) > 5)
        simulator.market(refused={"ETH-USD": WORDS[1]})
        simulator.arm(Fault.DROP_SOCKET)
        with pytest.raises(ProductsChangedError, match="Invalid product ID"):
            await read.until(lambda read: False)
    async with reading(simulator.config("*"), "ticker") as read:
        await read.until(lambda read: {row[0] for row in read.rows()} == {*PRODUCTS} - {"ETH-USD"})


async def test_a_refused_product_is_tried_again(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "LIST_SECONDS", 0.1)
    simulator.market(refused={"ETH-USD": WORDS[0]})
    async with reading(simulator.config("*"), "ticker") as read:
        await read.until(lambda read: len(read.rows()) > 20)
        simulator.market(refused={})
        with pytest.raises(ProductsChangedError, match="the feed accepts ETH-USD again"):
            await read.until(lambda read: False)


async def test_a_feed_that_refuses_every_product_says_so(simulator: Simulator) -> None:
    simulator.market(refused=dict.fromkeys(PRODUCTS, WORDS[1]))
    source = source_of(simulator.config("*"))
    with pytest.raises(TransientError, match=r"refuses every product, the first .* Invalid product ID provided"):
        await source.open({"ticker": None})
    await source.close()


async def test_discovery_tells_which_products_would_be_left_out(simulator: Simulator) -> None:
    simulator.market(refused={"ETH-USD": WORDS[1]})
    catalogue = await source_of(simulator.config("*")).discover(None)
    assert any("the feed refuses ETH-USD" in note for note in catalogue.notes)


@pytest.mark.parametrize("words", [*WORDS[1:], "what nobody foresaw"])
async def test_an_unknown_product_needs_a_person_whatever_the_words(simulator: Simulator, words: str) -> None:
    simulator.market(refused={"ETH-USDD": words})
    source = source_of(simulator.config("BTC-USD", "ETH-USDD"))
    simulator.market(refused={"BTC-USD": words})
    with pytest.raises(InvalidConfigError, match="ETH-USDD is not a product of the exchange: did you mean ETH-USD"):
        await source.open({"ticker": None})
    await source.close()
