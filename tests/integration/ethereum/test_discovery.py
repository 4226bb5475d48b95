"""What discovery finds out of real nodes, and of nodes that lack things."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.errors import ActionRequiredError, TransientError, UnknownStreamError
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.sources.ethereum import build_source
from tests.integration.ethereum.running import checked
from tests.servers.anvil import AnvilServer
from tests.servers.ports import free_port
from tests.simulators.ethereum.proxy import Change, FaultProxy, Page, error, result

STREAMS = ["blocks", "transactions", "receipts", "logs", "token_transfers", "withdrawals", "traces"]
SECRET = "keykeykeykey"


@pytest.fixture(scope="module")
def node() -> Iterator[AnvilServer]:
    with AnvilServer() as server:
        server.mine(40)
        yield server


@pytest.fixture
async def proxy(node: AnvilServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(node.url) as server:
        yield server


async def discovered(selected: str | None = None, **config: Any) -> Catalogue:
    telemetry = Telemetry(lambda *_args, **_fields: None, NoMeters())
    source = build_source(SourceContext(checked(config), "tests/chain", WriteMode.UPSERT, telemetry))
    try:
        return await source.discover(selected)
    finally:
        await source.close()


@pytest.mark.parametrize("transport", ["url", "websocket_url", "ipc_path"])
async def test_a_real_node(node: AnvilServer, transport: str) -> None:
    found = await discovered(url=getattr(node, transport), events=["Ping(uint a)"])
    assert [stream.id for stream in found.streams] == [*STREAMS, "events.Ping"]
    assert found.identity == f"chain 31337, genesis {node.block(0)['hash']}"
    assert all(stream.key[0] == "block_hash" and stream.columns for stream in found.streams)
    assert found.notes == (f"chain 31337, {node.rpc('web3_clientVersion')}, head at block 40",)


async def test_a_node_that_lacks_much(node: AnvilServer, proxy: FaultProxy) -> None:
    def pruned(params: list[Any], answer: dict[str, Any]) -> Any:
        return error(4444, "pruned history unavailable")(params, answer) if params[0] in old else answer

    old = [{"blockHash": node.block(number)["hash"]} for number in range(17)]
    proxy.inject(
        "debug_traceBlockByHash", "trace_block", "eth_getBlockReceipts", change=error(-32601, "Method not found")
    )
    proxy.inject("eth_getLogs", change=pruned)
    found = await discovered(url=proxy.url, startBlock=3)
    text = "\n".join(found.notes)
    assert [stream.id for stream in found.streams] == STREAMS[:-1]
    assert "history begins at block 17; startBlock is before" in text
    assert "no eth_getBlockReceipts" in text
    assert "no stream traces" in text


async def test_a_limited_log_range_and_unknown_finality(proxy: FaultProxy) -> None:
    proxy.inject("eth_getLogs", change=refused_beyond_ten(-32600, "requests with up to a 10 block range"))
    found = await discovered(url=proxy.url, maxBlockRange=30)
    assert "log queries cover 10 blocks here" in "\n".join(found.notes)


def refused_beyond_ten(code: int, message: str) -> Change:
    def limited(params: list[Any], answer: dict[str, Any]) -> Any:
        bounds = params[0]
        is_wide = "fromBlock" in bounds and int(bounds["toBlock"], 16) - int(bounds["fromBlock"], 16) >= 10
        return error(code, message)(params, answer) if is_wide else answer

    return limited


async def test_a_limited_log_range_without_a_suggestion_is_found_by_halving(proxy: FaultProxy) -> None:
    proxy.inject("eth_getLogs", change=refused_beyond_ten(-32005, "query returned more than 10000 results"))
    found = await discovered(url=proxy.url, maxBlockRange=30)
    assert "log queries cover 7 blocks here" in "\n".join(found.notes)


async def test_a_limit_that_comes_with_an_http_status(proxy: FaultProxy) -> None:
    body = '{"id": 1, "error": {"code": -32600, "message": "eth_getLogs requests with up to a 9 block range"}}'

    def limited(params: list[Any], answer: dict[str, Any]) -> Any:
        wide = "fromBlock" in params[0] and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) >= 9
        return Page(400, body) if wide else answer

    proxy.inject("eth_getLogs", change=limited)
    assert "log queries cover 9 blocks here" in "\n".join((await discovered(url=proxy.url, maxBlockRange=30)).notes)


async def test_a_limited_log_range_in_words_that_nobody_knows(proxy: FaultProxy) -> None:
    proxy.inject("eth_getLogs", change=refused_beyond_ten(-32099, "be reasonable"))
    found = await discovered(url=proxy.url, maxBlockRange=30)
    assert "log queries cover 7 blocks here" in "\n".join(found.notes)


def for_tags(change: Change) -> Change:
    return lambda params, answer: change(params, answer) if params[0] in ("safe", "finalized") else answer


REFUSED_PROBES: dict[str, tuple[str, Change]] = {
    "tags, -32602": (
        "eth_getBlockByNumber",
        for_tags(error(-32602, "invalid argument 0: hex string without 0x prefix")),
    ),
    "tags, -32603": ("eth_getBlockByNumber", for_tags(error(-32603, "internal error"))),
    "tags, -32000": ("eth_getBlockByNumber", for_tags(error(-32000, "not supported"))),
    "tags, 403": ("eth_getBlockByNumber", for_tags(lambda _p, _a: Page(403, "no"))),
    "receipts, -32602": ("eth_getBlockReceipts", error(-32602, "invalid params")),
    "receipts, 403": ("eth_getBlockReceipts", lambda _p, _a: Page(403, "not in your plan")),
    "logs, -32602": ("eth_getLogs", error(-32602, "what?")),
    "logs, 403": ("eth_getLogs", lambda _p, _a: Page(403, "not in your plan")),
    "client, 403": ("web3_clientVersion", lambda _p, _a: Page(403, "secret")),
    "client, a text": ("web3_clientVersion", lambda _p, answer: {"id": answer["id"], "error": "no"}),
}


@pytest.mark.parametrize("name", REFUSED_PROBES)
@pytest.mark.parametrize("selected", [None, "blocks"])
async def test_a_refused_probe_tells_what_is_not_offered(proxy: FaultProxy, name: str, selected: str | None) -> None:
    method, change = REFUSED_PROBES[name]
    proxy.inject(method, change=change)
    found = await discovered(selected, url=proxy.url, finality="finalized")
    assert [stream.id for stream in found.streams] == STREAMS
    assert name.startswith("client") or any("was refused" in note for note in found.notes), found.notes


async def test_receipts_by_number_are_receipts(node: AnvilServer, proxy: FaultProxy) -> None:
    proxy.inject(
        "eth_getBlockReceipts",
        change=lambda params, answer: error(-32602, "no hashes")(params, answer) if len(params[0]) == 66 else answer,
    )
    assert "eth_getBlockReceipts" not in "\n".join((await discovered("receipts", url=proxy.url)).notes)


@pytest.mark.parametrize(
    ("selected", "methods", "words"),
    [
        ("logs", ["eth_getLogs"], "the stream logs needs .*eth_getLogs.*not in your plan"),
        (
            "traces",
            ["debug_traceBlockByHash", "trace_block"],
            "the stream traces needs .*trace_block.*not in your plan",
        ),
    ],
)
async def test_what_the_selected_stream_needs_is_refused_by_name(
    proxy: FaultProxy, selected: str, methods: list[str], words: str
) -> None:
    proxy.inject(*methods, change=lambda _p, _a: Page(403, "not in your plan"))
    with pytest.raises(ActionRequiredError, match=words):
        await discovered(selected, url=proxy.url)
    assert (await discovered("transactions", url=proxy.url)).streams


async def test_a_limit_of_requests_is_heeded(node: AnvilServer, proxy: FaultProxy) -> None:
    proxy.inject(change=lambda _p, _a: Page(429, "slow down", {"Retry-After": "0.1"}), times=2)
    found = await discovered(url=proxy.url, requestsPerSecond=50)
    assert found.identity == f"chain 31337, genesis {node.block(0)['hash']}"


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_answers_of_more_than_a_megabyte(node: AnvilServer, proxy: FaultProxy, scheme: str) -> None:
    large = result(lambda _p, found: {**found, "padding": "x" * 2**21} if found else found)
    proxy.inject("eth_getBlockByNumber", change=large)
    found = await discovered(url=proxy.url.replace("http", scheme))
    assert found.identity == f"chain 31337, genesis {node.block(0)['hash']}"


@pytest.mark.parametrize(
    ("page", "kind", "words"),
    [
        (Page(401), ActionRequiredError, "configFrom"),
        (Page(404), ActionRequiredError, "check url"),
        (Page(503), TransientError, "503"),
        (Page(200, "<html>"), TransientError, "can't be reached|not JSON-RPC"),
    ],
)
async def test_refusals(proxy: FaultProxy, page: Page, kind: type[Exception], words: str) -> None:
    proxy.inject(change=lambda _p, _a: page)
    with pytest.raises(kind, match=words) as caught:
        await discovered(url=f"{proxy.url}/v3/{SECRET}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_an_unreachable_node(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    with pytest.raises(TransientError, match="can't be reached") as caught:
        await discovered(url=f"{scheme}://127.0.0.1:{free_port()}/v3/{SECRET}")
    assert SECRET not in str(caught.value)
    assert SECRET not in caplog.text


async def test_an_unreachable_socket(tmp_path: Any) -> None:
    with pytest.raises(TransientError, match="can't be reached"):
        await discovered(url=f"{tmp_path}/none.ipc")


async def test_an_unknown_stream_lists_what_there_is(node: AnvilServer) -> None:
    telemetry = Telemetry(lambda *_args, **_fields: None, NoMeters())
    source = build_source(SourceContext(checked({"url": node.url}), "tests/chain", WriteMode.UPSERT, telemetry))
    with pytest.raises(UnknownStreamError, match="token_transfers"):
        await source.open({"ticker": None})
    await source.close()
