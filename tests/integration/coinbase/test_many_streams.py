"""Several streams in one connector: they share connections, and each table gets what its stream alone would give it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector_runner.protocols.source import Checkpoint
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sources.coinbase.feed.subscription import share_connections
from connector_runner.sources.coinbase.streams import STREAMS
from tests.integration.coinbase.many_streams import (
    PRODUCTS,
    SHARED,
    exists,
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


@pytest.mark.parametrize("is_selection", [False, True], ids=["selectedStream", "a selection of one"])
async def test_one_stream_and_many_take_turns_from_where_each_stands(
    simulator: Simulator, tmp_path: Path, is_selection: bool
) -> None:
    """Each time another selection; `matches` must have each trade once whoever reads it, and be proven without REST's help."""
    dataset, config = SqliteDataset(tmp_path), simulator.config(*PRODUCTS)
    simulator.market(rate=0)
    steps = ["matches", "matches ticker", "ticker", "matches level2_batch ticker", "matches", "matches ticker"]
    for number, step in enumerate(steps, 1):
        streams = step.split()
        await until(lambda: not simulator.truth()["subscribed"], "the end of the run before")
        run = start(config, dataset, *streams, run=number, is_selection=is_selection)
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


async def test_where_each_stream_stands_is_stored_before_anything_else(simulator: Simulator) -> None:
    """A selection of one keeps its position as the reader's, which becomes another one with the first commit of any stream."""
    at = {
        stream: Checkpoint({"format": 2, "_last": {"BTC-USD": number}}, "127.0.0.1", STREAMS[stream].schema.version)
        for number, stream in enumerate(("ticker", "auctionfeed"), 7)
    }
    async with reading(simulator.config(*PRODUCTS), {**at, **new("matches")}) as read:
        await read.until(lambda read: len(read.batches) > 2)
    first, second = read.batches[:2]
    assert [(batch.schema.stream, batch.place, len(batch.rows), batch.more) for batch in (first, second)] == [
        ("ticker", at["ticker"].position, 0, True),
        ("auctionfeed", at["auctionfeed"].position, 0, False),
    ]
