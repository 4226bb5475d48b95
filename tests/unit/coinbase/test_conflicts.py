"""Ids that begin again, heartbeats that are wrong, trades that contradict others, jumps: nothing is dropped in silence."""

import json

import pytest

from connector_runner.protocols.batch import Operation
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.settings import RestartedIds
from connector_runner.sources.coinbase.streams import STREAMS
from connector_runner.sources.coinbase.trades.conflicts import CONFLICT_SECONDS
from connector_runner.sources.coinbase.trades.reader import GRACE, STALE, MatchesReader
from tests.simulators.coinbase import messages
from tests.simulators.coinbase.market import Market
from tests.unit.coinbase.trading import AFTER, PRODUCT, Bench, matches_of


def again(count: int = 20) -> Market:
    """The same product with trades of its own, whose ids start at 1; the first of them is the newest of all."""
    return Market(2, [PRODUCT], history=count, start=AFTER)


def beats(bench: Bench, newest: int, count: int = 3) -> None:
    for _ in range(count):
        bench.now += 1
        bench.beat(newest)


def restarted(restarts: RestartedIds, position: dict[str, object] | None = None) -> Bench:
    bench = Bench(100, position, restarts=restarts)
    if position is None:
        bench.feed(98, 99, 100)
    bench.market = again()
    bench.tell(*matches_of(bench.market, 3, 4, 5))
    beats(bench, 5)
    bench.tell(*matches_of(bench.market, 6, 7))
    return bench


def test_ids_that_begin_again_are_told_and_the_product_stands_aside() -> None:
    bench = restarted(RestartedIds.STAND_ASIDE)
    assert bench.ids == [98, 99, 100], "no row of an old id is overwritten"
    (incident,) = bench.incidents
    assert (incident.kind, incident.subject) == ("restart", PRODUCT)
    assert incident.detail == {"product_id": PRODUCT, "last": 100, "now": 5}
    assert "restartedIds: overwrite" in incident.message
    assert "restartedIds: overwrite" in bench.notes[0]
    assert bench.reader.counts["rows_aside"] == 2


def test_a_product_stands_aside_until_a_person_chooses_also_after_a_restart_of_the_runner() -> None:
    position = json.loads(json.dumps(restarted(RestartedIds.STAND_ASIDE).reader.position()))
    same = Bench(100, position)
    same.tell(*matches_of(again(), 8, 101 - 90))
    beats(same, 500)
    assert (same.ids, same.reader.open_holes) == ([], 0)
    chosen = Bench(20, position, restarts=RestartedIds.OVERWRITE)
    chosen.market = again()
    chosen.reader.begin((PRODUCT,), builder := BatchBuilder(), 0.0)
    assert [incident.kind for incident in builder.incidents] == ["restart"]
    chosen.tell(*matches_of(chosen.market, 9, 12))
    chosen.ask(GRACE)
    assert chosen.ids == [9, 10, 11, 12]
    assert set(chosen.operations) == {Operation.UPSERT}, "what REST tells replaces the old row of the same id, too"
    again_later = Bench(20, json.loads(json.dumps(chosen.reader.position())), restarts=RestartedIds.OVERWRITE)
    again_later.market = chosen.market
    again_later.tell(*matches_of(chosen.market, 12, 14))
    again_later.ask(GRACE)
    assert (again_later.ids, again_later.operations) == ([13, 14], [Operation.UPSERT])


@pytest.mark.parametrize("is_restart", [False, True])
@pytest.mark.parametrize("restarts", RestartedIds)
def test_what_contradicts_is_told_also_by_a_runner_that_is_made_anew_meanwhile(
    restarts: RestartedIds, *, is_restart: bool
) -> None:
    bench = Bench(100, restarts=restarts)
    bench.feed(4, 5)
    lies = [matches_of(again(), 5)[0], matches_of(bench.market, 4)[0] | {"price": "1.5"}]
    bench.tell(
        *(matches_of(again(), 3, 4, 5) if is_restart else lies), *matches_of(again() if is_restart else bench.market, 6)
    )
    resumed = Bench(100, json.loads(json.dumps(bench.reader.position())), restarts=restarts)
    resumed.market = again() if is_restart else bench.market
    beats(resumed, 6, int(CONFLICT_SECONDS) + 2)
    (incident,) = resumed.incidents
    assert (incident.kind, incident.detail["trade_id"]) == ("conflict", 3 if is_restart else 4)
    assert "_suspects" not in resumed.reader.position()


def test_ids_that_began_again_before_a_runner_was_made_anew_are_filled_from_the_first_one_that_was_told() -> None:
    bench = Bench(100, restarts=RestartedIds.OVERWRITE)
    bench.feed(8, 9)
    bench.tell(*matches_of(again(), 3, 4), messages.match(bench.market.trade(PRODUCT, 10)))
    resumed = Bench(100, json.loads(json.dumps(bench.reader.position())), restarts=RestartedIds.OVERWRITE)
    resumed.market = again(5)
    beats(resumed, 5)
    resumed.ask(GRACE)
    assert (resumed.ids, resumed.from_rest, resumed.kinds()) == ([3, 4, 5], [3, 4, 5], ["restart"])


def test_ids_that_begin_again_go_on_where_that_was_chosen() -> None:
    bench = restarted(RestartedIds.OVERWRITE)
    assert bench.ids == [98, 99, 100, 3, 4, 5, 6, 7], "what came before heartbeats told is not lost"
    assert bench.kinds() == ["restart"]
    assert bench.reader.position()["_last"] == {PRODUCT: 7}


