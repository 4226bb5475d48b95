"""Ids that jump far ahead, and trades that never come or come late: gaps are found with few questions and reported."""

import json
from dataclasses import replace

import pytest

from connector_runner.sources.coinbase.trades.conflicts import STALLED_SECONDS
from connector_runner.sources.coinbase.trades.reader import SECOND_LOOK, STALE
from tests.simulators.coinbase import messages
from tests.simulators.coinbase.market import Market, Trade
from tests.unit.coinbase.trading import AFTER, PRODUCT, Bench, matches_of


@pytest.mark.parametrize("jump", [2, 949, 950, 5_000, 3_000_000, 2**40])
def test_a_jump_is_one_gap_after_a_few_questions(jump: int) -> None:
    bench = Bench(100)
    bench.feed(99, 100)
    high = 100 + jump
    market = Market(1, [PRODUCT], history=3, start=AFTER)
    newer = [replace(market.trade(PRODUCT, n + 1), trade_id=high + n) for n in range(3)]
    bench.tell(*map(messages.match, newer))
    started = bench.now
    while bench.reader.open_holes:
        bench.now += 0.2
        for request in bench.reader.due(bench.now, 9):
            bench.requests.append(request)
            known = [*reversed(newer), *(bench.market.trade(PRODUCT, n) for n in range(100, 0, -1))]
            bench.answer(request, [trade for trade in known if trade.trade_id < request.after][: request.limit])
        assert bench.now < 60
    assert bench.gaps == [(101, high - 1)]
    assert bench.ids == [99, 100, high, high + 1, high + 2]
    assert len(bench.requests) <= 4
    assert bench.now - started < 4 * SECOND_LOOK


@pytest.mark.parametrize(
    ("jump", "missing"), [(5_000, 40), (1_000_000, 3000), (10**9, 2400), (2500, 949), (70_000, 1050)]
)
def test_a_jump_with_missed_trades_behind_it_is_searched_by_halves(jump: int, missing: int) -> None:
    bench = Bench(100)
    bench.feed(99, 100)
    first = 101 + jump
    market = Market(1, [PRODUCT], history=missing + 1, start=AFTER)
    newest = first + missing

    def trade(n: int) -> Trade:
        found = market.trade(PRODUCT, n - first + 1) if n >= first else bench.market.trade(PRODUCT, n)
        return replace(found, trade_id=n)

    bench.tell(messages.match(trade(newest)))
    while bench.reader.open_holes:
        bench.now += 0.2
        for request in bench.reader.due(bench.now, 9):
            bench.requests.append(request)
            ids = [*range(min(newest, request.after - 1), first - 1, -1), *range(min(100, request.after - 1), 0, -1)]
            bench.answer(request, [trade(n) for n in ids[: request.limit]])
        assert bench.now < 120
    assert bench.gaps == [(101, first - 1)]
    assert bench.ids == [99, 100, *range(first, newest + 1)]
    assert len(bench.requests) < 50


def test_one_trade_with_an_id_far_too_high_is_told_and_makes_no_gap() -> None:
    bench = Bench(200)
    bench.rest_newest = 101
    bench.feed(99, 100)
    bench.tell(matches_of(bench.market, 101)[0] | {"trade_id": 1_000_101})
    for n in range(101, 150):
        bench.rest_newest = n
        bench.feed(n)
        bench.ask(1.0)
        bench.beat(n)
    assert (bench.gaps, bench.kinds()) == ([], ["conflict"])
    assert bench.ids == list(range(99, 150))


def test_a_trade_that_comes_after_it_was_given_up_is_stored_and_told() -> None:
    bench = Bench(100, hidden=[5])
    bench.feed(4, 6)
    for _ in range(4):
        bench.ask(SECOND_LOOK)
    bench.feed(7, 5, 5, 8)
    assert (bench.ids, bench.gaps) == ([4, 6, 7, 5, 8], [(5, 5)])
    assert bench.kinds() == ["gap", "late"]


def test_a_hole_that_nobody_fills_is_told_after_a_while() -> None:
    bench = Bench(100)
    bench.feed(3)
    while bench.now < STALLED_SECONDS + 30:
        bench.now += 10
        bench.beat(5)
        for request in bench.reader.due(bench.now, 9):
            bench.reader.failed(request, bench.now + 1)
    assert bench.kinds() == ["stalled"]
    assert bench.incidents[0].detail == {"product_id": PRODUCT, "from": 4, "to": 5}
    bench.now += 100
    bench.ask()
    assert bench.ids == [3, 4, 5]


def test_rest_that_tells_another_trade_than_was_handed_over_fills_nothing() -> None:
    bench = Bench(100)
    bench.feed(99, 100)
    resumed = Bench(300, json.loads(json.dumps(bench.reader.position())))
    resumed.market = Market(9, [PRODUCT], history=300, start=AFTER)
    resumed.beat(120)
    while resumed.now < 2 * STALE:
        resumed.ask(SECOND_LOOK)
    assert (resumed.ids, resumed.gaps) == ([], [])
    assert "returns another trade 100" in resumed.notes[0]


def test_rest_that_lacks_only_the_newest_trade_that_was_handed_over_is_believed() -> None:
    bench = Bench(100, hidden=[6])
    bench.feed(4, 5, 6, 9)
    while bench.reader.open_holes:
        bench.ask(SECOND_LOOK)
        assert bench.now < STALE
    assert (bench.ids, bench.gaps) == ([4, 5, 6, 7, 8, 9], [])


@pytest.mark.parametrize("cap", [100, 999])
def test_rest_with_shorter_pages_than_asked_for_loses_nothing(cap: int) -> None:
    bench = Bench(2000)
    bench.feed(10, 1500)
    bench.now = 1.0
    while bench.reader.open_holes:
        bench.now += 0.2
        for request in bench.reader.due(bench.now, 9):
            bench.answer(request, bench.market.page(PRODUCT, min(cap, request.limit), request.after, None, 10**18))
        assert bench.now < 60
    assert (bench.ids, bench.gaps) == (list(range(10, 1501)), [])
