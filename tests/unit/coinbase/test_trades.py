"""Completeness of `matches`: whatever the feed leaves out, every trade comes once, in order, or is recorded as a gap."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from connector_runner.sources.coinbase.decode.rest import decode_page
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.streams import STREAMS
from connector_runner.sources.coinbase.trades import reader as trades_module
from connector_runner.sources.coinbase.trades.reader import (
    GRACE,
    MARGIN,
    PAGE,
    SECOND_LOOK,
    STALE,
    MatchesReader,
    Request,
)
from tests.simulators.coinbase import messages
from tests.unit.coinbase.trading import PRODUCT, Bench


def test_trades_in_order_pass_through() -> None:
    bench = Bench(10)
    bench.feed(3, 4, 5)
    bench.beat(5)
    bench.ask(60)
    assert (bench.ids, bench.requests, bench.reader.open_holes) == ([3, 4, 5], [], 0)


def test_a_hole_is_filled_in_order_and_the_position_never_passes_it() -> None:
    bench = Bench(100)
    bench.feed(3, 4, 8, 9)
    assert bench.ids == [3, 4]
    assert bench.reader.position()["_last"] == {PRODUCT: 4}
    bench.ask()
    assert bench.requests == [], "a late trade is given its chance"
    bench.ask(GRACE)
    assert (bench.ids, bench.from_rest) == ([3, 4, 5, 6, 7, 8, 9], [5, 6, 7])
    bench.feed(5, 10)
    assert bench.ids[-2:] == [9, 10], "a late copy of a filled trade is not handed over again"


def test_a_late_trade_beats_rest() -> None:
    bench = Bench(100)
    bench.feed(3, 6)
    bench.feed(5)
    bench.feed(4)
    bench.ask(60)
    assert (bench.ids, bench.requests) == ([3, 4, 5, 6], [])


def test_a_row_from_the_feed_is_preferred_while_rest_answers() -> None:
    bench = Bench(100)
    bench.feed(3, 6)
    (request,) = bench.reader.due(1.0, 1)
    assert bench.reader.due(2.0, 1) == [], "one question at a time"
    bench.feed(5)
    bench.answer(request, [bench.market.trade(PRODUCT, n) for n in (6, 5, 4)])
    assert (bench.ids, bench.from_rest) == ([3, 4, 5, 6], [4])


def test_a_heartbeat_finds_the_loss_of_the_newest_trade() -> None:
    bench = Bench(100)
    bench.feed(3)
    bench.beat(5)
    bench.ask(GRACE)
    assert (bench.ids, bench.from_rest) == ([3, 4, 5], [4, 5])


def test_a_product_that_never_traded_starts_with_its_first_trade() -> None:
    bench = Bench(100)
    bench.beat(0)
    bench.feed(2)
    bench.ask(GRACE)
    assert bench.ids == [1, 2]


def test_without_last_match_the_second_heartbeat_starts_the_account() -> None:
    bench = Bench(100)
    bench.beat(7)
    bench.beat(9)
    bench.ask(GRACE)
    assert bench.ids == [8, 9]


@pytest.mark.parametrize("size", [1, PAGE - MARGIN - 2, PAGE - MARGIN - 1, PAGE, 4567])
def test_hours_of_outage_are_climbed_in_pages(size: int) -> None:
    bench = Bench(6000, {"format": 2, "_last": {PRODUCT: 100}})
    bench.feed(100 + size + 1)
    bench.ask(GRACE)
    while bench.reader.open_holes:
        bench.ask()
    assert bench.ids == list(range(101, 100 + size + 2))
    assert all(request.limit <= PAGE for request in bench.requests)
    assert len(bench.requests) == -(-size // (PAGE - MARGIN - 1))


def test_what_rest_does_not_know_either_becomes_a_gap_after_a_second_look() -> None:
    bench = Bench(100, hidden=[5, 6, 9])
    bench.feed(4, 7, 8, 10)
    bench.ask(GRACE)
    assert (bench.ids, bench.gaps) == ([4], [])
    bench.ask(SECOND_LOOK / 2)
    assert len(bench.requests) == 1
    bench.ask(SECOND_LOOK)
    assert (bench.ids, bench.gaps) == ([4, 7, 8], [(5, 6)])
    bench.ask(SECOND_LOOK)
    bench.ask(SECOND_LOOK)
    assert (bench.ids, bench.gaps) == ([4, 7, 8, 10], [(5, 6), (9, 9)])
    assert bench.reader.counts["gaps"] == 2


def test_a_stale_rest_is_waited_for() -> None:
    bench = Bench(100)
    bench.rest_newest = 5
    bench.feed(5, 8)
    for _ in range(6):
        bench.ask(SECOND_LOOK)
    assert (bench.ids, bench.gaps) == ([5], [])
    bench.rest_newest = 8
    bench.ask(SECOND_LOOK)
    assert (bench.ids, bench.gaps) == ([5, 6, 7, 8], [])


def test_a_rest_that_stays_behind_is_given_up_at_last() -> None:
    bench = Bench(100, hidden=[6])
    bench.feed(5)
    bench.beat(6)
    bench.rest_newest = 6
    while not bench.gaps:
        bench.beat(6)
        bench.ask(SECOND_LOOK)
        assert bench.now < 2 * STALE
    assert bench.now >= STALE
    bench.feed(7)
    assert (bench.ids, bench.gaps) == ([5, 7], [(6, 6)])


def test_a_rest_that_can_not_be_reached_never_makes_a_gap() -> None:
    bench = Bench(100)
    bench.feed(3, 5)
    for _ in range(1000):
        bench.now += 10
        (request,) = bench.reader.due(bench.now, 9)
        bench.reader.failed(request, bench.now + 1)
        assert bench.reader.due(bench.now, 9) == []
    bench.ask(1)
    assert (bench.ids, bench.gaps) == ([3, 4, 5], [])


@pytest.mark.parametrize("newest", [0, 3])
def test_a_rest_that_does_not_know_what_the_feed_told_proves_nothing(newest: int) -> None:
    bench = Bench(100)
    bench.rest_newest = newest
    bench.feed(4, 7)
    while bench.now < 10 * STALE:
        bench.ask(SECOND_LOOK)
        assert bool(bench.notes) == (bench.now > STALE)
    assert (bench.ids, bench.gaps, bench.reader.open_holes) == ([4], [], 1)
    assert "the same exchange" in bench.notes[0]
    bench.rest_newest = 100
    bench.ask(SECOND_LOOK)
    assert (bench.ids, bench.gaps) == ([4, 5, 6, 7], [])


def test_a_page_that_was_overtaken_by_the_feed_is_no_news() -> None:
    bench = Bench(1000)
    bench.feed(3, 5)
    (request,) = bench.reader.due(1.0, 1)
    bench.feed(4, *range(6, 200))
    bench.answer(request, bench.market.page(PRODUCT, request.limit, request.after, None, 10**18))
    assert (bench.ids, bench.notes) == (list(range(3, 200)), [])


def test_rows_behind_a_hole_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trades_module, "MAX_WAITING", 50)
    bench = Bench(1000)
    bench.feed(1, *range(3, 400))
    assert bench.reader.counts["rows_left_to_rest"] >= 300
    bench.ask(GRACE)
    while bench.reader.open_holes:
        bench.ask()
    assert bench.ids == list(range(1, 400))


def test_holes_are_asked_for_oldest_first_and_a_few_at_a_time() -> None:
    reader = MatchesReader(STREAMS["matches"], {"format": 2, "_last": {"A-B": 1, "C-D": 1, "E-F": 1}})
    for number, product in enumerate(("E-F", "A-B", "C-D")):
        beat = {"type": "heartbeat", "sequence": 1, "last_trade_id": 3, "product_id": product}
        reader.read([messages.encode(beat | {"time": "2026-01-01T00:00:00Z"})], BatchBuilder(), float(number))
    assert [request.product for request in reader.due(100.0, 2)] == ["E-F", "A-B"]
    assert [request.product for request in reader.due(100.0, 2)] == ["C-D"]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 300))
def test_every_trade_comes_once_in_order_or_is_a_gap(seed: int, length: int) -> None:
    chance = random.Random(seed)
    hidden = {n for n in range(2, length) if chance.random() < 0.05}
    bench = Bench(length, hidden=hidden)
    told = [n for n in range(1, length + 1) if n == 1 or (n not in hidden and chance.random() > 0.2)]
    for place in range(1, len(told) - 1):
        if chance.random() < 0.1 and place > 1:
            told[place], told[place - 1] = told[place - 1], told[place]
        if chance.random() < 0.1:
            told.insert(place, told[place])
    told.sort(key=lambda n: n != 1)
    for n in told:
        bench.feed(n)
        if chance.random() < 0.1:
            bench.ask(chance.choice([0.0, GRACE, SECOND_LOOK]))
        if chance.random() < 0.05:
            # the runner is killed and resumes at what was handed over
            bench.reader = MatchesReader(STREAMS["matches"], bench.reader.position())
            bench.reader.read([], BatchBuilder(), bench.now)
    bench.beat(length)
    for _ in range(4 * length + 60):
        bench.ask(SECOND_LOOK)
    missing = {n for first, last in bench.gaps for n in range(first, last + 1)}
    assert missing == hidden
    assert bench.ids == [n for n in range(1, length + 1) if n not in hidden]


def test_a_filled_row_is_the_feed_row_without_what_rest_lacks() -> None:
    bench = Bench(10)
    trade = bench.market.trade(PRODUCT, 4)
    builder = BatchBuilder()
    bench.reader.read([messages.encode(messages.match(trade))], builder, 0.0)
    filled = Bench(10, {"format": 2, "_last": {PRODUCT: 3}})
    keys = ("time", "trade_id", "price", "size", "side")
    page = decode_page(messages.encode([{key: getattr(trade, key) for key in keys}]))  # type: ignore[arg-type]
    filled.beat(4)
    other = BatchBuilder()
    filled.reader.fill(Request(PRODUCT, 4, 4, 5, 1), page, other, 0.0)
    without = {"sequence", "maker_order_id", "taker_order_id"}
    names = STREAMS["matches"].schema.names
    assert other.rows[0] == tuple(
        None if name in without else value for name, value in zip(names, builder.rows[0], strict=True)
    )
    assert len(astuple(page[0])) == 6
