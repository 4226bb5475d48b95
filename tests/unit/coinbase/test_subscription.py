"""What is said to the feed and what its answers mean; which products are meant."""

import base64
import json

import pytest

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.schemas.config import config_problems, config_schema, fill_defaults
from connector_runner.sources.coinbase.decode.messages import Channel, FeedError
from connector_runner.sources.coinbase.decode.rest import ListedProduct, decode_products
from connector_runner.sources.coinbase.errors import FeedErrorKind, classify, named_products, refused_products
from connector_runner.sources.coinbase.feed.subscription import Subscription, build_subscriptions
from connector_runner.sources.coinbase.products import nearest, online, unknown_products, wants_all
from connector_runner.sources.coinbase.settings import Credentials, read_credentials
from connector_runner.sources.coinbase.streams import STREAMS
from tests.simulators.coinbase.limits import Credentials as SimulatorCredentials

LISTED = [ListedProduct("BTC-USD"), ListedProduct("BTC-USDT"), ListedProduct("LINK-USD"), ListedProduct("OLD-USD", "delisted")]  # fmt: skip
SECRET = base64.b64encode(b"any secret").decode()


def test_the_seed_configuration_is_valid_with_its_defaults() -> None:
    schema = config_schema("COINBASE")
    config = fill_defaults({"productId": ["BTC-USD", "LINK-USD"]}, schema)
    assert config_problems(config, schema) == ()
    assert config["url"] == "wss://ws-feed.exchange.coinbase.com"
    assert config_problems({"url": "http://x", "productId": []}, schema) != ()


def test_a_subscription_asks_for_heartbeats_of_the_same_products() -> None:
    (subscription,) = build_subscriptions([STREAMS["matches"]], ["BTC-USD", "LINK-USD"], ())
    assert json.loads(subscription.request(None, "1")) == {
        "type": "subscribe",
        "channels": [
            {"name": "matches", "product_ids": ["BTC-USD", "LINK-USD"]},
            {"name": "heartbeat", "product_ids": ["BTC-USD", "LINK-USD"]},
        ],
    }


@pytest.mark.parametrize(
    ("stream", "count", "connections"),
    [("ticker", 400, 8), ("level2_batch", 41, 3), ("heartbeat", 50, 1), ("status", 400, 1), ("balance", 400, 1)],
)
def test_many_products_are_spread_over_connections(stream: str, count: int, connections: int) -> None:
    products = [f"C{n}-USD" for n in range(count)]
    subscriptions = build_subscriptions([STREAMS[stream]], products, ("account",))
    assert len(subscriptions) == connections
    if stream not in {"status", "balance"}:
        spread = [product for subscription in subscriptions for product in subscription.channels[stream]]
        assert spread == products


def test_a_signed_subscription_is_accepted_by_the_rule_of_the_exchange() -> None:
    known = SimulatorCredentials()
    credentials = Credentials(known.key, known.secret, known.passphrase)
    import time

    message = json.loads(Subscription({"full": ("BTC-USD",)}).request(credentials, str(int(time.time()))))
    assert known.refusal(message) is None
    assert known.refusal(message | {"signature": "x"}) == "invalid signature"


def test_credentials_are_all_or_none_and_never_shown() -> None:
    assert read_credentials({}) is None
    whole = read_credentials({"key": "k", "secret": SECRET, "passphrase": "p"})
    assert whole is not None
    assert SECRET not in repr(whole)
    with pytest.raises(InvalidConfigError) as caught:
        read_credentials({"key": "k"})
    assert caught.value.problems[0].startswith("config.secret: is required")
    assert len(caught.value.problems) == 2
    with pytest.raises(InvalidConfigError, match=r"config\.secret: must be base64") as caught:
        read_credentials({"key": "k", "secret": "no base64 !", "passphrase": "p"})
    assert "no base64 !" not in str(caught.value)


@pytest.mark.parametrize(
    ("channels", "missing"),
    [
        ([Channel("level2_50", ["A-B", "C-D"]), Channel("heartbeat", ["A-B", "C-D"])], ()),
        ([Channel("level2_batch", ["A-B", "C-D"]), Channel("heartbeat", ["A-B", "C-D"])], ()),
        ([Channel("level2_50", ["A-B"]), Channel("heartbeat", ["A-B", "C-D"])], ("level2_batch:C-D",)),
        ([Channel("heartbeat", ["A-B", "C-D"])], ("level2_batch",)),
        ([], ("level2_batch", "heartbeat")),
        ([Channel("level2", ["A-B", "C-D"]), Channel("heartbeat", None)], ("level2_batch", "heartbeat:A-B", "heartbeat:C-D")),
    ],
)  # fmt: skip
def test_an_acknowledgement_is_compared_with_the_request(channels: list[Channel], missing: tuple[str, ...]) -> None:
    subscription = Subscription({"level2_batch": ("A-B", "C-D"), "heartbeat": ("A-B", "C-D")})
    assert subscription.unacknowledged(channels) == missing


