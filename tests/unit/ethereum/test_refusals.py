"""The table of refusals, by the words of real providers and nodes."""

import random

import pytest

from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.resilience.retry_after import parse_retry_after
from connector_runner.sources.ethereum.errors import Verdict
from connector_runner.sources.ethereum.rpc.range_hints import suggested_range
from connector_runner.sources.ethereum.rpc.refusals import (
    RULES,
    RpcError,
    classify_error,
    classify_status,
    read_error,
)
from connector_runner.sources.ethereum.rpc.transport import LONGEST_RETRY_AFTER
from tests.simulators.ethereum.unknown_words import FORMS, unknown_words
from tests.simulators.ethereum.wordings import WORDINGS, Wording

LOGS, BLOCK = "eth_getLogs", "eth_getBlockByNumber"
ALCHEMY = (
    "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response "
    "size, or you can request any block range with a cap of 10K logs in the response. Based on your parameters and the "
    "response size limit, this block range should work: [0x7d0, 0x9c3]"
)
TABLE: list[tuple[str, int, str, Verdict, str, int | None]] = [
    (LOGS, -32602, ALCHEMY, Verdict.SHRINK, "TooManyBlocks", 500),
    (LOGS, -32005, "query returned more than 10000 results. Try with this block range [0x1, 0x2].", Verdict.SHRINK, "TooManyBlocks", 2),
    (LOGS, -32005, "query returned more than 10000 results", Verdict.SHRINK, "TooManyResults", None),
    (LOGS, -32602, "range 1000000 exceeds limit of 10000", Verdict.SHRINK, "TooManyBlocks", 10_000),
    (LOGS, -32614, "eth_getLogs is limited to a 10,000 range", Verdict.SHRINK, "TooManyBlocks", 10_000),
    (LOGS, -32600, "eth_getLogs is limited to a 5 range", Verdict.SHRINK, "TooManyBlocks", 5),
    (LOGS, -32600, "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range.", Verdict.SHRINK, "TooManyBlocks", 10),
    (LOGS, -32000, "exceed maximum block range: 50000", Verdict.SHRINK, "TooManyBlocks", 50_000),
    (LOGS, -32602, "query exceeds max block range 100000", Verdict.SHRINK, "TooManyBlocks", 100_000),
    (LOGS, -32602, "query exceeds max results 20000, retry with the range 100-200", Verdict.SHRINK, "TooManyBlocks", 101),
    (LOGS, -32005, "Requested range exceeds maximum RPC range limit", Verdict.SHRINK, "TooManyBlocks", None),
    (LOGS, -32047, "Max range: 800", Verdict.SHRINK, "TooManyBlocks", 800),
    (LOGS, -32000, "query timeout exceeded", Verdict.SHRINK, "TooManyResults", None),
    (LOGS, -32602, "invalid params", Verdict.SHRINK, "TooManyResults", None),
    (LOGS, -32005, "limit exceeded", Verdict.SHRINK, "TooManyResults", None),
    (BLOCK, -32005, "limit exceeded", Verdict.TRANSIENT, "RateLimited", None),
    (LOGS, -32701, "Please specify an address in your request or order a dedicated full node", Verdict.SHRINK, "TooManyResults", None),
    (BLOCK, -32005, "daily request count exceeded, request rate limited", Verdict.TRANSIENT, "RateLimited", None),
    (BLOCK, 429, "Your app has exceeded its compute units per second capacity.", Verdict.TRANSIENT, "RateLimited", None),
    (BLOCK, 4444, "pruned history unavailable", Verdict.FINAL, "PrunedHistory", None),
    ("debug_traceBlockByHash", -32000, "missing trie node 1a2b (path )", Verdict.FINAL, "PrunedState", None),
    ("trace_block", -32601, "the method trace_block does not exist/is not available", Verdict.UNSUPPORTED, "MethodMissing", None),
    ("trace_block", -32601, "Method not found", Verdict.UNSUPPORTED, "MethodMissing", None),
    ("trace_block", -32600, "trace_block is not available on the current plan", Verdict.UNSUPPORTED, "MethodMissing", None),
    (LOGS, -32000, "unknown block", Verdict.MISSING, "BlockMissing", None),
    (BLOCK, -39001, "finalized block not found", Verdict.MISSING, "BlockMissing", None),
    (BLOCK, -32000, "header for hash not found", Verdict.MISSING, "BlockMissing", None),
    (LOGS, -32000, "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be found.", Verdict.MISSING, "BlockMissing", None),
    (BLOCK, -32000, "invalid API key", Verdict.FINAL, "Unauthorised", None),
    (BLOCK, -32603, "internal error", Verdict.TRANSIENT, "NodeBusy", None),
    (BLOCK, -32602, "missing value for required argument 1", Verdict.FINAL, "RequestRefused", None),
    (BLOCK, 12345, "the moon is full", Verdict.TRANSIENT, "NodeError", None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "code", "message", "verdict", "reason", "suggested"), TABLE)
def test_refusals(method: str, code: int, message: str, verdict: Verdict, reason: str, suggested: int | None) -> None:
    failure = classify_error(method, RpcError(code, message), "https://….example.org")
    assert (failure.verdict, failure.reason, failure.suggested) == (verdict, reason, suggested)
    assert "https://….example.org" in failure.message
    error = failure.as_error()
    assert isinstance(error, ActionRequiredError) == (verdict in (Verdict.FINAL, Verdict.UNSUPPORTED))


