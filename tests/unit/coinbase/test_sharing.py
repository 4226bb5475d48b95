"""Which streams share a connection, and which of its messages belong to which of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.coinbase.feed.subscription import Subscription, build_subscriptions, share_connections
from connector_runner.sources.coinbase.readers.building import build_reader
from connector_runner.sources.coinbase.readers.routing import ReaderGroup, Router
from connector_runner.sources.coinbase.streams import STREAMS
from tests.simulators.coinbase import messages
from tests.simulators.coinbase.market import Market

PRODUCTS = ("BTC-USD", "ETH-USD")
SHARED = ("ticker", "matches", "heartbeat", "rfq_matches", "auctionfeed")


def groups_of(*streams: str) -> list[list[str]]:
    return [[spec.id for spec in group] for group in share_connections([STREAMS[stream] for stream in streams])]


def test_streams_share_a_connection_unless_their_messages_look_alike() -> None:
    assert groups_of(*SHARED) == [[*SHARED]]
    assert groups_of("ticker", "ticker_batch") == [["ticker"], ["ticker_batch"]]
    assert groups_of("matches", "full", "user", "ticker") == [["matches", "ticker"], ["full"], ["user"]]
    assert groups_of("status", "balance", "ticker") == [["status", "balance"], ["ticker"]]
    assert groups_of("level2", "ticker", "level2_batch") == [["level2"], ["ticker"], ["level2_batch"]]
    assert len(groups_of(*STREAMS)) == 6


@given(st.lists(st.sampled_from([*STREAMS]), unique=True, min_size=1))
def test_no_message_can_belong_to_two_streams_of_a_connection(streams: list[str]) -> None:
    groups = share_connections([STREAMS[stream] for stream in streams])
    assert sorted(spec.id for group in groups for spec in group) == sorted(streams)
    for group in groups:
        tags = [tag for spec in group for tag in spec.tags]
        assert len(tags) == len(set(tags))


def test_one_subscription_asks_for_all_channels_and_each_product_once() -> None:
    products = [f"C{n}-USD" for n in range(70)]
    subscriptions = build_subscriptions([STREAMS[stream] for stream in (*SHARED, "status")], products, ())
    assert [len(subscription.products) for subscription in subscriptions] == [50, 20, 1]
    whole = json.loads(subscriptions[0].request(None, "1"))["channels"]
    assert [channel["name"] for channel in whole] == ["ticker", "matches", "rfq_matches", "auctionfeed", "heartbeat"]
    assert all(channel["product_ids"] == products[:50] for channel in whole)
    assert subscriptions[0].streams == SHARED


def test_a_shared_subscription_is_split_into_one_for_each_stream() -> None:
    (whole,) = build_subscriptions([STREAMS["ticker"], STREAMS["heartbeat"]], PRODUCTS, ())
    assert whole.apart() == (
        Subscription({"ticker": PRODUCTS, "heartbeat": PRODUCTS}, ("ticker",)),
        Subscription({"heartbeat": PRODUCTS}, ("heartbeat",)),
    )
    assert whole.only(["ETH-USD"]).streams == ("ticker", "heartbeat")


MARKET = Market(1, PRODUCTS, history=3, start=1_700_000_000_000_000)
TRADES = list(MARKET.advance(1_700_000_000_000_000, 4))
VALID = {
    "ticker": [messages.ticker(trade) for trade in TRADES],
    "matches": [messages.match(trade) for trade in TRADES],
    "rfq_matches": [messages.rfq_match(trade) for trade in TRADES],
    "auctionfeed": [messages.auction(MARKET, "BTC-USD", 1_700_000_000_000_000 + n) for n in range(4)],
    "heartbeat": [messages.heartbeat(MARKET, "BTC-USD", 1_700_000_000_000_000 + n) for n in range(4)],
}
ENCODED = [(stream, messages.encode(message)) for stream, found in VALID.items() for message in found]
# The same with other spaces, and with the type at the end.
SPELLED = ENCODED + [
    (stream, json.dumps({name: message[name] for name in reversed(message)}, indent=1).encode())
    for stream, found in VALID.items()
    for message in found
]


@given(st.lists(st.sampled_from(SPELLED), max_size=30), st.permutations(SHARED), st.integers(1, len(SHARED)))
def test_each_stream_reads_from_a_shared_connection_what_it_reads_from_its_own(
    found: list[tuple[str, bytes]], order: Sequence[str], count: int
) -> None:
    streams = order[:count]
    together = ReaderGroup([build_reader(STREAMS[stream], None, PRODUCTS) for stream in streams])
    raws = [raw for _, raw in found]
    for stream, (reader, builder) in zip(streams, together.read(raws, PRODUCTS, 1.0), strict=True):
        alone = ReaderGroup([build_reader(STREAMS[stream], None, PRODUCTS)])
        own = [raw for sender, raw in found if sender in {stream, "heartbeat"}]
        ((single, expected),) = alone.read(own, PRODUCTS, 1.0)
        assert reader.spec.id == stream
        assert (builder.rows, builder.incidents, builder.notes) == (expected.rows, expected.incidents, expected.notes)
        assert (reader.position(), reader.beats) == (single.position(), single.beats)


@pytest.mark.parametrize(
    ("raw", "streams"),
    [
        (b'{"type":"ticker"', {0}),  # cut off, but it shows whose it is
        (b'{ "type" : "match" }', {1}),
        (b'{"type":"\\u0074icker"}', {0}),
        (b'{"type":"heartbeat"}', {0, 1, 2}),
        (b"not json", {0, 1, 2}),
        (b"\xc3\x28", {0, 1, 2}),
        (b"[1]", {0, 1, 2}),
        (b"{}", {0, 1, 2}),
        (b'{"type":7}', {0, 1, 2}),
        (b'{"type":"error","message":"x"}', {0}),
        (b'{"type":"subscriptions","channels":[]}', {0}),
        (b'{"type":"novelty"}', {0}),
    ],
)
def test_what_can_not_be_told_apart_is_for_every_stream(raw: bytes, streams: set[int]) -> None:
    router = Router([STREAMS["ticker"], STREAMS["matches"], STREAMS["auctionfeed"]])
    assert {index for index, own in enumerate(router.sort([raw])) if raw in own} == streams


def test_an_unreadable_message_is_reported_by_every_stream_that_may_have_lost_one() -> None:
    group = ReaderGroup([build_reader(STREAMS[stream], None, PRODUCTS) for stream in ("ticker", "auctionfeed")])
    read = group.read([b"not json"], None, 1.0)
    assert [[incident.kind for incident in builder.incidents] for _, builder in read] == [["unreadable"]] * 2
