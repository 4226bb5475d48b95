"""The surroundings of the feed: another REST server or none, products that come and go, and the metrics of all this."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.sources.coinbase import build_source, discovery
from connector_runner.sources.coinbase.decode.messages import RestTrade
from connector_runner.sources.coinbase.errors import ProductsChangedError
from connector_runner.sources.coinbase.rest import backfill
from connector_runner.sources.coinbase.rest.backfill import Backfill
from connector_runner.sources.coinbase.rest.client import RestClient
from connector_runner.sources.coinbase.streams import STREAMS
from connector_runner.sources.coinbase.trades.reader import MatchesReader, Request
from tests.integration.coinbase.feeding import Reading, reading, source_of
from tests.kit.pipeline import CountingMeters
from tests.servers.ports import free_port
from tests.simulators.coinbase.faults import Fault
from tests.simulators.coinbase.process import Simulator

PRODUCTS = ("BTC-USD", "ETH-USD")
SILENCE = "connector_runner.sources.coinbase.feed.liveness"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(products=",".join(PRODUCTS), rate=40, connection_limit=0, request_limit=0) as simulator:
        yield simulator


@asynccontextmanager
async def rest_that_answers(status: int, body: str) -> AsyncIterator[str]:
    """A server that answers everything alike; its URL."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_discovery_refuses_a_rest_interface_that_is_something_else(simulator: Simulator) -> None:
    async with rest_that_answers(404, "not here") as url:
        with pytest.raises(ActionRequiredError, match="is it the exchange's REST interface"):
            await source_of(simulator.config("BTC-USD") | {"restUrl": url}).discover(None)


@pytest.mark.parametrize("is_there", [True, False])
async def test_discovery_notes_a_rest_interface_that_does_not_answer(simulator: Simulator, is_there: bool) -> None:
    async with rest_that_answers(503, "") as url:
        dead = url if is_there else f"http://127.0.0.1:{free_port()}"
        catalogue = await source_of(simulator.config("BTC-USD") | {"restUrl": dead}).discover(None)
    assert "can't be filled" in catalogue.notes[-1]


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, "no", "is it the exchange's REST interface"),
        (200, "[]", "is it the REST interface of the same exchange"),
        (200, "<html>", "did not answer with trades of"),
        (200, '["\xff"', "did not answer with trades of"),
    ],
)
async def test_a_rest_interface_that_is_something_else_never_makes_a_gap(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, status: int, body: str, told: str
) -> None:
    monkeypatch.setattr("connector_runner.sources.coinbase.trades.reader.STALE", 0.5)
    monkeypatch.setattr("connector_runner.sources.coinbase.trades.reader.SECOND_LOOK", 0.1)
    async with (
        rest_that_answers(status, body) as url,
        reading(simulator.config(*PRODUCTS) | {"restUrl": url}, "matches") as read,
    ):
        await read.until(lambda read: len(read.rows()) > 5)
        simulator.arm(Fault.DROP_MESSAGE)
        await read.until(lambda read: any(told in note for note in read.report.losses))
        assert read.details("gap") == []


async def test_questions_that_fail_are_asked_again_and_told_once(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "RETRY_SECONDS", (0.01, 0.04))
    simulator.arm(Fault.UNAVAILABLE, 5)
    async with reading(simulator.config("BTC-USD"), "matches") as read:
        await read.until(lambda read: len(read.rows()) > 5)
        simulator.arm(Fault.DROP_MESSAGE)
        await read.until(lambda read: read.report.counts["filled_trades"] == 1)
    assert simulator.truth()["faults"][Fault.UNAVAILABLE] == 5
    assert sum("answered 503" in note for note in read.report.losses) == 1


class FailingRest(RestClient):
    """Fails in the way that was chosen."""

    def __init__(self, error: Exception) -> None:
        super().__init__("http://127.0.0.1:1", None)
        self._error = error

    async def trades(self, request: Request) -> list[RestTrade]:
        raise self._error


def reader_with_a_hole() -> MatchesReader:
    reader = MatchesReader(STREAMS["matches"], {"format": 2, "_last": {"A-B": 1}})
    reader._products["A-B"].notice(3, 0.0)
    return reader


async def test_what_nobody_foresaw_in_a_question_ends_the_reading_and_not_only_the_task() -> None:
    wake, reader = asyncio.Event(), reader_with_a_hole()
    filler = Backfill(FailingRest(RuntimeError("not foreseen")), wake)
    filler.ask(reader, 10.0)
    await wake.wait()
    with pytest.raises(RuntimeError, match="not foreseen"):
        list(filler.drain(reader))
    await filler.close()


async def test_a_question_waits_longer_after_each_failure() -> None:
    wake, reader = asyncio.Event(), reader_with_a_hole()
    filler = Backfill(FailingRest(TransientError("not now")), wake)
    for whole in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        wake.clear()
        before = time.monotonic()
        filler.ask(reader, float("inf"))
        await wake.wait()
        (builder,) = filler.drain(reader)
        assert builder.notes == ["trades can't be filled yet: not now"]
        assert before + 0.5 * whole <= reader._products["A-B"].ask_at <= time.monotonic() + 1.5 * whole
    await filler.close()


async def test_a_product_that_is_delisted_while_all_are_read_makes_the_source_begin_anew(simulator: Simulator) -> None:
    async with reading(simulator.config("*"), "ticker") as read:
        await read.until(lambda read: len(read.rows()) > 5)
        simulator.market(states={"ETH-USD": "delisted"})
        simulator.arm(Fault.DROP_SOCKET)
        with pytest.raises(ProductsChangedError, match="ETH-USD"):
            await read.until(lambda read: False)
    async with reading(simulator.config("*"), "ticker") as read:
        await read.until(lambda read: len(read.rows()) > 5)
    assert {row[0] for row in read.rows()} == {"BTC-USD"}


