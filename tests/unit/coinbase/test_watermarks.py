"""What is not newer is a duplicate only if it is the same; otherwise it is kept, told, or numbers that began again."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from connector_runner.protocols.batch import Incident
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.building import build_reader
from connector_runner.sources.coinbase.readers.reader import Reader
from connector_runner.sources.coinbase.settings import RestartedIds
from connector_runner.sources.coinbase.streams import STREAMS
from tests.simulators.coinbase import messages
from tests.simulators.coinbase.market import Market

START = 1_700_000_000_000_000
MARKET = Market(1, ["BTC-USD"], history=100, start=START)
AGAIN = Market(2, ["BTC-USD"], history=100, start=START + 10**9)


def read(reader: Reader, *documents: dict[str, Any], now: float = 0.0) -> tuple[list[tuple[Any, ...]], list[Incident]]:
    builder = BatchBuilder()
    reader.read([messages.encode(document) for document in documents], builder, now)
    return builder.rows, builder.incidents


def balance(available: str, time: str) -> dict[str, Any]:
    document = messages.balance(messages.ACCOUNTS[0], START, 1)
    return document | {"available": available, "timestamp": time, "updated": time}


def test_two_balances_of_one_millisecond_are_two_and_the_later_one_stays() -> None:
    reader = build_reader(STREAMS["balance"], None, ())
    first, second = (balance(n, "2026-01-01T00:00:00.123Z") for n in ("5", "3"))
    rows, incidents = read(reader, first, first, second)
    assert [str(row[3]) for row in rows] == ["5", "3"]
    assert (incidents, reader.counts["duplicates"]) == ([], 1)
    resumed = build_reader(STREAMS["balance"], json.loads(json.dumps(reader.position())), ())
    rows, _ = read(resumed, second, balance("2", "2026-01-01T00:00:00.123Z"))
    assert [str(row[3]) for row in rows] == ["2"], "the same again is known after a restart, too"


def test_an_older_balance_never_replaces_a_newer_one_and_is_told() -> None:
    reader = build_reader(STREAMS["balance"], None, ())
    rows, incidents = read(reader, balance("5", "2026-01-01T00:00:02Z"), balance("4", "2026-01-01T00:00:01Z"))
    assert [str(row[3]) for row in rows] == ["5"]
    assert [incident.kind for incident in incidents] == ["out_of_order"]


@pytest.mark.parametrize("stream", ["full", "user"])
def test_a_late_order_message_is_kept_and_told(stream: str) -> None:
    reader = build_reader(STREAMS[stream], None, ())
    one, two, three, *_ = messages.full(MARKET.trade("BTC-USD", 10))
    rows, incidents = read(reader, one, three, two, two, three, one)
    assert [row[1] for row in rows] == [one["sequence"], three["sequence"], two["sequence"]]
    assert [i.kind for i in incidents] == (["gap", "late"] if stream == "full" else ["late"])
    assert reader.counts["duplicates"] == 3


def test_late_heartbeats_and_auctions_are_kept() -> None:
    for stream, build in (("heartbeat", messages.heartbeat), ("auctionfeed", messages.auction)):
        reader = build_reader(STREAMS[stream], None, ())
        first, second = build(MARKET, "BTC-USD", START), build(MARKET, "BTC-USD", START + 10**6)
        rows, incidents = read(reader, second, first, first, second)
        assert (len(rows), [incident.kind for incident in incidents]) == (2, ["late"])


@pytest.mark.parametrize("stream", ["heartbeat", "auctionfeed", "balance"])
def test_a_clock_that_went_back_while_the_runner_was_away_is_no_restart(stream: str) -> None:
    """Times are no numbers that begin again: another server of the feed may be seconds behind."""

    def at(second: int) -> dict[str, Any]:
        if stream == "balance":
            return balance(str(second), f"2026-01-01T00:00:{second:02}Z")
        build = messages.heartbeat if stream == "heartbeat" else messages.auction
        return build(MARKET, "BTC-USD", START + second * 10**6)

    reader = build_reader(STREAMS[stream], None, ())
    read(reader, at(20))
    resumed = build_reader(STREAMS[stream], json.loads(json.dumps(reader.position())), ())
    rows, incidents = read(resumed, *map(at, range(10, 30)))
    kept = range(21, 30) if stream == "balance" else [*range(10, 20), *range(21, 30)]
    assert len(rows) == len(kept), "of balances the newest state counts, of others each is kept"
    assert [incident.kind for incident in incidents] == ["out_of_order" if stream == "balance" else "late"]


def beat(newest: int) -> dict[str, Any]:
    return {
        "type": "heartbeat",
        "product_id": "BTC-USD",
        "last_trade_id": newest,
        "sequence": newest * 5,
        "time": "2026-01-01T00:00:00Z",
    }


BUILD: dict[str, Callable[[Market, int], list[dict[str, Any]]]] = {
    "ticker": lambda market, n: [messages.ticker(market.trade("BTC-USD", n))],
    "ticker_batch": lambda market, n: [messages.ticker(market.trade("BTC-USD", n))],
    "full": lambda market, n: messages.full(market.trade("BTC-USD", n)),
    "user": lambda market, n: messages.full(market.trade("BTC-USD", n)),
    "rfq_matches": lambda market, n: [messages.rfq_match(market.trade("BTC-USD", n))],
}


def again_and_again(stream: str, restarts: RestartedIds) -> tuple[Reader, list[tuple[Any, ...]], list[str]]:
    reader = build_reader(STREAMS[stream], None, (), restarts)
    found: list[tuple[Any, ...]] = []
    kinds: list[str] = []
    documents = [*BUILD[stream](MARKET, 99), *BUILD[stream](MARKET, 100), beat(100)]
    for n in range(3, 9):
        documents += [*BUILD[stream](AGAIN, n), beat(n)]
    for document in documents:
        rows, incidents = read(reader, document)
        reader.position()
        found += rows
        kinds += [incident.kind for incident in incidents]
    return reader, found, kinds


@pytest.mark.parametrize("stream", BUILD)
def test_numbers_that_begin_again_are_told_and_the_product_stands_aside(stream: str) -> None:
    reader, rows, kinds = again_and_again(stream, RestartedIds.STAND_ASIDE)
    assert len(rows) == 2 * len(BUILD[stream](MARKET, 99)), "no row of an old number is overwritten"
    assert kinds == ["out_of_order", "restart"]
    position = json.loads(json.dumps(reader.position()))
    last = position["_last"]["BTC-USD"]
    assert position["_aside"]["BTC-USD"][0] == last > 0
    resumed = build_reader(STREAMS[stream], position, ())
    assert read(resumed, *BUILD[stream](AGAIN, 50), *BUILD[stream](MARKET, 100)) == ([], [])
    chosen, builder = build_reader(STREAMS[stream], position, (), RestartedIds.OVERWRITE), BatchBuilder()
    chosen.begin(("BTC-USD",), builder, 0.0)
    assert "restart" in [incident.kind for incident in builder.incidents]
    assert len(read(chosen, *BUILD[stream](AGAIN, 20))[0]) == len(BUILD[stream](AGAIN, 20))


@pytest.mark.parametrize("stream", BUILD)
def test_numbers_that_begin_again_go_on_where_that_was_chosen(stream: str) -> None:
    reader, rows, kinds = again_and_again(stream, RestartedIds.OVERWRITE)
    assert kinds == ["out_of_order", "restart"]
    names = STREAMS[stream].schema.names
    newest = rows[-1][names.index(STREAMS[stream].order)]
    assert reader.position()["_last"] == {"BTC-USD": newest}
    assert newest < 100


def test_a_ticker_that_comes_late_is_told_and_does_not_go_on_for_ever() -> None:
    reader = build_reader(STREAMS["ticker"], None, ())
    rows, incidents = read(reader, *(messages.ticker(MARKET.trade("BTC-USD", n)) for n in (10, 12, 11, 11, 13)))
    assert [row[14] for row in rows] == [10, 12, 13]
    assert [(i.kind, i.detail["sequence"]) for i in incidents] == [("out_of_order", 54)]
    assert reader.counts["out_of_order"] == 2


@pytest.mark.parametrize("change", [{"sequence": None}, {"sequence": ""}, {}])
def test_a_product_that_never_traded_has_tickers(change: dict[str, Any]) -> None:
    reader = build_reader(STREAMS["ticker"], None, ())
    quiet = {
        "type": "ticker",
        "product_id": "NEW-USD",
        "price": "",
        "volume_24h": "0",
        "best_bid": "1.1",
        "best_ask": "1.3",
    }
    rows, incidents = read(reader, quiet | change, quiet | change, quiet | change | {"best_bid": "1.2"})
    names = STREAMS["ticker"].schema.names
    found = [{n: v for n, v in zip(names, row, strict=True) if v is not None} for row in rows]
    assert [(row["sequence"], str(row["best_bid"]), str(row["best_ask"])) for row in found] == [(0, "1.1", "1.3"), (0, "1.2", "1.3")]  # fmt: skip
    assert incidents == []
    assert reader.counts["malformed_messages"] == 0
    traded = messages.ticker(MARKET.trade("BTC-USD", 5)) | {"product_id": "NEW-USD"}
    assert [row[1] for row in read(reader, traded)[0]] == [24]