@pytest.mark.parametrize(
    ("message", "reason", "kind"),
    [
        ("Failed to subscribe", "BTC-USDD is not a valid product", FeedErrorKind.UNKNOWN_PRODUCT),
        ("Failed to subscribe", "BTC-USDD is delisted", FeedErrorKind.UNKNOWN_PRODUCT),
        ("Failed to subscribe", "Invalid product ID provided", FeedErrorKind.UNKNOWN_PRODUCT),
        ("error", "invalid product_ids", FeedErrorKind.UNKNOWN_PRODUCT),
        ("Failed to subscribe", "product BTC-USDD not found", FeedErrorKind.UNKNOWN_PRODUCT),
        ("Failed to subscribe", "no such product", FeedErrorKind.UNKNOWN_PRODUCT),
        ("Failed to subscribe", "product_ids: BTC-USDD is not supported", FeedErrorKind.UNKNOWN_PRODUCT),
        ("Failed to subscribe", "invalid channel: tickers", FeedErrorKind.UNKNOWN_CHANNEL),
        ("Failed to subscribe", "novelty is not a valid channel", FeedErrorKind.UNKNOWN_CHANNEL),
        ("Failed to subscribe", "full channel requires authentication", FeedErrorKind.CREDENTIALS),
        ("Authentication Failed", "", FeedErrorKind.CREDENTIALS),
        ("Failed to subscribe", "invalid api key", FeedErrorKind.CREDENTIALS),
        ("Failed to subscribe", "invalid signature", FeedErrorKind.CREDENTIALS),
        ("Failed to subscribe", "request timestamp expired", FeedErrorKind.TRANSIENT),
        ("Client is too slow", "ErrSlowConsume", FeedErrorKind.TRANSIENT),
        ("Too many requests", "rate limit exceeded", FeedErrorKind.TRANSIENT),
        ("Internal server error", "", FeedErrorKind.TRANSIENT),
        ("anything that nobody has seen", "", FeedErrorKind.TRANSIENT),
    ],
)
def test_errors_of_the_exchange_by_the_table(message: str, reason: str, kind: FeedErrorKind) -> None:
    assert classify(FeedError(message, reason)) is kind


@pytest.mark.parametrize(
    ("reason", "refused"),
    [
        ("ETH-USD is temporarily unavailable", ("ETH-USD",)),
        ("eth-usd: trading is not allowed in your jurisdiction", ("ETH-USD",)),
        ("you are not authorized to see ETH-USD, SOL-USD", ("ETH-USD", "SOL-USD")),
        ("internal error while opening ETH-USD", ("ETH-USD",)),
        ("ETH-USD has been halted", ("ETH-USD",)),
        ("no BTC-USD, ETH-USD, SOL-USD for you", ("BTC-USD", "ETH-USD", "SOL-USD")),
        ("rate limit exceeded at ETH-USD", ()),
        ("invalid signature: ETH-USD", ()),
        ("internal error: BTC-USD, ETH-USD, SOL-USD", ()),
        ("internal error", ()),
    ],
)
def test_an_error_that_names_products_refuses_these_and_no_others(reason: str, refused: tuple[str, ...]) -> None:
    assert refused_products(FeedError("Failed to subscribe", reason), ("BTC-USD", "ETH-USD", "SOL-USD")) == refused


@pytest.mark.parametrize(
    ("name", "near"),
    [("BTC-USDD", "BTC-USD"), ("btc-usd", "BTC-USD"), ("LINK/USD", "LINK-USD"), ("LINK_USD", "LINK-USD"), ("LINKUSD", "LINK-USD")],
)  # fmt: skip
def test_unknown_products_are_named_with_the_nearest(name: str, near: str) -> None:
    (problem,) = unknown_products(["BTC-USD", name], LISTED)
    assert problem.startswith(f"config.productId[1]: {name} is not a product of the exchange: did you mean {near}")


def test_delisted_and_hopeless_names_say_so() -> None:
    delisted, hopeless = unknown_products(["OLD-USD", "QQQQQQ"], LISTED)
    assert delisted == "config.productId[0]: OLD-USD is delisted; remove it"
    assert "GET /products" in hopeless
    assert nearest("QQQQQQ", ["BTC-USD"]) == []


def test_all_products_are_those_that_are_online() -> None:
    assert wants_all(["*"])
    assert not wants_all(["BTC-USD"])
    with pytest.raises(InvalidConfigError, match=r"config\.productId\[1\]"):
        wants_all(["BTC-USD", "*"])
    assert online(LISTED) == ("BTC-USD", "BTC-USDT", "LINK-USD")
    assert decode_products(b'[{"id":"A-B","status":"online","x":1}]') == (ListedProduct("A-B"),)


def test_an_error_names_products_as_whole_words_only() -> None:
    asked = ["BTC-USD", "BTC-USDT", "ETH-USD"]
    assert named_products("Failed to subscribe: BTC-USDT is not a valid product", asked) == ("BTC-USDT",)
    assert named_products("btc-usd, eth-usd are unknown", asked) == ("BTC-USD", "ETH-USD")
    assert named_products("Invalid product ID provided", asked) == ()


def test_a_part_of_a_subscription_asks_for_the_same_channels() -> None:
    whole = Subscription({"ticker": ("A-B", "C-D"), "heartbeat": ("A-B", "C-D")})
    assert whole.products == ("A-B", "C-D")
    assert whole.only(["C-D"]).channels == {"ticker": ("C-D",), "heartbeat": ("C-D",)}
    accounts = Subscription({"balance": ("account",), "heartbeat": ("A-B",)})
    assert (accounts.products, accounts.only(()).channels) == (("A-B",), {"balance": ("account",), "heartbeat": ()})