@pytest.mark.parametrize("position", [{"format": 2, "_last": {PRODUCT: 5000}}, {"format": 1, "last": {PRODUCT: 5000}}])
def test_a_mark_of_an_old_checkpoint_that_is_too_high_is_told(position: dict[str, object]) -> None:
    bench = restarted(RestartedIds.STAND_ASIDE, position)
    assert (bench.ids, bench.kinds()) == ([], ["restart"])


def test_heartbeats_that_lag_behind_the_newest_trades_are_no_restart() -> None:
    bench = Bench(100)
    bench.feed(98, 99, 100)
    for _ in range(5):
        bench.now += 1
        bench.beat(97, bench.market.trade(PRODUCT, 100).time)
        bench.feed(99)
    assert bench.incidents == []


def test_what_the_feed_repeats_is_a_duplicate_also_with_a_coarser_time() -> None:
    bench = Bench(100)
    bench.feed(*range(50, 101))
    repeated = matches_of(bench.market, 100, 90, 51)
    repeated[1]["time"] = repeated[1]["time"][:19] + "Z"
    bench.tell(*repeated)
    beats(bench, 100, 15)
    assert (len(bench.ids), bench.incidents) == (51, [])
    assert bench.reader.counts["duplicates"] == 3


def test_a_trade_that_contradicts_another_is_told_with_what_it_says() -> None:
    bench = Bench(100)
    bench.feed(99, 100)
    bench.tell(matches_of(bench.market, 100)[0] | {"price": "1.5"})
    beats(bench, 100, int(CONFLICT_SECONDS) + 2)
    (incident,) = bench.incidents
    assert (incident.kind, incident.detail["trade_id"], incident.detail["price"]) == ("conflict", 100, "1.5")
    assert bench.ids == [99, 100]


def test_one_heartbeat_that_is_too_high_makes_no_gap_and_drops_nothing() -> None:
    bench = Bench(200)
    bench.rest_newest = 100
    bench.feed(99, 100)
    bench.beat(5100)
    while bench.now < 3 * STALE:
        bench.ask(1.0)
        bench.beat(100)
    assert (bench.gaps, bench.incidents, bench.reader.open_holes) == ([], [], 0)
    bench.rest_newest = 200
    bench.feed(*range(101, 151))
    assert bench.ids == list(range(99, 151))


def test_a_heartbeat_that_is_too_high_and_then_none_is_told_and_makes_no_gap() -> None:
    bench = Bench(200)
    bench.rest_newest = 100
    bench.feed(100)
    bench.beat(5100)
    bench.ask(2 * STALE)
    bench.ask(2 * STALE)
    assert (bench.ids, bench.gaps) == ([100], [])
    bench.rest_newest = 101
    bench.feed(101)
    assert bench.ids == [100, 101]


def test_the_first_heartbeat_may_be_the_wrong_one() -> None:
    bench = Bench(100)
    beats(bench, 5050, 1)
    beats(bench, 50)
    bench.feed(51, 52)
    assert (bench.ids, bench.incidents) == ([51, 52], [])


@pytest.mark.parametrize("nothing", [0, None, -1])
def test_a_heartbeat_that_tells_no_trade_says_nothing(nothing: int | None) -> None:
    bench = Bench(6000)
    bench.beat(nothing)
    bench.feed(5000, 5001)
    bench.beat(nothing)
    bench.ask(GRACE)
    bench.feed(5002)
    assert (bench.ids, bench.requests, bench.incidents) == ([5000, 5001, 5002], [], []), "the history is not read"


def test_an_answer_about_numbers_that_are_over_is_not_used() -> None:
    bench = Bench(100, restarts=RestartedIds.OVERWRITE)
    bench.feed(90)
    bench.beat(95)
    (request,) = bench.reader.due(bench.now + 1, 1)
    old = bench.market
    bench.tell(*matches_of(again(), 3, 4))
    beats(bench, 4)
    bench.answer(request, old.page(PRODUCT, request.limit, request.after, None, 10**18))
    assert bench.ids == [90, 3, 4]


def test_positions_hold_what_is_compared_later() -> None:
    bench = Bench(100)
    bench.feed(99, 100)
    position = bench.reader.position()
    trade = bench.market.trade(PRODUCT, 100)
    assert position["_rows"][PRODUCT][:4] == [100, trade.side, trade.price, trade.size]
    again_read = MatchesReader(STREAMS["matches"], json.loads(json.dumps(position)))
    builder = BatchBuilder()
    again_read.read([messages.encode(messages.match(trade))], builder, 0.0)
    assert (builder.rows, again_read.counts["duplicates"]) == ([], 1)


@pytest.mark.parametrize("is_by_rest", [False, True])
@pytest.mark.parametrize("restarts", RestartedIds)
def test_trades_that_wait_behind_new_numbers_are_told_and_not_stored_among_them(
    restarts: RestartedIds, *, is_by_rest: bool
) -> None:
    """Ids that begin again below a hole: 12 and 13 are old, the 11 that fills the hole is later than either."""
    bench = Bench(100, restarts=restarts)
    beats(bench, 10, 2)
    bench.feed(12, 13)
    bench.market = again(14)
    if is_by_rest:
        bench.ask(GRACE)
        bench.ask(GRACE)
    else:
        bench.tell(*matches_of(bench.market, 11, 12))
    assert [str(row[4]) for row in bench.rows[:2]] == [bench.market.trade(PRODUCT, n).price for n in (11, 12)]
    (incident,) = bench.incidents
    assert (incident.kind, incident.detail["trade_id"]) == ("conflict", 12)
    assert "is older than trade 11" in incident.message


def test_a_late_trade_below_waiting_ones_is_no_sign_of_new_numbers() -> None:
    bench = Bench(100)
    bench.feed(10, *range(12, 60), 11)
    assert (bench.ids, bench.incidents) == ([*range(10, 60)], [])
