"""A start by heartbeats alone is a floor, not a mark: as no row has proved it, no trade is left out because of it."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_runner.sources.coinbase.settings import RestartedIds
from connector_runner.sources.coinbase.trades.product_trades import GRACE, PAGE
from connector_runner.sources.coinbase.trades.reader import STALE
from tests.simulators.coinbase import messages
from tests.simulators.coinbase.market import Market
from tests.unit.coinbase.trading import PRODUCT, Bench

AFTER = 1_700_001_000_000_000


def resume(bench: Bench, restarts: RestartedIds = RestartedIds.STAND_ASIDE) -> Bench:
    resumed = Bench(200, json.loads(json.dumps(bench.reader.position())), restarts=restarts)
    resumed.rest_newest = bench.rest_newest
    return resumed


def begun_too_high(by: int, restarts: RestartedIds = RestartedIds.STAND_ASIDE) -> Bench:
    """Trade 100 is the newest there is, the feed greets with nothing, and two heartbeats tell more."""
    bench = Bench(200, restarts=restarts)
    bench.rest_newest = 100
    bench.beat(100 + by)
    bench.beat(100 + by)
    return bench


@pytest.mark.parametrize("is_made_anew", [False, True])
@pytest.mark.parametrize("restarts", RestartedIds)
@pytest.mark.parametrize("by", [1, 2, 30, 5000])
def test_trades_at_or_below_what_only_heartbeats_told_are_handed_over(
    by: int, restarts: RestartedIds, *, is_made_anew: bool
) -> None:
    bench = begun_too_high(by, restarts)
    if is_made_anew:
        bench = resume(bench, restarts)
    for n in range(101, 140):
        bench.rest_newest = n
        bench.feed(n)
        bench.ask(1.0)
        bench.beat(n)
    assert (bench.ids, bench.incidents, bench.reader.counts["duplicates"]) == ([*range(101, 140)], [], 0)
    assert bench.reader.open_holes == 0


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_heartbeats_that_tell_less_lower_the_floor_and_what_was_missed_comes_from_rest(*, is_made_anew: bool) -> None:
    bench = begun_too_high(30)
    if is_made_anew:
        bench = resume(bench)
    bench.beat(100)
    assert bench.reader.position()["_last"] == {PRODUCT: 100}
    bench.rest_newest = 103
    bench.beat(103)
    bench.ask(GRACE)
    assert (bench.ids, bench.from_rest, bench.incidents) == ([101, 102, 103], [101, 102, 103], [])


def test_the_position_says_that_a_mark_came_from_heartbeats_only_until_a_row_has_proved_it() -> None:
    bench = begun_too_high(1)
    position = bench.reader.position()
    assert (position["_last"], position["_floors"]) == ({PRODUCT: 101}, {PRODUCT: 101})
    bench.feed(101)
    assert "_floors" not in bench.reader.position()
    assert "_floors" not in resume(bench).reader.position()
    bench.feed(101)
    assert (bench.ids, bench.reader.counts["duplicates"]) == ([101], 1)


def test_a_mark_of_a_position_that_names_no_floors_is_one() -> None:
    bench = Bench(200, {"format": 2, "_last": {PRODUCT: 101}})
    bench.feed(101, 102)
    assert (bench.ids, bench.reader.counts["duplicates"]) == ([102], 1)


def test_a_row_from_rest_proves_the_floor_too() -> None:
    bench = Bench(200)
    bench.beat(100)
    bench.beat(103)
    bench.ask(GRACE)
    assert bench.ids == [101, 102, 103]
    assert "_floors" not in bench.reader.position()


def test_an_answer_about_what_was_above_the_floor_before_proves_nothing() -> None:
    bench = begun_too_high(4000)
    bench.beat(4103)
    (request,) = bench.reader.due(GRACE, 1)
    bench.beat(98)
    bench.beat(98)
    bench.beat(100)
    bench.answer(request, bench.market.page(PRODUCT, 1, request.after, None, 10**18))
    bench.ask(GRACE)
    bench.ask(2.0)
    assert (bench.ids, bench.gaps) == ([99, 100], [])


def test_a_row_that_waits_above_the_floor_is_kept_when_the_floor_is_lowered() -> None:
    bench = begun_too_high(5)
    bench.feed(108)
    bench.feed(103)
    bench.rest_newest = 200
    bench.ask(GRACE)
    assert bench.ids == [*range(103, 109)]
    assert bench.from_rest == [104, 105, 106, 107]


@pytest.mark.parametrize(
    ("beats", "floor"),
    [
        ((1,), 5000),
        ((1, 5000, 1, 5000), 5000),
        ((1, 4998, 1), 4998),
        ((1, 2), 1),
        ((1, 3000, 3001), 3000),
        ((3000, 1, 2, 5000), 1),
    ],
)
def test_one_heartbeat_far_too_low_reads_no_history_but_two_in_a_row_are_believed(
    beats: tuple[int, ...], floor: int
) -> None:
    bench = Bench(6000)
    for newest in (5000, 5000, *beats):
        bench.beat(newest)
    assert bench.reader.position()["_last"] == {PRODUCT: floor}
    bench.feed(floor - 1 or 1)
    assert bench.ids == [floor - 1 or 1], "whatever the floor, no trade is left out"


def test_numbers_that_begin_again_with_nothing_but_what_rest_tells_are_a_floor_too() -> None:
    bench = Bench(100, restarts=RestartedIds.OVERWRITE)
    bench.feed(99)
    resumed = Bench(100, json.loads(json.dumps(bench.reader.position())), restarts=RestartedIds.OVERWRITE)
    resumed.market = again = Market(9, [PRODUCT], history=300, start=AFTER)
    resumed.rest_newest = 103
    while "restart" not in resumed.kinds():
        resumed.beat(104)
        resumed.ask(1.0)
        assert resumed.now < STALE
    resumed.tell(messages.match(again.trade(PRODUCT, 104)))
    assert resumed.ids == [104]


def test_a_trade_below_the_first_one_of_numbers_that_began_again_is_not_lost() -> None:
    bench = Bench(100, restarts=RestartedIds.OVERWRITE)
    bench.feed(8, 9)
    again = Market(2, [PRODUCT], history=20, start=AFTER)
    bench.tell(*(messages.match(again.trade(PRODUCT, n)) for n in (4, 5)))
    resumed = resume(bench, RestartedIds.OVERWRITE)
    resumed.market = again
    for _ in range(3):
        resumed.now += 1
        resumed.beat(5)
    resumed.tell(messages.match(again.trade(PRODUCT, 3)))
    resumed.ask(GRACE)
    assert (resumed.ids, resumed.kinds()) == ([3, 4, 5], ["restart"])


@pytest.mark.parametrize("jump", [40, 3000, 3_000_000])
def test_a_rest_that_has_no_trade_below_the_first_one_is_asked_further_up(jump: int) -> None:
    bench = Bench(100)
    bench.beat(3)
    bench.beat(3)
    market = Market(3, [PRODUCT], history=3, start=AFTER)
    newer = [replace(market.trade(PRODUCT, n), trade_id=3 + jump + n) for n in (1, 2)]
    bench.tell(*map(messages.match, newer))
    while bench.reader.open_holes:
        bench.now += 0.2
        for request in bench.reader.due(bench.now, 9):
            bench.answer(request, [trade for trade in reversed(newer) if trade.trade_id < request.after])
        assert bench.now < STALE
    assert (bench.ids, bench.gaps) == ([4 + jump, 5 + jump], [(4, 3 + jump)])


@st.composite
def starts(draw: Any) -> tuple[list[int], list[int], int]:
    lies = draw(st.lists(st.integers(1, PAGE), min_size=2, max_size=5))
    truths = draw(st.lists(st.integers(0, 3), max_size=3))
    return lies, truths, draw(st.integers(101, 110))


@settings(deadline=None)
@given(starts(), st.booleans(), st.booleans())
def test_from_the_first_trade_that_the_feed_tells_each_is_stored_whatever_heartbeats_told(
    start: tuple[list[int], list[int], int], is_made_anew: bool, is_sorted: bool
) -> None:
    lies, truths, first = start
    bench = Bench(200)
    bench.rest_newest = 100
    beats = [*(100 + lie for lie in lies), *(100 - truth for truth in truths)]
    for newest in sorted(beats) if is_sorted else beats:
        bench.beat(newest)
        bench.now += 1.0
    if is_made_anew:
        bench = resume(bench)
    for n in range(first, 150):
        bench.rest_newest = n
        bench.feed(n)
        bench.beat(n)
        bench.ask(1.0)
    assert set(range(first, 150)) <= set(bench.ids), "none of them is left out"
    assert len(set(bench.ids)) == len(bench.ids)
    assert bench.incidents == []
