"""Several streams in one connector: they share connections, and each table gets what its stream alone would give it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.errors import InvalidConfigError, TransientError, UnknownStreamError
from connector_runner.protocols.source import Checkpoint, Source, SourceContext, WriteMode
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sources.coinbase import build_source, discovery
from connector_runner.sources.coinbase.errors import ProductsChangedError
from connector_runner.sources.coinbase.feed.subscription import share_connections
from connector_runner.sources.coinbase.streams import STREAMS
from tests.integration.coinbase.feeding import Reading, source_of
from tests.kit.datasets import SqliteDataset
from tests.kit.pipeline import Run, context
from tests.kit.report import RecordingReport
from tests.kit.waiting import until
from tests.simulators.coinbase.faults import Fault
from tests.simulators.coinbase.process import Simulator

PRODUCTS = ("BTC-USD", "ETH-USD", "LINK-USD")
SHARED = ("ticker", "matches", "heartbeat")
WORDS = "Invalid product ID provided"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(rate=60, connection_limit=0, request_limit=0, products=",".join(PRODUCTS)) as simulator:
        yield simulator


@asynccontextmanager
async def reading(config: Mapping[str, Any], checkpoints: Mapping[str, Checkpoint | None]) -> AsyncIterator[Reading]:
    report = RecordingReport()
    source = source_of(config, report)
    read = Reading(source, report, checkpoints)
    try:
        opened = await read.open()
        known = {stream for stream, at in checkpoints.items() if at or stream not in opened.failed}
        assert opened.schemas == {stream: STREAMS[stream].schema for stream in known}
        read.start()
        yield read
    finally:
        await read.stop()


def new(*streams: str) -> dict[str, Checkpoint | None]:
    return dict.fromkeys(streams)


def rows_of(read: Reading, stream: str) -> list[tuple[Any, ...]]:
    return [row for batch in read.batches if batch.schema.stream == stream for row in batch.rows]


def incidents_of(read: Reading, stream: str) -> dict[str, Mapping[str, Any]]:
    found = [incident for batch in read.batches if batch.schema.stream == stream for incident in batch.incidents]
    return {incident.kind: {"subject": incident.subject, **incident.detail} for incident in found}


def start(config: Mapping[str, Any], dataset: SqliteDataset, *streams: str, run: int) -> Run:
    """A run with one stream or several; each has a table with its name."""
    tables = {stream: stream for stream in streams}

    def build() -> Source:
        return build_source(SourceContext(config, "default/test", WriteMode.UPSERT, started.telemetry))

    started = Run(build, context(dataset, run=run, tables=tables, is_selection=len(streams) > 1))
    return started.start()


def table(dataset: SqliteDataset, stream: str) -> list[tuple[Any, ...]]:
    return dataset.read(STREAMS[stream].schema, stream) if exists(dataset, stream) else []


def exists(dataset: SqliteDataset, stream: str) -> bool:
    return bool(dataset.query(f"SELECT 1 FROM sqlite_master WHERE name = '{stream}'"))


def last_ids(dataset: SqliteDataset, stream: str = "matches") -> dict[str, int]:
    if not exists(dataset, stream):
        return {}
    found = dataset.query(f"SELECT product_id, max(trade_id) FROM {stream} GROUP BY 1")
    return {product: int(newest) for product, newest in found}


async def settled(run: Run, simulator: Simulator, dataset: SqliteDataset, stream: str = "matches") -> None:
    """Waits until the dataset has every trade of an exchange that stands still."""
    truth: dict[str, int] = simulator.truth()["last_trade_id"]

    def is_there() -> bool:
        assert not run.has_ended, run.log.text()
        return last_ids(dataset, stream) == truth

    await until(is_there, f"every trade in {stream}")


async def test_every_stream_brings_rows_over_half_as_many_connections(simulator: Simulator) -> None:
    async with reading(simulator.config(*PRODUCTS, with_key=True), new(*STREAMS)) as read:
        await read.until(lambda read: all(len(rows_of(read, stream)) >= 5 for stream in STREAMS))
        assert simulator.truth()["subscribed"] == 6
    for batch in read.batches:
        schema = STREAMS[batch.schema.stream].schema
        assert batch.schema is schema
        assert {len(row) for row in batch.rows} <= {len(schema.columns), 1, 0}
    counts = read.report.counts
    assert counts["malformed_messages"] == counts["lenient_messages"] == counts["unknown_messages"] == 0


async def test_a_shared_connection_that_comes_back_gives_what_each_stream_alone_gives(
    simulator: Simulator, tmp_path: Path
) -> None:
    simulator.market(rate=0)
    config = simulator.config(*PRODUCTS)
    folders = {name: tmp_path / name for name in ("many", *SHARED)}
    datasets = {}
    for name, folder in folders.items():
        folder.mkdir()
        datasets[name] = SqliteDataset(folder)
    runs = [start(config, datasets["many"], *SHARED, run=1)]
    runs += [start(config, datasets[stream], stream, run=1) for stream in SHARED]
    everyone = [(runs[0], datasets["many"], stream) for stream in ("matches", "ticker")]
    everyone += [(runs[1 + SHARED.index(stream)], datasets[stream], stream) for stream in ("matches", "ticker")]
    await until(lambda: simulator.truth()["subscribed"] == 4, "four connections")
    for _ in range(3):
        simulator.market(burst=60, beats=2)
        for run, dataset, stream in everyone:
            await settled(run, simulator, dataset, stream)
        simulator.arm(Fault.DROP_SOCKET)
        made = simulator.truth()["connections"]
        simulator.market(beats=1)
        await until(lambda: simulator.truth()["connections"] >= made + 4, "new connections")  # noqa: B023
        await until(lambda: simulator.truth()["subscribed"] == 4, "four connections")
    simulator.market(burst=30)
    for run, dataset, stream in everyone:
        await settled(run, simulator, dataset, stream)
    for run in runs:
        assert await run.stop() is ExitCode.TERMINATED
    for stream in ("matches", "ticker"):
        assert table(datasets["many"], stream) == table(datasets[stream], stream), stream
        kinds = "SELECT kind, subject FROM {}_incidents ORDER BY 1, 2".format(stream)  # noqa: UP032
        assert datasets["many"].query(kinds) == datasets[stream].query(kinds)


FAULTS = (Fault.DROP_SOCKET, Fault.DROP_MESSAGE, Fault.DUPLICATE, Fault.REORDER, Fault.GARBAGE, Fault.ERROR)


async def test_runs_that_are_killed_lose_and_repeat_nothing_in_any_stream(simulator: Simulator, tmp_path: Path) -> None:
    dataset, chance = SqliteDataset(tmp_path), random.Random(5)
    config, streams = simulator.config(*PRODUCTS), ("matches", "level2_batch", "status", "ticker")
    simulator.market(rate=400)
    for number in range(1, 6):
        run = start(config, dataset, *streams, run=number)
        rows = chance.randrange(100, 500)
        await until(lambda: run.telemetry.totals.rows > 20, "the first rows")  # noqa: B023
        simulator.arm(chance.choice(FAULTS))
        await until(lambda: run.telemetry.totals.rows > rows, "some rows")  # noqa: B023
        await run.kill()
    run = start(config, dataset, *streams, run=9)
    await until(lambda: run.telemetry.totals.rows > 20, "the first rows")
    simulator.market(rate=0)
    await settled(run, simulator, dataset)
    simulator.market(states={"LINK-USD": "offline"}, beats=5)
    state = "SELECT status FROM status WHERE kind = 'product' AND id = 'LINK-USD'"
    await until(lambda: dataset.query(state) == [("offline",)], "the newest status")
    await until(lambda: books(dataset) == truth_of_books(simulator), "the books")
    assert await run.stop() is ExitCode.TERMINATED
    for product in PRODUCTS:
        ids = [
            row[0] for row in dataset.query(f"SELECT trade_id FROM matches WHERE product_id = '{product}' ORDER BY 1")
        ]
        assert ids == list(range(ids[0], ids[-1] + 1))
        known = {trade["trade_id"]: trade for trade in simulator.trades(product, ids[0])}
        for trade_id, price in dataset.query(f"SELECT trade_id, price FROM matches WHERE product_id = '{product}'"):
            assert float(price) == float(known[trade_id]["price"])
        told = dataset.query(f"SELECT trade_id, price FROM ticker WHERE product_id = '{product}'")
        assert {(int(n), float(p)) for n, p in told} <= {(n, float(trade["price"])) for n, trade in known.items()}
    (tmp_path / "alone").mkdir()
    alone = SqliteDataset(tmp_path / "alone")
    single = start(config, alone, "status", run=1)
    await until(lambda: exists(alone, "status"), "the table")
    simulator.market(beats=5)
    await until(lambda: table(alone, "status"), "the status")
    assert await single.stop() is ExitCode.TERMINATED
    assert table(dataset, "status") == table(alone, "status")


def books(dataset: SqliteDataset) -> dict[tuple[str, str, float], float]:
    found = dataset.query("SELECT product_id, side, price, size FROM level2_batch")
    return {(product, side, float(price)): float(size) for product, side, price, size in found}


def truth_of_books(simulator: Simulator) -> dict[tuple[str, str, float], float]:
    return {
        (product, side, float(price)): float(size)
        for product in PRODUCTS
        for side, levels in simulator.book(product).items()
        for price, size in levels.items()
    }


async def test_one_stream_and_many_take_turns_from_where_each_stands(simulator: Simulator, tmp_path: Path) -> None:
    """Each time another selection; `matches` must have each trade once whoever reads it, and be proven without REST's help."""
    dataset, config = SqliteDataset(tmp_path), simulator.config(*PRODUCTS)
    simulator.market(rate=0)
    steps = ["matches", "matches ticker", "ticker", "matches level2_batch ticker", "matches", "matches ticker"]
    for number, step in enumerate(steps, 1):
        streams = step.split()
        await until(lambda: not simulator.truth()["subscribed"], "the end of the run before")
        run = start(config, dataset, *streams, run=number)
        connections = len(share_connections([STREAMS[stream] for stream in streams]))
        await until(lambda: simulator.truth()["subscribed"] == connections, "the connections")  # noqa: B023
        simulator.market(burst=40, beats=2)
        for stream in {"matches", "ticker"}.intersection(streams):
            await settled(run, simulator, dataset, stream)
        assert await run.stop() is ExitCode.TERMINATED
    for product in PRODUCTS:
        ids = [
            row[0] for row in dataset.query(f"SELECT trade_id FROM matches WHERE product_id = '{product}' ORDER BY 1")
        ]
        assert ids == list(range(ids[0], ids[-1] + 1)), product
    assert dataset.query("SELECT kind FROM matches_incidents") == []
    interruptions = dataset.query("SELECT kind FROM ticker_incidents")
    assert interruptions == [("interruption",)] * 3


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
