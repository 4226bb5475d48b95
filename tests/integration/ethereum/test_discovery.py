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


async def discovered(**config: Any) -> Catalogue:
    telemetry = Telemetry(lambda *_args, **_fields: None, NoMeters())
    source = build_source(SourceContext(checked(config), "tests/chain", WriteMode.UPSERT, telemetry))
    try:
        return await source.discover(None)
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
    assert "history begins at block 17; startBlock lies before" in text
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
        await source.open("ticker", None)
    await source.close()
