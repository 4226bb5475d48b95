"""What is refused is requested in another way, after a longer wait, or reported with the node's words."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connector_runner.sources.ethereum.endpoints import limits, outage
from connector_runner.sources.ethereum.endpoints.limits import limits_of
from connector_runner.sources.ethereum.errors import StaleAnswerError
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.rpc.methods import RECEIPTS, TRACE_METHODS
from connector_runner.sources.ethereum.settings import LogFilter
from connector_runner.sources.ethereum.verify import proofs
from connector_runner.sources.ethereum.verify.proofs import Prover
from tests.integration.ethereum.running import Lines, running, sqlite_dataset, until, until_head
from tests.integration.ethereum.serving import connected, serving
from tests.integration.ethereum.test_limits import read
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EXPECTED, canonical, comparable
from tests.simulators.ethereum.contracts import Actors
from tests.simulators.ethereum.proxy import Answer, Change, FaultProxy, Page, error, result


@pytest.mark.parametrize(
    ("method", "change", "config", "words"),
    [
        ("eth_getBlockByNumber", result(lambda params, found: None if params[0] == "finalized" else found), {"finality": "finalized"}, "no finalized block"),
        ("eth_getBlockReceipts", error(-32603, "the moon is full"), {}, "the moon is full"),
        ("eth_getBlockReceipts", lambda _p, _a: Page(500, "<html>out of cheese</html>"), {}, "out of cheese"),
        ("eth_getBlockReceipts", result(lambda _p, _f: None), {}, "does not have the receipts"),
    ],
)  # fmt: skip
async def test_a_person_is_told_what_the_node_said(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, method: str, change: Change, config: dict[str, Any],
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(outage, "REPORTED_AFTER", 1.0)
    proxy.inject(method, change=change)
    log = Lines()
    config = {"url": proxy.url, "startBlock": chain[0].head() - 2, **config}
    async with running(config, "receipts", sqlite_dataset(tmp_path), log=log) as task:
        await until(
            lambda: any(line.startswith("warning") and words in line for line in log.lines), f"told: {words}", task
        )


async def test_receipts_where_only_numbers_are_taken(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    """As on Moonbeam and cdk-erigon."""
    refusal = error(-32602, "invalid argument 0: hex number > 64 bits")
    proxy.inject(
        "eth_getBlockReceipts",
        change=lambda params, answer: refusal(params, answer) if len(params[0]) == 66 else answer,
    )
    proxy.inject("eth_getTransactionReceipt", change=error(-32601, "Method not found"))
    await read(proxy, chain[0], "receipts", tmp_path)


async def test_receipts_one_by_one_where_neither_is_taken(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.inject("eth_getBlockReceipts", change=error(-32602, "invalid params"))
    await read(proxy, chain[0], "receipts", tmp_path)


UNKNOWN_REFUSALS: dict[str, Callable[[Answer], Answer | Page]] = {
    "an object": lambda answer: {
        "id": answer["id"],
        "error": {"code": -32000, "message": "the cluster gave up on all of it"},
    },
    "a code for requests that are wrong": lambda answer: {
        "id": answer["id"],
        "error": {"code": -32600, "message": "no"},
    },
    "a text": lambda answer: {"id": answer["id"], "error": "would rather not"},
    "a page": lambda _answer: Page(500, "<html>shard 7f has no room</html>"),
}


@pytest.mark.parametrize("form", UNKNOWN_REFUSALS)
@pytest.mark.parametrize("takes_hashes", [True, False])
async def test_logs_of_a_block_that_is_refused_by_itself_come_another_way(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, form: str, takes_hashes: bool, tmp_path: Path
) -> None:
    """A limit by the number of results, in unknown words: a smaller query does not help, another kind of query does."""

    def refused(params: list[Any], answer: Answer) -> Answer | Page:
        is_taken = takes_hashes and "blockHash" in params[0]
        return answer if is_taken or len(answer["result"]) <= 1 else UNKNOWN_REFUSALS[form](answer)

    refusals = proxy.inject("eth_getLogs", change=refused)
    log = Lines()
    await read(proxy, chain[0], "logs", tmp_path, log)
    assert refusals.hits
    assert not [line for line in log.lines if line.startswith("warning")]


async def test_a_way_that_is_refused_again_and_again_is_not_tried_so_often(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy
) -> None:
    proxy.inject("eth_getLogs", change=error(-32000, "the cluster gave up on all of it"))
    async with connected([proxy]) as nodes:
        fetcher = Fetcher(nodes, 10, Prover(proves_all=False, head_from=1000))
        asked = []
        for number in range(1, 4):
            before = proxy.requests.count("eth_getLogs")
            await fetcher.logs_of_block(number, LogFilter())
            asked.append(proxy.requests.count("eth_getLogs") - before)
    assert asked == [4, 1, 1]


@pytest.mark.parametrize("takes_timeout", [True, False])
async def test_a_tracer_is_given_as_long_as_it_is_waited_for(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, takes_timeout: bool
) -> None:
    seen: list[dict[str, Any]] = []

    def traced(params: list[Any], answer: Answer) -> Answer:
        seen.append(params[1])
        if "timeout" in params[1] and not takes_timeout:
            return {"jsonrpc": "2.0", "id": answer["id"], "error": {"code": -32602, "message": "unknown field timeout"}}
        calls = [{"result": {"type": "CALL"}}] * len(chain[0].block(1)["transactions"])
        return {"jsonrpc": "2.0", "id": answer["id"], "result": calls}

    proxy.inject("debug_traceBlockByHash", change=traced)
    async with connected([proxy]) as nodes:
        fetcher = Fetcher(nodes, 10)
        header, _ = await fetcher.header(1)
        limits_of(proxy.url).read_timeout("debug_traceBlockByHash").timed_out(40.0)
        for _ in range(2):
            assert (await fetcher.traces(header))[0]
    patient = {"tracer": "callTracer", "timeout": "80s"}
    assert seen == ([patient] * 2 if takes_timeout else [patient, {"tracer": "callTracer"}, {"tracer": "callTracer"}])


async def test_an_answer_whose_first_byte_comes_late(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shortened: a second instead of 30; the answer takes three."""
    monkeypatch.setattr(limits, "SILENCE_SECONDS", 1.0)
    first = chain[0].head() - 1

    async def handle(request: web.Request) -> web.StreamResponse:
        calls = json.loads(await request.read())
        if not isinstance(calls, list) and calls["method"] == "debug_traceBlockByHash":
            await asyncio.sleep(3.0)
        async with proxy._session.post(proxy.upstream, json=calls) as answer:
            return web.Response(body=await answer.read(), content_type="application/json")

    dataset = sqlite_dataset(tmp_path)
    async with serving(handle) as place:
        async with running({"url": f"http://{place}", "startBlock": first}, "traces", dataset) as task:
            await until_head(dataset, chain[0], task)
        assert limits_of(f"http://{place}").read_timeout("debug_traceBlockByHash").seconds >= 4.0
    columns, _ = EXPECTED["traces"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(chain[0], "traces", first)


async def test_an_empty_bloom_of_a_block_with_receipts_leaves_nothing_out(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one block, after the blooms of this endpoint were found to hold: found by the net."""
    monkeypatch.setattr(proofs, "BLOCKS_TO_TRUST", 2)
    node, actors = chain
    emptied = proxy.inject(
        "eth_getBlockByNumber",
        change=result(lambda params, found: {**found, "logsBloom": "0x" + "00" * 256} if params[0] == "0xa" else found),
    )
    dataset = sqlite_dataset(tmp_path)
    config = {"url": proxy.url, "startBlock": 1, "maxBlockRange": 4, "addresses": [actors.emitter]}
    async with running(config, "logs", dataset) as task:
        await until_head(dataset, node, task)
    assert emptied.hits
    columns, _ = EXPECTED["logs"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "logs", 1)


async def test_what_another_endpoint_refuses_is_not_held_against_the_first(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy
) -> None:
    """A request that fails at one endpoint goes to the next; what that one does not offer says nothing about the first."""
    busy = Page(503, "busy")
    for method in ("debug_traceBlockByHash", "eth_getBlockReceipts"):
        proxy.inject(method, change=lambda _p, _a: busy, times=2)
    proxy.inject("trace_block", change=error(-32601, "the method trace_block does not exist"))
    async with FaultProxy(chain[0].url) as bare:
        bare.inject(*TRACE_METHODS, RECEIPTS, change=error(-32601, "the method does not exist"))
        async with connected([proxy, bare]) as nodes:
            fetcher = Fetcher(nodes, 10)
            header, _ = await fetcher.header(1)
            assert await fetcher.block_receipts(header) is None, "the second endpoint was asked, and has none"
            await nodes.rotate("back to the first")
            assert nodes.index == 0
            assert await fetcher.block_receipts(header) is not None
            with pytest.raises(StaleAnswerError):
                await fetcher.traces(header)
            with pytest.raises(StaleAnswerError):
                await fetcher.traces(header)
            assert (await fetcher.traces(header))[0], "it is the first one's turn again, and it offers them"


async def test_a_bloom_is_trusted_only_on_the_endpoint_that_it_is_from(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers come from an endpoint with wrong blooms, while another one, whose blooms were proven, is in use again."""
    monkeypatch.setattr(proofs, "BLOCKS_TO_TRUST", 1)
    node, actors = chain
    wanted = LogFilter((actors.emitter.lower(),), ())
    async with FaultProxy(node.url) as wrong:
        wrong.inject(
            "eth_getBlockByNumber",
            change=result(lambda _p, found: {**found, "logsBloom": "0x" + "00" * 255 + "01"}),
        )
        async with connected([proxy, wrong]) as nodes:
            fetcher = Fetcher(nodes, 10, Prover(head_from=1000))
            proven = await fetcher.for_piece(is_shared=False).logs_of_range(5, 6, wanted)
            await nodes.rotate("the first is slow")
            piece = fetcher.for_piece(is_shared=True)
            await piece.headers(7, 8)
            await nodes.rotate("the second is slow, too")
            found = await piece.logs_of_range(7, 8, wanted)
            assert nodes.index == 0
    assert all(one.logs for one in [*proven, *found]), "each of these blocks has logs of this address"
    assert not any(one.is_left_out for one in found)
