"""Every documented message shape, as the documentation prints it, and the row that it becomes."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connector_runner.sources.coinbase.decode import messages

TIME = datetime(2014, 11, 7, 8, 19, 27, 28459, tzinfo=UTC)
MAKER, TAKER = "ac928c66-ca53-498f-9c13-a110027a60e8", "132fb6ae-456b-4654-b4e0-d681ac05cea1"

TICKER = (
    '{"type":"ticker","sequence":37475248783,"product_id":"ETH-USD","price":"1285.22","open_24h":"1310.79",'
    '"volume_24h":"245532.79269678","low_24h":"1280.52","high_24h":"1313.8","volume_30d":"9788783.60117027",'
    '"best_bid":"1285.04","best_bid_size":"0.46688654","best_ask":"1285.27","best_ask_size":"1.56637040","side":"buy",'
    '"time":"2022-10-19T23:28:22.061769Z","trade_id":370843401,"last_size":"11.4396987"}'
)
MATCH = (
    f'{{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"{MAKER}","taker_order_id":"{TAKER}",'
    '"time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}'
)
MATCH_ROW = {
    "product_id": "BTC-USD",
    "trade_id": 10,
    "sequence": 50,
    "side": "sell",
    "price": Decimal("400.23"),
    "size": Decimal("5.23512"),
    "time": TIME,
    "maker_order_id": MAKER,
    "taker_order_id": TAKER,
}

# stream, message, the row's columns that are not null
SHAPES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "ticker",
        TICKER,
        {
            "product_id": "ETH-USD",
            "sequence": 37475248783,
            "price": Decimal("1285.22"),
            "open_24h": Decimal("1310.79"),
            "volume_24h": Decimal("245532.79269678"),
            "low_24h": Decimal("1280.52"),
            "high_24h": Decimal("1313.8"),
            "volume_30d": Decimal("9788783.60117027"),
            "best_bid": Decimal("1285.04"),
            "best_bid_size": Decimal("0.46688654"),
            "best_ask": Decimal("1285.27"),
            "best_ask_size": Decimal("1.56637040"),
            "side": "buy",
            "time": datetime(2022, 10, 19, 23, 28, 22, 61769, tzinfo=UTC),
            "trade_id": 370843401,
            "last_size": Decimal("11.4396987"),
        },
    ),
    ("matches", MATCH, MATCH_ROW),
    ("matches", MATCH.replace('"match"', '"last_match"'), MATCH_ROW),
    (
        "matches",
        MATCH[:-1] + ',"taker_user_id":"5844eceecf7e803e259d0365","taker_fee_rate":"0.005"}',
        MATCH_ROW | {"extra": '{"taker_user_id":"5844eceecf7e803e259d0365","taker_fee_rate":"0.005"}'},
    ),
    (
        "heartbeat",
        '{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:27.028459Z"}',
        {"product_id": "BTC-USD", "time": TIME, "sequence": 90, "last_trade_id": 20},
    ),
    (
        "rfq_matches",
        f'{{"type":"rfq_match","maker_order_id":"{MAKER}","taker_order_id":"{TAKER}","time":"2014-11-07T08:19:27.028459Z",'
        '"trade_id":30,"product_id":"ETH-USD","size":"5.23512","price":"5.23512","side":"BUY"}',
        MATCH_ROW
        | {"product_id": "ETH-USD", "trade_id": 30, "price": Decimal("5.23512"), "side": "BUY", "sequence": None},
    ),
    (
        "auctionfeed",
        '{"type":"auction","product_id":"LTC-USD","sequence":3262786978,"auction_state":"collection","best_bid_price":"333.98",'
        '"best_bid_size":"4.39088265","best_ask_price":"333.99","best_ask_size":"25.23542881","open_price":"333.99",'
        '"open_size":"0.193","can_open":"yes","timestamp":"2015-11-14T20:46:03.511254Z"}',
        {
            "product_id": "LTC-USD",
            "timestamp": datetime(2015, 11, 14, 20, 46, 3, 511254, tzinfo=UTC),
            "sequence": 3262786978,
            "auction_state": "collection",
            "best_bid_price": Decimal("333.98"),
            "best_bid_size": Decimal("4.39088265"),
            "best_ask_price": Decimal("333.99"),
            "best_ask_size": Decimal("25.23542881"),
            "open_price": Decimal("333.99"),
            "open_size": Decimal("0.193"),
            "can_open": "yes",
        },
    ),
    (
        "balance",
        '{"type":"balance","account_id":"d50ec984-77a8-460a-b958-66f114b0de9b","currency":"USD","holds":"1000.23",'
        '"available":"102030.99","updated":"2014-11-07T08:19:27.028459Z","timestamp":"2014-11-07T08:19:27.028459Z"}',
        {
            "account_id": "d50ec984-77a8-460a-b958-66f114b0de9b",
            "currency": "USD",
            "holds": Decimal("1000.23"),
            "available": Decimal("102030.99"),
            "updated": TIME,
            "timestamp": TIME,
        },
    ),
    (
        "full",
        '{"type":"received","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","sequence":10,'
        f'"order_id":"{MAKER}","size":"1.34","price":"502.1","side":"buy","order_type":"limit",'
        '"client-oid":"d50ec974-76a2-454b-66f135b1ea8c"}',
        {
            "product_id": "BTC-USD",
            "sequence": 10,
            "type": "received",
            "order_id": MAKER,
            "time": TIME,
            "side": "buy",
            "price": Decimal("502.1"),
            "size": Decimal("1.34"),
            "order_type": "limit",
            "extra": '{"client-oid":"d50ec974-76a2-454b-66f135b1ea8c"}',
        },
    ),
    (
        "full",
        '{"type":"open","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","sequence":10,'
        f'"order_id":"{MAKER}","price":"200.2","remaining_size":"1.00","side":"sell"}}',
        {
            "product_id": "BTC-USD",
            "sequence": 10,
            "type": "open",
            "order_id": MAKER,
            "time": TIME,
            "side": "sell",
            "price": Decimal("200.2"),
            "remaining_size": Decimal("1.00"),
        },
    ),
    (
        "full",
        '{"type":"done","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","sequence":10,"price":"200.2",'
        f'"order_id":"{MAKER}","reason":"filled","side":"sell","remaining_size":"0"}}',
        {
            "product_id": "BTC-USD",
            "sequence": 10,
            "type": "done",
            "order_id": MAKER,
            "time": TIME,
            "side": "sell",
            "price": Decimal("200.2"),
            "remaining_size": Decimal(0),
            "reason": "filled",
        },
    ),
    ("full", MATCH, MATCH_ROW | {"type": "match", "order_id": ""}),
    (
        "full",
        '{"type":"change","reason":"STP","time":"2014-11-07T08:19:27.028459Z","sequence":80,'
        f'"order_id":"{MAKER}","side":"sell","product_id":"BTC-USD","old_size":"12.234412","new_size":"5.23512","price":"400.23"}}',
        {
            "product_id": "BTC-USD",
            "sequence": 80,
            "type": "change",
            "order_id": MAKER,
            "time": TIME,
            "side": "sell",
            "price": Decimal("400.23"),
            "reason": "STP",
            "new_size": Decimal("5.23512"),
            "old_size": Decimal("12.234412"),
        },
    ),
    (
        "user",
        '{"type":"activate","product_id":"test-product","timestamp":"1483736448.299000","user_id":"12",'
        f'"profile_id":"30000727-d308-cf50-7b1c-c06deb1934fc","order_id":"{MAKER}","stop_type":"entry","side":"buy",'
        '"stop_price":"80","size":"2","funds":"50","private":true}',
        {
            "product_id": "test-product",
            "sequence": 0,
            "type": "activate",
            "order_id": MAKER,
            "time": datetime(2017, 1, 6, 21, 0, 48, 299000, tzinfo=UTC),
            "side": "buy",
            "size": Decimal(2),
            "funds": Decimal(50),
            "stop_type": "entry",
            "stop_price": Decimal(80),
            "timestamp": Decimal("1483736448.299000"),
            "user_id": "12",
            "profile_id": "30000727-d308-cf50-7b1c-c06deb1934fc",
            "private": True,
        },
    ),
]
SNAPSHOT = (
    '{"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45054140"]],"asks":[["10102.55","0.57753524"]]}'
)
L2UPDATE = (
    '{"type":"l2update","product_id":"BTC-USD","time":"2014-11-07T08:19:27.028459Z",'
    '"changes":[["buy","10101.80000000","0.162567"],["sell","10102.55000000","0"]]}'
)
STATUS = (
    '{"type":"status","products":[{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","base_increment":"0.00000001",'
    '"quote_increment":"0.01","display_name":"BTC-USD","status":"online","status_message":null,"min_market_funds":"10",'
    '"post_only":false,"limit_only":false,"cancel_only":false,"fx_stablecoin":false}],"currencies":[{"id":"USD",'
    '"name":"United States Dollar","display_name":"USD","min_size":"0.01000000","status":"online","status_message":null,'
    '"max_precision":"0.01","convertible_to":["USDC"],"details":{}}]}'
)
# Messages that are several rows: stream, messages, each row without its nulls.
LISTS: list[tuple[str, list[str], list[dict[str, Any]]]] = [
    (
        "level2_batch",
        [SNAPSHOT],
        [
            {"product_id": "BTC-USD", "side": "buy", "price": Decimal("10101.1"), "size": Decimal("0.45054140")},
            {"product_id": "BTC-USD", "side": "sell", "price": Decimal("10102.55"), "size": Decimal("0.57753524")},
        ],
    ),
    (
        "level2",
        [SNAPSHOT, L2UPDATE],
        [
            {"product_id": "BTC-USD", "side": "buy", "price": Decimal("10101.1"), "size": Decimal("0.45054140")},
            {"product_id": "BTC-USD", "side": "sell", "price": Decimal("10102.55"), "size": Decimal("0.57753524")},
            {
                "product_id": "BTC-USD",
                "side": "buy",
                "price": Decimal("10101.8"),
                "size": Decimal("0.162567"),
                "time": TIME,
            },
            {"product_id": "BTC-USD", "side": "sell", "price": Decimal("10102.55"), "size": Decimal(0), "time": TIME},
        ],
    ),
    (
        "status",
        [STATUS],
        [
            {
                "kind": "product",
                "id": "BTC-USD",
                "display_name": "BTC-USD",
                "status": "online",
                "base_currency": "BTC",
                "quote_currency": "USD",
                "base_increment": Decimal("1E-8"),
                "quote_increment": Decimal("0.01"),
                "min_market_funds": Decimal(10),
                "post_only": False,
                "limit_only": False,
                "cancel_only": False,
                "fx_stablecoin": False,
            },
            {
                "kind": "currency",
                "id": "USD",
                "display_name": "USD",
                "status": "online",
                "name": "United States Dollar",
                "min_size": Decimal("0.01"),
                "max_precision": Decimal("0.01"),
                "extra": '{"convertible_to":["USDC"],"details":{}}',
            },
        ],
    ),
]
# Messages that are no rows.
CONTROL: list[tuple[str, messages.Subscriptions | messages.FeedError]] = [
    (
        '{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["ETH-USD","BTC-USD"],"account_ids":null}]}',
        messages.Subscriptions([messages.Channel("level2_50", ["ETH-USD", "BTC-USD"])]),
    ),
    (
        '{"type":"error","message":"Failed to subscribe","reason":"ABC-USD is not a valid product"}',
        messages.FeedError("Failed to subscribe", "ABC-USD is not a valid product"),
    ),
]