async def test_products_that_come_while_all_are_read_are_found(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "LIST_SECONDS", 0.05)
    simulator.market(states={"ETH-USD": "offline"})
    async with reading(simulator.config("*"), "ticker") as read:
        await read.until(lambda read: len(read.rows()) > 5)
        simulator.market(states={"ETH-USD": "online"})
        with pytest.raises(TransientError, match=r"1 new \(ETH-USD\)"):
            await read.until(lambda read: False)


async def test_a_list_that_can_not_be_had_again_changes_nothing(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "LIST_SECONDS", 0.05)
    async with reading(simulator.config("*"), "ticker") as read:
        simulator.arm(Fault.UNAVAILABLE, 3)
        await read.until(lambda _: simulator.truth()["faults"][Fault.UNAVAILABLE] == 3)
        seen = len(read.rows())
        await read.until(lambda read: len(read.rows()) > seen + 5)
    assert sum("can't be listed again" in note for note in read.report.losses) == 1


async def mended(read: Reading, simulator: Simulator, told: str) -> None:
    await read.until(lambda read: any(told in loss for loss in read.report.losses))
    assert read.report.counts["silent_products"] >= 1
    seen = simulator.truth()["last_trade_id"]
    await read.until(lambda read: all(any(row[0] == p and row[14] > n for row in read.rows()) for p, n in seen.items()))


@pytest.mark.parametrize(
    ("fault", "patience", "told"),
    [
        (Fault.MUTE, "MUTE_PRODUCT_SECONDS", "ticker sent nothing of"),
        (Fault.NO_HEARTBEAT, "QUIET_PRODUCT_SECONDS", "no heartbeat of"),
    ],
)
async def test_a_product_that_falls_silent_alone_is_asked_for_anew(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, fault: Fault, patience: str, told: str
) -> None:
    monkeypatch.setattr(f"{SILENCE}.{patience}", 3.0)
    async with reading(simulator.config(*PRODUCTS), "ticker") as read:
        await read.until(lambda read: len(read.rows()) > 5)
        simulator.arm(fault)
        await mended(read, simulator, told)


async def test_an_outage_is_no_silence_of_status(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{SILENCE}.QUIET_PRODUCT_SECONDS", 2.5)
    monkeypatch.setattr("connector_runner.sources.coinbase.feed.session.BACKOFF_SECONDS", (6.0, 6.0))
    async with reading(simulator.config(*PRODUCTS), "status") as read:
        await read.until(lambda read: len(read.rows()) > 3)
        simulator.arm(Fault.DROP_SOCKET)
        await read.until(lambda read: not read.report.is_connected)
        await read.until(lambda read: read.report.is_connected)
        reader = read.source._readers["status"]
        await read.until(lambda _: reader.beats.get("BTC-USD", 0.0) > reader.began["BTC-USD"] + 3)
    assert len(read.report.losses) == 1
    assert read.report.counts["silent_products"] == 0


async def test_lag_is_not_told_as_nothing_while_the_feed_is_lost(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector_runner.sources.coinbase.feed.session.BACKOFF_SECONDS", (600.0, 600.0))
    async with reading(simulator.config(*PRODUCTS), "matches") as read:
        await read.until(lambda read: 0.0 in read.report.lags)
        simulator.arm(Fault.DROP_SOCKET)
        await read.until(lambda read: not read.report.is_connected)
        ticks = 0
        pause = read.source._pause

        async def counted() -> None:
            nonlocal ticks
            await pause()
            ticks += 1

        monkeypatch.setattr(read.source, "_pause", counted)
        await read.until(lambda _: ticks >= 2)
        read.report.lags.clear()
        await read.until(lambda _: ticks >= 5)
        assert read.report.lags == []


async def test_one_loss_is_one_reconnect(simulator: Simulator) -> None:
    meters = CountingMeters()
    telemetry = Telemetry(lambda *_, **__: None, meters)
    source = build_source(SourceContext(simulator.config(*PRODUCTS), "tests/feed", WriteMode.UPSERT, telemetry))
    await source.open({"matches": None})
    reading = aiter(source.batches())
    try:
        await anext(reading)
        simulator.arm(Fault.DROP_SOCKET)
        while not meters.counts["reconnects"] or telemetry.health.source:
            await anext(reading)
        assert meters.counts["reconnects"] == 1
    finally:
        await source.close()


async def test_the_simulator_forgets_who_has_gone(simulator: Simulator) -> None:
    async with reading(simulator.config(*PRODUCTS), "matches") as read:
        await read.until(lambda read: len(read.rows()) > 5)
        for fault in (Fault.BROKEN_FRAME, Fault.DROP_SOCKET, Fault.ERROR):
            lost = len(read.report.losses)
            simulator.arm(fault)
            await read.until(lambda read, lost=lost: read.report.is_connected and len(read.report.losses) > lost)  # type: ignore[misc]
    await read.until(lambda _: simulator.truth()["sessions"] == 0)


async def test_more_subscriptions_than_ten_are_refused(simulator: Simulator) -> None:
    sources = [source_of(simulator.config("BTC-USD")) for _ in range(11)]
    try:
        for source in sources[:-1]:
            await source.open({"ticker": None})
        with pytest.raises(TransientError, match="too many subscriptions to ticker of BTC-USD"):
            await sources[-1].open({"ticker": None})
    finally:
        for source in sources:
            await source.close()
