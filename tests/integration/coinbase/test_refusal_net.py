"""Random refusals of the feed, by seed, over real sockets: all other products have rows, and each refused product is reported.

`COINBASE_REFUSAL_SEEDS=7` or `COINBASE_REFUSAL_SEEDS=100-120` runs other seeds than the few of the ordinary suite.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable

import pytest

from connector_runner.protocols.errors import ConnectorError, InvalidConfigError
from connector_runner.sources.coinbase.streams import STREAMS
from tests.integration.coinbase.feeding import reading, source_of
from tests.simulators.coinbase.process import Simulator
from tests.simulators.draws import Draws, Report

PRODUCTS = ("ADA-USD", "BTC-EUR", "BTC-USD", "ETH-USD", "LINK-USD", "SOL-USD", "ZRX-USD")
NAMED = (
    "{} is not a valid product",
    "{} is delisted",
    "Unknown product: {}",
    "product {} not found",
    "product_ids {} is not supported",
    "we do not serve {} here",
)
UNNAMED = ("Invalid product ID provided", "invalid product_ids", "no such product")
KINDS = {"named": 0.5, "unnamed": 0.4, "explicit": 0.5}
STREAMS_READ = ("ticker", "matches", "level2_batch", "heartbeat", "status")
FEW, MANY = range(4), range(100)
ENOUGH = int(os.environ.get("NET_FAILURES", "5"))


def refusals(draws: Draws) -> dict[str, str]:
    """Which products are refused, each with its words; one at least is not."""
    refused = {}
    for product in draws.random.sample(PRODUCTS, len(PRODUCTS) - 1):
        if draws.strikes("named"):
            refused[product] = draws.random.choice(NAMED).format(product)
        elif draws.strikes("unnamed"):
            refused[product] = draws.random.choice(UNNAMED)
    return refused


async def one(seed: int) -> Draws:
    """One seed; whatever is wrong raises."""
    draws = Draws(seed, KINDS, most=3, needs={"explicit": "unnamed"})
    refused = refusals(draws)
    stream = random.Random(f"refusals:{seed}").choice(STREAMS_READ)
    with Simulator(
        products=",".join(PRODUCTS), rate=150, connection_limit=0, request_limit=0, seed=seed + 1
    ) as simulator:
        simulator.market(refused=refused)
        if draws.strikes("explicit"):
            simulator.market(refused={"BTC-USD": draws.random.choice(UNNAMED)})
            source = source_of(simulator.config("BTC-USD", "ETH-USDD"))
            with pytest.raises(InvalidConfigError, match="ETH-USDD is not a product"):
                await source.open({stream: None})
            await source.close()
            return draws
        async with reading(simulator.config("*"), stream) as read:
            wanted = {*PRODUCTS} - refused.keys()
            index = 1 if stream == "status" else 0
            wanted = {*PRODUCTS} if stream == "status" else wanted
            await read.until(lambda read: wanted <= {row[index] for row in read.rows() if len(row) > index}, 30)
            told = {detail["product_id"]: detail["answer"] for detail in read.details("refused")}
            if STREAMS[stream].id != "status":
                assert told.keys() == refused.keys()
            assert all(answer.endswith(refused[product]) for product, answer in told.items()), told
    return draws


async def run(seeds: Iterable[int]) -> Report:
    report = Report()
    for seed in seeds:
        try:
            report.add(await one(seed), told=True)
        except (AssertionError, TimeoutError, ConnectorError, pytest.fail.Exception) as error:
            report.fail(seed, repr(error))
        if len(report.failures) == ENOUGH:
            break
    print(report.text())
    return report


def chosen() -> Iterable[int]:
    text = os.environ.get("COINBASE_REFUSAL_SEEDS", "")
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1) if text else FEW


async def test_a_few_seeds() -> None:
    report = await run(chosen())
    assert not report.failures, report.text()


@pytest.mark.fault
@pytest.mark.timeout(1200)
async def test_a_hundred_seeds() -> None:
    report = await run(MANY)
    assert not report.failures, report.text()
    assert set(report.drawn) == set(KINDS), report.text()
