"""Of several streams, those that the feed refuses are left out by name, and the others continue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector_runner.protocols.errors import InvalidConfigError, TransientError, UnknownStreamError
from connector_runner.protocols.source import Checkpoint
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sources.coinbase import discovery
from connector_runner.sources.coinbase.errors import ProductsChangedError
from connector_runner.sources.coinbase.streams import STREAMS
from tests.integration.coinbase.feeding import source_of
from tests.integration.coinbase.many_streams import (
    PRODUCTS,
    WORDS,
    exists,
    incidents_of,
    new,
    reading,
    rows_of,
    settled,
    start,
    table,
)
from tests.kit.datasets import SqliteDataset
from tests.kit.waiting import until
from tests.simulators.coinbase.faults import Fault
from tests.simulators.coinbase.process import Simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(rate=60, connection_limit=0, request_limit=0, products=",".join(PRODUCTS)) as simulator:
        yield simulator


async def test_a_refused_product_is_left_out_of_every_stream_and_told_in_each(simulator: Simulator) -> None:
    simulator.market(refused={"ETH-USD": "ETH-USD is not a valid product"})
    async with reading(simulator.config("*"), new("ticker", "matches", "level2_batch")) as read:
        wanted = {*PRODUCTS} - {"ETH-USD"}
        for stream in ("ticker", "matches", "level2_batch"):
            await read.until(lambda read: {row[0] for row in rows_of(read, stream)} == wanted)  # noqa: B023
            assert incidents_of(read, stream)["refused"]["product_id"] == "ETH-USD"
        assert simulator.truth()["subscribed"] == 2
    assert read.report.counts["refused_products"] == 3


@pytest.mark.parametrize("words", [WORDS, "ETH-USD is not a valid product"])
async def test_a_product_that_one_channel_refuses_is_left_out_of_that_stream_only(
    simulator: Simulator, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "LIST_SECONDS", 1.0)
    simulator.market(refused={"ticker:ETH-USD": words})
    async with reading(simulator.config("*"), new("ticker", "matches", "auctionfeed")) as read:
        for stream, wanted in (
            ("ticker", {*PRODUCTS} - {"ETH-USD"}),
            ("matches", {*PRODUCTS}),
            ("auctionfeed", {*PRODUCTS}),
        ):
            await read.until(lambda read: {row[0] for row in rows_of(read, stream)} == wanted)  # noqa: B023
        assert incidents_of(read, "ticker")["refused"]["product_id"] == "ETH-USD"
        assert incidents_of(read, "matches") == incidents_of(read, "auctionfeed") == {}
        simulator.market(refused={})
        with pytest.raises(ProductsChangedError, match="the feed accepts ETH-USD again"):
            await read.until(lambda read: False)


async def test_status_finds_a_heartbeat_although_other_streams_run_without_the_product(simulator: Simulator) -> None:
    simulator.market(refused={"BTC-USD": WORDS, "ETH-USD": WORDS})
    async with reading(simulator.config("*"), new("ticker", "status")) as read:
        await read.until(lambda read: len(rows_of(read, "status")) > 1 and len(rows_of(read, "ticker")) > 1)


async def test_a_feed_that_refuses_every_product_says_so(simulator: Simulator) -> None:
    simulator.market(refused=dict.fromkeys(PRODUCTS, WORDS))
    for streams in (("ticker", "matches"), ("status", "balance"), ("status", "ticker")):
        source = source_of(simulator.config("*", with_key=True))
        with pytest.raises(TransientError, match=r"the feed refuses (every product|the heartbeats of every product)"):
            await source.open(new(*streams))
        await source.close()


async def test_streams_that_need_a_key_are_left_out_by_name_until_there_is_one(
    simulator: Simulator, tmp_path: Path
) -> None:
    dataset, streams = SqliteDataset(tmp_path), ("full", "matches", "balance")
    simulator.market(rate=200)
    run = start(simulator.config(*PRODUCTS), dataset, *streams, run=1)
    await until(lambda: run.telemetry.totals.rows > 20, "rows")
    assert await run.stop() is ExitCode.TERMINATED
    for stream in ("full", "balance"):
        assert f"{stream} is left out, the others continue: the stream {stream} needs an API key" in run.log.text()
        assert not exists(dataset, stream)
    run = start(simulator.config(*PRODUCTS, with_key=True), dataset, *streams, run=2)
    await until(lambda: table(dataset, "full") and table(dataset, "balance"), "rows of all")
    simulator.market(rate=0)
    await settled(run, simulator, dataset)
    assert await run.stop() is ExitCode.TERMINATED


async def test_a_key_without_accounts_leaves_out_balance_alone(simulator: Simulator, tmp_path: Path) -> None:
    """The feed does not check a key that is not sent with a private channel, but REST does."""
    dataset, streams = SqliteDataset(tmp_path), ("balance", "matches")
    config = simulator.config(*PRODUCTS, with_key=True) | {"restUrl": simulator.urls["restUrl"] + "/nothing/here"}
    run = start(config, dataset, *streams, run=1)
    await until(lambda: run.telemetry.totals.rows > 5, "rows")
    assert await run.stop() is ExitCode.TERMINATED
    assert "balance is left out, the others continue: " in run.log.text()


async def test_a_channel_that_is_refused_does_not_stop_the_others_and_keeps_its_place(simulator: Simulator) -> None:
    at = Checkpoint({"format": 2, "_last": {"BTC-USD": 7}}, "127.0.0.1", STREAMS["ticker"].schema.version)
    for words, reason in (
        ("ticker is not a valid channel", "UnknownStream"),
        ("not allowed for this key", "InvalidKey"),
    ):
        simulator.market(refused={"ticker:BTC-USD": words})
        async with reading(simulator.config(*PRODUCTS), {**new("matches", "status"), "ticker": at}) as read:
            await read.until(lambda read: len(rows_of(read, "matches")) > 5 and len(rows_of(read, "status")) > 1)
            assert incidents_of(read, "ticker")["parked"] == {"subject": "ticker", "reason": reason}
            assert {str(b.place) for b in read.batches if b.schema.stream == "ticker"} == {str(at.position)}
            assert simulator.truth()["subscribed"] == 2
            assert any("ticker is left out, the others continue" in text for text in read.report.losses)


async def test_a_channel_that_is_accepted_again_is_read_again(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(discovery, "LIST_SECONDS", 1.0)
    simulator.market(refused={"ticker:BTC-USD": "not allowed for this key"})
    dataset = SqliteDataset(tmp_path)
    run = start(simulator.config(*PRODUCTS), dataset, "matches", "ticker", run=1)
    await until(lambda: "ticker is left out" in run.log.text() and run.telemetry.totals.rows > 20, "it is left out")
    simulator.market(refused={})
    await until(lambda: table(dataset, "ticker"), "rows of ticker")
    simulator.market(rate=0)
    await settled(run, simulator, dataset)
    assert await run.stop() is ExitCode.TERMINATED


async def test_a_key_that_is_withdrawn_later_ends_only_what_needs_it(simulator: Simulator) -> None:
    async with reading(simulator.config(*PRODUCTS), new("matches", "auctionfeed", "level2_batch")) as read:
        await read.until(lambda read: len(rows_of(read, "level2_batch")) > 5)
        simulator.market(refused={"level2_batch:BTC-USD": "level2_batch channel requires authentication"})
        simulator.arm(Fault.DROP_SOCKET)
        with pytest.raises(TransientError, match=r"requires authentication.*opened again, without those") as caught:
            await read.until(lambda read: False)
        assert caught.value.reason == "InvalidKey"
    async with reading(simulator.config(*PRODUCTS), new("matches", "auctionfeed", "level2_batch")) as read:
        await read.until(lambda read: len(rows_of(read, "matches")) > 5 and len(rows_of(read, "auctionfeed")) > 1)
        assert any("level2_batch is left out, the others continue" in text for text in read.report.losses)


async def test_what_concerns_every_stream_ends_the_run(simulator: Simulator) -> None:
    config = simulator.config("BTC-USDD", "ETH-USD", with_key=True)
    for change, error in (
        ({}, InvalidConfigError), ({"productId": ["ETH-USD"], "key": "other"}, InvalidConfigError),
    ):  # fmt: skip
        source = source_of({**config, **change})
        with pytest.raises(error):
            await source.open(new("ticker", "matches", "status"))
        await source.close()
    source = source_of(simulator.config("ETH-USD"))
    with pytest.raises(UnknownStreamError, match="needs an API key"):
        await source.open(new("full", "user"))
    await source.close()


async def test_a_stream_that_falls_silent_alone_is_asked_for_anew(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector_runner.sources.coinbase.feed.liveness.MUTE_PRODUCT_SECONDS", 3.0)
    async with reading(simulator.config(*PRODUCTS), new("ticker", "auctionfeed")) as read:
        await read.until(lambda read: len(rows_of(read, "ticker")) > 5)
        simulator.arm(Fault.MUTE)
        made = simulator.truth()["connections"]
        await read.until(lambda read: any("ticker sent nothing of" in text for text in read.report.losses))
        await asyncio.wait_for(until(lambda: simulator.truth()["connections"] > made, "a new connection"), 60)
        before = len(rows_of(read, "ticker"))
        await read.until(lambda read: len(rows_of(read, "ticker")) > before + 20)
