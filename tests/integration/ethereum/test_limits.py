"""Providers that refuse large queries, in any words: the source finds their limit, keeps to it, and continues."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connector_runner.sources.ethereum.endpoints import limits
from connector_runner.sources.ethereum.endpoints.limits import KNOWN_LIMITS, limits_of
from connector_runner.sources.ethereum.errors import NodeFailure
from tests.integration.ethereum.running import Lines, running, sqlite_dataset, until, until_head
from tests.integration.ethereum.serving import BLOCK, LOGS, connected, serving, transport_to
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EXPECTED, canonical, comparable
from tests.simulators.ethereum.contracts import Actors
from tests.simulators.ethereum.proxy import Answer, Change, CutError, FaultProxy, Page, error
from tests.simulators.ethereum.wordings import WORDINGS, Wording


@pytest.fixture(autouse=True)
def _nothing_is_known() -> Iterator[None]:
    KNOWN_LIMITS.clear()
    yield
    KNOWN_LIMITS.clear()


def width(params: list[Any]) -> int:
    bounds = params[0]
    return int(bounds["toBlock"], 16) - int(bounds["fromBlock"], 16) + 1 if "fromBlock" in bounds else 1


def beyond(limit: int, refusal: Callable[[list[Any], Answer], Any]) -> Change:
    """What is refused is every log query of more blocks."""
    return lambda params, answer: refusal(params, answer) if width(params) > limit else answer


def config_of(url: str) -> dict[str, Any]:
    """With roots in a backfill, logs come from receipts, one block at a time; here it is about log queries and batches."""
    return {"url": url, "startBlock": 1, "proveBackfill": False}


async def read(proxy: FaultProxy, node: AnvilServer, stream: str, folder: Path, log: Lines | None = None) -> None:
    dataset = sqlite_dataset(folder)
    async with running(config_of(proxy.url), stream, dataset, log=log) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED[stream]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, stream, 1)


BATCH_REFUSALS: dict[str, Callable[[list[Any]], Page]] = {
    "dRPC: a list, HTTP 500": lambda calls: Page(
        500,
        json.dumps(
            [
                {
                    "id": call["id"],
                    "error": {"code": 31, "message": "Batch of more than 3 requests are not allowed on free tier"},
                }
                for call in calls
            ]
        ),
    ),
    "a list, HTTP 200": lambda calls: Page(
        200, json.dumps([{"id": call["id"], "error": {"code": -32600, "message": "no"}} for call in calls])
    ),
    "geth: a list of one, id 0": lambda _calls: Page(
        200, json.dumps([{"jsonrpc": "2.0", "id": 0, "error": {"code": -32600, "message": "batch too large"}}])
    ),
    "an object without id": lambda _calls: Page(
        200, json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32602, "message": "too many requests in it"}})
    ),
    "Ronin: HTTP 400": lambda _calls: Page(400, "too many requests"),
    "Tatum: HTTP 402": lambda _calls: Page(402, '{"error": "batch calls are available for paid plans only"}'),
    "HTTP 413, a page": lambda _calls: Page(413),
    "a text for an error": lambda _calls: Page(200, '{"error": "no batches"}'),
    "an empty list": lambda _calls: Page(200, "[]"),
}


@pytest.mark.parametrize("limit", [3, 1])
@pytest.mark.parametrize("name", BATCH_REFUSALS)
async def test_a_provider_that_takes_few_requests_a_batch(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, name: str, limit: int, tmp_path: Path
) -> None:
    node, _ = chain
    refused = []

    def refuse(calls: Any) -> Page | None:
        if not isinstance(calls, list) or len(calls) <= limit:
            return None
        refused.append(len(calls))
        return BATCH_REFUSALS[name](calls)

    proxy.refuse = refuse
    await read(proxy, node, "logs", tmp_path)
    assert refused
    assert limits_of(proxy.url).batch.size <= limit + 1


async def test_a_provider_that_closes_the_connection_on_a_batch(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    def refuse(calls: Any) -> None:
        if isinstance(calls, list):
            raise CutError

    proxy.refuse = refuse
    await read(proxy, chain[0], "logs", tmp_path)


async def test_receipts_one_by_one_of_a_provider_that_takes_no_batches(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.inject("eth_getBlockReceipts", change=error(-32601, "Method not found"))
    proxy.refuse = lambda calls: (
        Page(500, '{"error": {"code": 31, "message": "x"}}') if isinstance(calls, list) else None
    )
    await read(proxy, chain[0], "receipts", tmp_path)


WIDE_REFUSALS: dict[str, Callable[[list[Any], Answer], Any]] = {
    "503": lambda _p, _a: Page(503),
    "504": lambda _p, _a: Page(504, "upstream request timeout"),
    "-32002": error(-32002, "request timed out"),
    "-32001": error(-32001, "try again later"),
    "context deadline": error(-32000, "context deadline exceeded"),
    "unauthorised": lambda _p, _a: Page(403, "not in your plan"),
    "an unknown method": error(-32601, "eth_getLogs of so many is not available on your plan"),
    "an error that is a text": lambda _p, answer: {"jsonrpc": "2.0", "id": answer["id"], "error": "too much"},
    "neither result nor error": lambda _p, answer: {"jsonrpc": "2.0", "id": answer["id"]},
}


@pytest.mark.parametrize("name", WIDE_REFUSALS)
async def test_a_wide_query_that_fails_is_asked_for_in_pieces_whatever_it_fails_of(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, name: str, tmp_path: Path
) -> None:
    refused = []

    def refusal(params: list[Any], answer: Answer) -> Any:
        refused.append(width(params))
        return WIDE_REFUSALS[name](params, answer)

    proxy.inject("eth_getLogs", change=beyond(3, refusal))
    await read(proxy, chain[0], "logs", tmp_path)
    assert refused


async def test_a_wide_query_that_is_never_answered(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time-out is shortened for this test; what is measured is that narrow questions are tried after one of them."""
    monkeypatch.setattr(limits, "SILENCE_SECONDS", 1.0)

    async def handle(request: web.Request) -> web.StreamResponse:
        calls = json.loads(await request.read())
        if not isinstance(calls, list) and calls["method"] == "eth_getLogs" and width(calls["params"]) > 4:
            await never.wait()
        async with proxy._session.post(proxy.upstream, json=calls) as answer:
            return web.Response(body=await answer.read(), content_type="application/json")

    never = asyncio.Event()
    node, _ = chain
    async with serving(handle) as place:
        dataset = sqlite_dataset(tmp_path)
        async with running(config_of(f"http://{place}"), "logs", dataset) as task:
            await until_head(dataset, node, task)
    columns, _ = EXPECTED["logs"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "logs", 1)


