"""Watermarks, books, status, sequences: what each reader makes of messages, resumes, and can't know."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from connector_runner.protocols.batch import Operation, place_of
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.books import BookReader
from connector_runner.sources.coinbase.readers.building import build_reader
from connector_runner.sources.coinbase.readers.reader import Reader
from connector_runner.sources.coinbase.streams import STREAMS
from tests.simulators.coinbase import messages
from tests.simulators.coinbase.market import Market

MARKET = Market(1, ["BTC-USD", "ETH-USD"], history=100, start=1_700_000_000_000_000)


def ticker(trade_id: int, product: str = "BTC-USD") -> bytes:
    return messages.encode(messages.ticker(MARKET.trade(product, trade_id)))


def full(trade_id: int) -> list[bytes]:
    return [messages.encode(message) for message in messages.full(MARKET.trade("BTC-USD", trade_id))]


def read(reader: Reader, *raws: bytes) -> BatchBuilder:
    builder = BatchBuilder()
    reader.read(raws, builder, 0.0)
    return builder


def snapshot(bids: list[list[str]], asks: list[list[str]], product: str = "BTC-USD") -> bytes:
    return json.dumps({"type": "snapshot", "product_id": product, "bids": bids, "asks": asks}).encode()


def update(*changes: list[str], time: str = "2026-08-14T20:42:27.265Z") -> bytes:
    return json.dumps({"type": "l2update", "product_id": "BTC-USD", "changes": changes, "time": time}).encode()


def test_what_was_handed_over_does_not_come_again() -> None:
    reader = build_reader(STREAMS["ticker"], None, ())
    assert len(read(reader, ticker(5), ticker(5), ticker(4), ticker(6), ticker(3, "ETH-USD")).rows) == 3
    again = build_reader(STREAMS["ticker"], reader.position(), ())
    assert [row[1] for row in read(again, ticker(6), ticker(3, "ETH-USD"), ticker(7)).rows] == [34]
    assert again.counts["duplicates"] == 2


def test_a_batch_is_as_large_as_its_messages_whatever_way_they_are_read() -> None:
    reader = build_reader(STREAMS["ticker"], None, ())
    raws = [ticker(5), ticker(5), b"{", ticker(6)]
    assert read(reader, *raws).size == sum(map(len, raws))


def test_a_position_survives_json_and_is_not_changed_later() -> None:
    reader = build_reader(STREAMS["heartbeat"], None, ())
    beat = messages.encode(messages.heartbeat(MARKET, "BTC-USD", 1_700_000_000_123_456))
    read(reader, beat)
    position = reader.position()
    text = json.dumps(position)
    read(reader, messages.encode(messages.heartbeat(MARKET, "BTC-USD", 1_700_000_001_000_000)))
    assert json.dumps(position) == text
    assert read(build_reader(STREAMS["heartbeat"], json.loads(text), ()), beat).rows == []


def test_what_stands_beside_a_row_is_short_however_many_products_there_are() -> None:
    for spec in STREAMS.values():
        reader = build_reader(spec, {"format": 2, "_last": {f"COIN{n}-USD": n for n in range(400)}}, ())
        assert place_of(reader.position()) == {"format": 2}


def test_positions_of_the_first_format_are_still_read() -> None:
    reader = build_reader(STREAMS["ticker"], {"format": 1, "last": {"BTC-USD": 29}}, ())
    assert [row[1] for row in read(reader, ticker(6), ticker(7)).rows] == [34]


def test_a_position_of_another_format_is_not_guessed_at() -> None:
    with pytest.raises(ActionRequiredError, match="checkpoint reset"):
        build_reader(STREAMS["ticker"], {"format": 99, "last": {}}, ())


@pytest.mark.parametrize("stream", ["ticker", "user", "rfq_matches", "auctionfeed", "balance", "heartbeat"])
def test_an_interruption_of_an_unprovable_stream_is_told(stream: str) -> None:
    reader, builder = build_reader(STREAMS[stream], None, ()), BatchBuilder()
    reader.begin(("BTC-USD",), builder, 0.0)
    assert builder.incidents == []
    reader.begin(("BTC-USD",), builder, 0.0)
    assert [incident.kind for incident in builder.incidents] == ["interruption"]
    resumed, builder = build_reader(STREAMS[stream], reader.position(), ()), BatchBuilder()
    resumed.begin(("BTC-USD",), builder, 0.0)
    assert [incident.kind for incident in builder.incidents] == ["interruption"]


def test_the_first_start_is_no_interruption_however_many_connections_there_are() -> None:
    reader, builder = build_reader(STREAMS["ticker"], None, ()), BatchBuilder()
    reader.begin(("BTC-USD",), builder, 0.0)
    read(reader, ticker(5))
    reader.begin(("ETH-USD",), builder, 0.0)
    assert builder.incidents == []
    reader.begin(("BTC-USD",), builder, 1.0)
    assert [incident.detail for incident in builder.incidents] == [{"products": ["BTC-USD"], "last": {"BTC-USD": 24}}]


def test_an_unreadable_message_is_recorded_where_nothing_else_shows_the_loss() -> None:
    reader, told = build_reader(STREAMS["ticker"], None, ()), []
    for now, raw in ((0.0, b'{"a'), (1.0, b'{"abc'), (2.0, ticker(5).replace(b"product_id", b"x")), (61.0, b'{"')):
        builder = BatchBuilder()
        reader.read([raw], builder, now)
        told.append([(incident.kind, incident.subject) for incident in builder.incidents])
        assert builder.notes == []
    assert told == [[("unreadable", "ticker")], [], [("unreadable", "ticker")], [("unreadable", "ticker")]]
    assert reader.counts["malformed_messages"] == 4


@pytest.mark.parametrize("stream", ["matches", "full", "level2_batch", "status"])
def test_an_unreadable_message_is_noted_where_the_loss_shows_by_itself(stream: str) -> None:
    builder = read(build_reader(STREAMS[stream], None, ()), b"{", b"{")
    assert builder.incidents == []
    assert len(builder.notes) == 1
    assert builder.notes[0].startswith(f"a message of {stream} can't be read: ")


def test_full_records_a_jump_of_the_sequence_as_a_gap() -> None:
    reader = build_reader(STREAMS["full"], None, ())
    first = read(reader, *full(10), *full(11))
    assert (len(first.rows), first.incidents) == (10, [])
    (incident,) = read(reader, *full(12)[:2], full(12)[4]).incidents
    assert (incident.kind, incident.subject) == ("gap", "BTC-USD")
    assert incident.detail == {"product_id": "BTC-USD", "from": 58, "to": 59, "count": 2}
    assert reader.counts["gaps"] == 1
    (after_restart,) = read(build_reader(STREAMS["full"], reader.position(), ()), full(13)[1]).incidents
    assert (after_restart.detail["from"], after_restart.detail["to"]) == (61, 61)


def test_user_orders_have_no_contiguous_sequences() -> None:
    reader = build_reader(STREAMS["user"], None, ())
    activate = messages.encode(messages.activate(MARKET.trade("BTC-USD", 10)))
    builder = read(reader, *full(5), activate, *full(10))
    assert builder.incidents == []
    assert [(row[1], row[2]) for row in builder.rows][5] == (25, "activate"), "it takes the last sequence seen"


def test_an_order_message_without_a_sequence_is_malformed() -> None:
    reader = build_reader(STREAMS["full"], None, ())
    assert read(reader, b'{"type":"open","product_id":"BTC-USD"}').rows == []
    assert reader.counts["malformed_messages"] == 1


def test_a_snapshot_replaces_the_book_and_changes_follow() -> None:
    reader = build_reader(STREAMS["level2_batch"], None, ["BTC-USD"])
    builder = read(
        reader,
        update(["buy", "9.00", "1"]),
        snapshot([["10.10", "0.4"]], [["10.20", "0.5"]]),
        update(["buy", "10.10000000", "0.7"], ["sell", "10.20000000", "0.00000000"]),
        update(["buy", "10.05", "3"], time=messages.ZERO_TIME),
    )
    when = datetime(2026, 8, 14, 20, 42, 27, 265000, tzinfo=UTC)
    assert builder.rows == [
        ("BTC-USD",),
        ("BTC-USD", "buy", Decimal("10.1"), Decimal("0.4"), None, None),
        ("BTC-USD", "sell", Decimal("10.2"), Decimal("0.5"), None, None),
        ("BTC-USD", "buy", Decimal("10.1"), Decimal("0.7"), when, None),
        ("BTC-USD", "sell", Decimal("10.2"), Decimal("0E-8"), when, None),
        ("BTC-USD", "buy", Decimal("10.05"), Decimal(3), None, None),
    ]
    assert [str(row[2]) for row in builder.rows[1:]] == ["10.1", "10.2", "10.1", "10.2", "10.05"], "keys have one form"
    operations = [Operation(value) for value in builder.operations or b""]
    upsert, delete = Operation.UPSERT, Operation.DELETE
    assert operations == [Operation.REPLACE, upsert, upsert, upsert, delete, upsert]
    assert builder.incidents == []
    assert reader.counts["updates_without_book"] == 1


def test_a_new_connection_needs_a_new_snapshot_and_says_so() -> None:
    reader = build_reader(STREAMS["level2_batch"], None, ["BTC-USD"])
    read(reader, snapshot([["10", "1"]], []))
    builder = BatchBuilder()
    reader.begin(("BTC-USD",), builder, 0.0)
    reader.read([update(["buy", "10", "2"]), snapshot([["11", "1"]], [])], builder, 0.0)
    assert builder.rows == [("BTC-USD",), ("BTC-USD", "buy", Decimal(11), Decimal(1), None, None)]
    assert [incident.kind for incident in builder.incidents] == ["resnapshot"]


def test_books_of_products_that_are_no_longer_configured_are_emptied() -> None:
    before = build_reader(STREAMS["level2_batch"], None, ["BTC-USD", "ETH-USD"])
    read(before, snapshot([["10", "1"]], []), snapshot([["5", "1"]], [], "ETH-USD"))
    reader, builder = build_reader(STREAMS["level2_batch"], before.position(), ["BTC-USD"]), BatchBuilder()
    reader.begin(("BTC-USD",), builder, 0.0)
    assert (builder.rows, builder.operations) == ([("ETH-USD",)], bytearray([Operation.REPLACE]))
    assert "ETH-USD" not in reader.position()["_last"]


@pytest.mark.parametrize(
    "wrong", [b"{", update(["buy", "ten", "1"]), update(["up", "10", "1"]), snapshot([["10", "x"]], [])]
)
def test_a_book_that_missed_something_is_not_trusted(wrong: bytes) -> None:
    reader = build_reader(STREAMS["level2_batch"], None, ["BTC-USD"])
    read(reader, snapshot([["10", "1"]], []))
    assert read(reader, wrong).distrust


def test_levels_with_more_fields_than_documented_are_understood() -> None:
    reader = build_reader(STREAMS["level2_batch"], None, ["BTC-USD"])
    builder = read(reader, snapshot([["10", "1", "7"]], []), update(["buy", "10", "2", "9"]))
    assert [row[:4] for row in builder.rows[1:]] == [("BTC-USD", "buy", Decimal(10), Decimal(n)) for n in (1, 2)]
    assert [row[5] for row in builder.rows[1:]] == ['{"level":["7"]}', '{"level":["9"]}']


def test_a_book_keeps_nothing_of_a_failed_message() -> None:
    reader = build_reader(STREAMS["level2_batch"], None, ["BTC-USD"])
    assert isinstance(reader, BookReader)
    builder = read(reader, snapshot([["10", "1"], ["11", "x"]], []))
    assert (builder.rows, reader.position()["_last"]) == ([], {})


def test_status_tells_what_has_changed() -> None:
    reader = build_reader(STREAMS["status"], None, ())
    first = read(reader, messages.encode(messages.status(["BTC-USD", "ETH-USD"], {})))
    assert first.rows[0] == ()
    assert [row[:2] for row in first.rows[1:]] == [
        *(("product", name) for name in ("BTC-USD", "ETH-USD")),
        *(("currency", name) for name in ("BTC", "ETH", "USD")),
    ]
    same = read(reader, messages.encode(messages.status(["BTC-USD", "ETH-USD"], {})))
    assert (same.rows, same.operations) == ([], None)
    changed = read(reader, messages.encode(messages.status(["BTC-USD"], {"BTC-USD": "delisted"})))
    assert sorted((row[:2], operation) for row, operation in zip(changed.rows, changed.operations or b"", strict=True)) == [
        (("currency", "ETH"), Operation.DELETE),
        (("product", "BTC-USD"), Operation.UPSERT),
        (("product", "ETH-USD"), Operation.DELETE),
    ]  # fmt: skip
    names = STREAMS["status"].schema.names
    row = dict(zip(names, first.rows[1], strict=True))
    assert (row["status"], row["quote_increment"], row["post_only"]) == ("online", Decimal("0.01"), False)
    assert json.loads(row["extra"])["type"] == "spot"


def test_what_a_status_says_beside_its_items_is_kept() -> None:
    reader = build_reader(STREAMS["status"], None, ())
    status = messages.status(["BTC-USD"], {})
    first = read(reader, messages.encode(status | {"id": "x", "notice": {"a": 1}}))
    (row,) = [row for row in first.rows[1:] if row[0] == "message"]
    assert (row[1], json.loads(row[-1])) == ("", {"id": "x", "notice": {"a": 1}})
    second = read(reader, messages.encode(status))
    assert [(row[:2], operation) for row, operation in zip(second.rows, second.operations or b"", strict=True)] == [
        (("message", ""), Operation.DELETE)
    ]


def test_an_item_of_status_that_can_not_be_read_keeps_its_last_row() -> None:
    reader = build_reader(STREAMS["status"], None, ())
    read(reader, messages.encode(messages.status(["BTC-USD"], {})))
    bad = messages.encode(messages.status(["BTC-USD"], {})).replace(b'"type":"spot"', b'"type":"\xc3\x28"')
    builder = read(reader, bad)
    assert (builder.rows, reader.counts["malformed_messages"]) == ([], 1)


def beat(newest: int, sequence: int) -> bytes:
    document = {"type": "heartbeat", "sequence": sequence, "last_trade_id": newest, "product_id": "BTC-USD"}
    return messages.encode(document | {"time": "2026-01-01T00:00:00.000000Z"})


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        ("ticker", [ticker(5), ticker(6)]),
        ("full", [full(5)[0], full(5)[1]]),
        ("level2", [snapshot([["10", "1"]], []), update(["buy", "10", "2"])]),
        ("level2_batch", [snapshot([["10", "1"]], []), update(["buy", "10", "2"])]),
    ],
)
def test_heartbeats_show_that_a_stream_has_fallen_behind(stream: str, data: list[bytes]) -> None:
    reader = build_reader(STREAMS[stream], None, ())
    for now, raw in ((0.0, data[0]), (1.0, beat(5, 29)), (2.0, beat(5, 29))):
        reader.read([raw], BatchBuilder(), now)
        assert reader.behind == {}, "nothing has happened since"
    reader.read([beat(6, 34)], BatchBuilder(), 3.0)
    reader.read([beat(7, 39)], BatchBuilder(), 4.0)
    assert reader.behind == {"BTC-USD": 3.0}
    reader.begin(("BTC-USD",), BatchBuilder(), 5.0)
    assert reader.behind == {"BTC-USD": 5.0}, "a new connection has its time"
    reader.read([data[1], beat(8, 44)], BatchBuilder(), 6.0)
    assert reader.behind == {}


@pytest.mark.parametrize("stream", ["heartbeat", "user", "auctionfeed", "rfq_matches", "balance", "status", "matches"])
def test_heartbeats_say_nothing_of_streams_that_may_be_quiet(stream: str) -> None:
    reader = build_reader(STREAMS[stream], None, ())
    for n in range(5):
        reader.read([beat(n, n)], BatchBuilder(), float(n))
    assert reader.behind == {}


@pytest.mark.parametrize("lost", ["missing", "an object"])
@pytest.mark.parametrize("kind", ["product", "currency"])
def test_a_list_of_status_that_is_missing_says_nothing_about_its_kind(kind: str, lost: str) -> None:
    name = {"product": "products", "currency": "currencies"}[kind]
    status = messages.status(["BTC-USD"], {})
    without = {key: value for key, value in status.items() if key != name}
    without |= {name: {"a": 1}} if lost == "an object" else {}
    reader = build_reader(STREAMS["status"], None, ())
    whole = read(reader, messages.encode(status))
    later = read(reader, messages.encode(without))
    assert [row[0] for row in later.rows] == (["message"] if lost == "an object" else []), "nothing is gone"
    assert [row[0] for row in read(reader, messages.encode(status)).rows if row[0] != "message"] == []
    fresh = build_reader(STREAMS["status"], None, ())
    first, second = read(fresh, messages.encode(without)), read(fresh, messages.encode(status))
    prefixes = [row for row in [*first.rows, *second.rows] if len(row) < 2]
    assert sorted(prefixes) == [("currency",), ("message",), ("product",)]
    assert prefixes[-1] == (kind,), "its rows of before are replaced when the list comes"
    kept = [row for row in [*first.rows, *second.rows] if len(row) > 1 and row[0] != "message"]
    assert sorted(row[:2] for row in kept) == sorted(row[:2] for row in whole.rows if len(row) > 1)


def test_an_item_of_status_without_an_id_makes_no_other_gone() -> None:
    reader = build_reader(STREAMS["status"], None, ())
    status = messages.status(["BTC-USD", "ETH-USD"], {})
    read(reader, messages.encode(status))
    items = [{key: value for key, value in item.items() if key != "id"} for item in status["products"]]
    assert read(reader, messages.encode(status | {"products": [items[0], status["products"][1]]})).rows == []


def test_an_empty_status_does_not_empty_the_table() -> None:
    reader = build_reader(STREAMS["status"], None, ())
    assert read(reader, b'{"type":"status"}', b'{"type":"status","products":[],"currencies":[]}').rows == []
    assert reader.counts["malformed_messages"] == 2