@pytest.mark.parametrize("wording", WORDINGS, ids=lambda wording: wording.who)
@pytest.mark.parametrize(("limit", "asked"), [(5, 16), (100, 128), (2000, 5000), (10_000, 50_000)])
def test_the_words_of_providers_say_how_many_blocks_would_do(wording: Wording, limit: int, asked: int) -> None:
    error = read_error(wording.error(limit, 17_000_000, asked))
    failure = classify_error(LOGS, error, "https://….example.org", wording.status, None, asked)
    assert failure.suggested == (limit if wording.tells else None)
    assert failure.verdict in (Verdict.SHRINK, Verdict.TRANSIENT)


@pytest.mark.parametrize("form", sorted(set(FORMS)))
def test_no_rule_knows_the_sentences_that_are_made_up(form: str) -> None:
    made = [found for seed in range(600) if (found := unknown_words(random.Random(seed))).form == form]
    assert len({refusal.text for refusal in made}) > 30
    for refusal in made:
        body = refusal.body({"id": 1}, 5, 16)
        answer = body[0] if isinstance(body, list) else body
        error = read_error(answer["error"]) if isinstance(answer, dict) else None
        known = (
            classify_error(LOGS, error, "…", refusal.status, None, 16)
            if error
            else classify_status(refusal.status, "…", None, body)
        )
        assert known.verdict in (Verdict.TRANSIENT, Verdict.FINAL), refusal


def test_so_many_providers_are_known() -> None:
    assert len({wording.who.partition(",")[0] for wording in WORDINGS}) >= 25


@pytest.mark.parametrize(
    "message",
    [
        "block range extends beyond current head block",
        "block height is 40 but requested was 60",
        "requested from block 100 after last accepted block 90",
        "invalid block range params",
        "end block 5 greater than latest block 3",
        "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be found.",
    ],
)
@pytest.mark.parametrize("code", [-32602, -32000, -32001, 0])
def test_what_lies_beyond_the_head_of_a_replica_is_missing_and_not_too_wide(code: int, message: str) -> None:
    assert classify_error(LOGS, RpcError(code, message), "x", 200, None, 100).verdict is Verdict.MISSING


@pytest.mark.parametrize(
    ("found", "error"),
    [
        ("a text", RpcError(0, "a text")),
        ({"code": "-32000", "message": "m"}, RpcError(-32000, "m")),
        (
            {"code": -32602, "message": "invalid params", "data": "the hint"},
            RpcError(-32602, "invalid params (the hint)"),
        ),
        ({"code": 3, "message": "execution reverted", "data": "0x08c379a0"}, RpcError(3, "execution reverted")),
        ({"message": None, "code": None}, RpcError(0, '{"message":null,"code":null}')),
        ([1], RpcError(0, "[1]")),
    ],
)
def test_an_error_is_read_however_it_is_written(found: object, error: RpcError) -> None:
    assert read_error(found) == error


def test_every_reason_of_the_table_is_seen() -> None:
    assert {rule.reason for rule in RULES} == {row[4] for row in TABLE}


def test_final_refusals_say_what_to_do() -> None:
    assert all(rule.cure for rule in RULES if rule.verdict is Verdict.FINAL)


@pytest.mark.parametrize("message", ["", "range", "between you and me", "limit of results", "[0x5, 0x1]"])
def test_nothing_is_suggested_where_nothing_is(message: str) -> None:
    assert suggested_range(message) is None


@pytest.mark.parametrize(
    ("message", "asked", "suggested"),
    [
        ("The max block range is 10,000 blocks. Rate limit: 25 requests per second.", 50_000, 10_000),
        ("too many blocks. max_blocks=800 requested=5000", 5000, 800),
        ("block range over 10 minutes of blocks", 5000, None),
        ("block range 5000 exceeds limit (10000 results or 2000 blocks)", 5000, 2000),
        ("maximum block range exceeded, see https://docs.example.com/limits/2024", 5000, None),
        ("block range: 1000 max; you asked for 5000", 5000, 1000),
        ("maximum block range is 0x3e8", 5000, 1000),
        ("block range 0x0-0x1387 too large: limit is 0x3e8 blocks", 5000, 1000),
        ("this block range should work: [100, 599]", 5000, 500),
        ("suggested range: fromBlock=0x64 toBlock=0x257", 5000, 500),
        ("try fromBlock 100 toBlock 599", 5000, 500),
        ('query returned more than 10000 results ({"limit":10000,"to":"0x257","from":"0x64"})', 5000, 500),
        ('the "from" and "to" gap is larger than max gap (from: 100, to: 5099, max_gap: 1000)', 5000, 1000),
        ("max allowed of rounds in logs query is: 100", 5000, 100),
        ('invalid params ({"payload":"range 9009594 is bigger than range limit 2000"})', 9009594, 2000),
        ("区块范围过大 最大 1000 个区块", 5000, 1000),
        ("block range limit exceeded: 5000", 5000, 5000),
    ],
)
def test_a_number_counts_if_it_is_whole_counts_blocks_and_was_not_asked_for(
    message: str, asked: int, suggested: int | None
) -> None:
    assert suggested_range(message, asked) == suggested


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(401, Verdict.FINAL), (403, Verdict.FINAL), (404, Verdict.FINAL), (413, Verdict.SHRINK), (308, Verdict.FINAL), (429, Verdict.TRANSIENT),
     (500, Verdict.TRANSIENT), (503, Verdict.TRANSIENT), (200, Verdict.TRANSIENT)],
)  # fmt: skip
def test_statuses(status: int, verdict: Verdict) -> None:
    assert classify_status(status, "x").verdict is verdict


def test_retry_after_travels_to_the_pipeline() -> None:
    error = classify_status(429, "x", parse_retry_after("7")).as_error()
    assert isinstance(error, TransientError)
    assert error.retry_after == 7.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("3", 3.0), ("1e9", 300.0), ("-1", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, longest=LONGEST_RETRY_AFTER) == seconds