# Those that tell the limit are read in a unit test; here are those that don't, and one that does.
TRIED = [wording for wording in WORDINGS if not wording.tells or wording.who == "1RPC"]


@pytest.mark.parametrize("wording", TRIED, ids=lambda wording: wording.who)
async def test_a_range_is_found_whatever_the_words(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, wording: Wording, tmp_path: Path
) -> None:
    node, _ = chain
    refused = []

    def refusal(params: list[Any], answer: Answer) -> Any:
        found = wording.error(5, int(params[0]["fromBlock"], 16), width(params))
        refused.append(width(params))
        body = {"jsonrpc": "2.0", "id": answer["id"], "error": found}
        return body if wording.status == 200 else Page(wording.status, json.dumps(body))

    proxy.inject("eth_getLogs", change=beyond(5, refusal))
    dataset = sqlite_dataset(tmp_path)
    async with running(config_of(proxy.url), "logs", dataset) as task:
        await until(lambda: dataset.position().get("number", 0) >= node.head() - 128, "the ranges are read", task)
    assert 1 <= len(refused) <= (1 if wording.tells else 6), refused


async def test_a_replica_that_lags_is_not_taken_for_a_limit(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    fault = proxy.inject("eth_getLogs", change=error(-32602, "block range extends beyond current head block"), times=3)
    await read(proxy, chain[0], "logs", tmp_path)
    assert fault.hits == 3
    assert limits_of(proxy.url).log_range(2000).size >= limits.FIRST_RANGE


async def test_fewer_requests_at_a_time_where_many_are_refused(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    """429 without a time to wait for whoever comes while two are being answered."""
    inside = 0
    most = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal inside, most
        calls = await request.read()
        if inside >= 2:
            return web.Response(status=429, text="too many requests at once")
        inside += 1
        most = max(most, inside)
        try:
            async with proxy._session.post(
                proxy.upstream, data=calls, headers={"Content-Type": "application/json"}
            ) as answer:
                return web.Response(body=await answer.read(), content_type="application/json")
        finally:
            inside -= 1

    node, _ = chain
    async with serving(handle) as place:
        dataset = sqlite_dataset(tmp_path)
        async with running(config_of(f"http://{place}"), "logs", dataset) as task:
            await until_head(dataset, node, task)
        assert limits_of(f"http://{place}").concurrency.size < limits.AT_ONCE
    assert most == 2


async def test_what_is_known_is_used_by_the_next_source(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.refuse = lambda calls: Page(500) if isinstance(calls, list) and len(calls) > 3 else None
    async with connected([proxy]) as nodes:
        await nodes.call_many([BLOCK] * 12)
        known = nodes.limits.batch.size
    async with connected([proxy]) as nodes:
        assert nodes.limits.batch.size == known < 40


async def test_a_socket_that_refuses_without_an_id(proxy: FaultProxy) -> None:
    async def refusing(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            await socket.send_str('{"jsonrpc": "2.0", "id": null, "error": {"code": -32005, "message": "not so many"}}')
        return socket

    async with serving(refusing) as place, transport_to(f"ws://{place}") as transport:
        with pytest.raises(NodeFailure, match="not so many"):
            await transport.send([LOGS, BLOCK])


@pytest.mark.parametrize("change", ["text", "fraction"])
async def test_ids_that_come_back_as_another_type(proxy: FaultProxy, change: str) -> None:
    def rewritten(_params: list[Any], answer: Answer) -> Answer:
        return {**answer, "id": str(answer["id"]) if change == "text" else float(answer["id"])}

    async with connected([proxy]) as nodes:
        proxy.inject(change=rewritten)
        assert len(await nodes.call_many([("eth_blockNumber", [])] * 3)) == 3
        assert nodes.limits.batch.size == 40
