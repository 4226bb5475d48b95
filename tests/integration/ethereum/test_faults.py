"""What nodes, providers and load balancers do wrong, injected between the source and a real node: nothing false is ever stored."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.ethereum.verify.roots import withdrawals_root
from tests.integration.ethereum.running import running, sqlite_dataset, until_head
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EVENTS, EXPECTED, canonical, comparable
from tests.simulators.ethereum.contracts import Actors
from tests.simulators.ethereum.proxy import Change, FaultProxy, Page, Slowly, cut, error, result

BLOCK, LOGS, RECEIPTS = "eth_getBlockByNumber", "eth_getLogs", "eth_getBlockReceipts"
FOREIGN = "0x" + "ab" * 32


def without_last(_params: list[Any], found: Any) -> Any:
    return found[:-1] if found else found


def marked(_params: list[Any], found: Any) -> Any:
    return [{**log, "removed": True} for log in found]


def of_another_block(_params: list[Any], found: Any) -> Any:
    return [{**item, "blockHash": FOREIGN} for item in found]


def swapped(_params: list[Any], found: Any) -> Any:
    return found[::-1]


def of_another_height(_params: list[Any], found: Any) -> Any:
    return {**found, "number": hex(int(found["number"], 16) + 1)} if found else found


def cut_off_inside_a_block(params: list[Any], found: Any) -> Any:
    """A page that ends before the last log of its last block, as with a limit on the number of logs."""
    return found[:-1] if found and "fromBlock" in params[0] else found


SUGGESTION = "this block range should work: [0x0, 0x4]"
PASSING: dict[str, tuple[str, str, Change]] = {
    "missing logs": ("logs", LOGS, result(without_last)),
    "no logs": ("logs", LOGS, result(lambda _p, _r: [])),
    "removed logs": ("logs", LOGS, result(marked)),
    "logs of another block": ("logs", LOGS, result(of_another_block)),
    "logs out of order": ("logs", LOGS, result(swapped)),
    "missing transfers": ("token_transfers", LOGS, result(without_last)),
    "no transfers": ("token_transfers", LOGS, result(lambda _p, _r: [])),
    "transfers cut off inside a block": ("token_transfers", LOGS, result(cut_off_inside_a_block)),
    "missing events": ("events.Transfer", LOGS, result(without_last)),
    "no events": ("events.Transfer", LOGS, result(lambda _p, _r: [])),
    "logs without data": ("token_transfers", LOGS, result(lambda _p, found: [{**log, "data": None} for log in found])),
    "logs with nonsense": ("logs", LOGS, result(lambda _p, found: [{**log, "topics": ["0xzz"]} for log in found])),
    "an address is demanded": ("logs", LOGS, error(-32701, "Please specify an address in your request")),
    "no transactions": ("blocks", BLOCK, result(lambda _p, found: {**found, "transactions": []})),
    "receipts without logs": (
        "receipts",
        RECEIPTS,
        result(lambda _p, found: [{**item, "logs": [], "logsBloom": "0x0"} for item in found]),
    ),
    "429": ("logs", LOGS, lambda _p, _a: Page(429, "slow down", {"Retry-After": "0.1"})),
    "429 in JSON": ("blocks", BLOCK, error(429, "Too Many Requests")),
    "-32005 rate": ("blocks", BLOCK, error(-32005, "daily request count exceeded, request rate limited")),
    "-32005 results": ("logs", LOGS, error(-32005, "query returned more than 10000 results")),
    "-32602 with a suggestion": ("logs", LOGS, error(-32602, f"Log response size exceeded. {SUGGESTION}")),
    "-32602 without": ("logs", LOGS, error(-32602, "invalid params")),
    "null block": ("blocks", BLOCK, result(lambda _p, _r: None)),
    "wrong block": ("transactions", BLOCK, result(of_another_height)),
    "null receipts": ("receipts", RECEIPTS, result(lambda _p, _r: None)),
    "missing receipts": ("receipts", RECEIPTS, result(without_last)),
    "swapped receipts": ("receipts", RECEIPTS, result(swapped)),
    "unknown block": ("receipts", RECEIPTS, error(-32000, "unknown block")),
    "HTML": ("transactions", BLOCK, lambda _p, _a: Page(502)),
    "HTML that says it is fine": ("transactions", BLOCK, lambda _p, _a: Page(200)),
    "not an answer": ("transactions", BLOCK, lambda _p, _a: Page(200, '{"jsonrpc": "2.0", "id"')),
    "another type": ("transactions", BLOCK, result(lambda _p, _r: ["what"])),
    "cut": ("transactions", BLOCK, cut),
    "slow": ("transactions", BLOCK, lambda _p, _a: Slowly(0.3)),
}


@pytest.mark.parametrize("name", PASSING)
async def test_passing_faults_change_nothing(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, name: str, tmp_path: Path
) -> None:
    node, _ = chain
    stream, method, change = PASSING[name]
    dataset = sqlite_dataset(tmp_path)
    fault = proxy.inject(method, change=change, times=4)
    # Where lists are proven by their roots, logs are read from receipts.
    config = {"url": proxy.url, "startBlock": 1, "maxBlockRange": 8, "events": EVENTS, "proveBackfill": method != LOGS}
    async with running(config, stream, dataset) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED[stream]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, stream, 1)
    assert fault.hits == 4


@pytest.mark.parametrize("fault", [without_last, cut_off_inside_a_block])
async def test_filtered_logs_are_whole(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, fault: Any, tmp_path: Path
) -> None:
    node, actors = chain
    dataset = sqlite_dataset(tmp_path)
    injected = proxy.inject(LOGS, change=result(fault), times=4)
    addresses = [actors.emitter]
    config = {"url": proxy.url, "startBlock": 1, "maxBlockRange": 8, "addresses": addresses, "proveBackfill": False}
    async with running(config, "logs", dataset) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED["logs"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "logs", 1)
    assert injected.hits == 4


@pytest.mark.parametrize("change", [{"logsBloom": None}, {}])
@pytest.mark.parametrize("stream", ["logs", "token_transfers"])
async def test_blocks_without_a_bloom_may_have_logs(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, stream: str, change: dict[str, Any], tmp_path: Path
) -> None:
    node, _ = chain

    def unknown(_params: list[Any], found: Any) -> Any:
        return {**{name: value for name, value in found.items() if name != "logsBloom"}, **change} if found else found

    proxy.inject(BLOCK, change=result(unknown))
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": proxy.url, "startBlock": 1}, stream, dataset) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED[stream]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, stream, 1)


async def test_withdrawals_are_all_there(chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path) -> None:
    """A development node has none, so they are put into its blocks on the way; and left out four times."""
    node, _ = chain
    first = node.head() - 3

    def paid(_params: list[Any], found: Any) -> Any:
        serial = int(found["number"], 16) * 2
        withdrawals: list[Any] = [
            {"index": hex(serial + place), "validatorIndex": hex(place), "address": f"0x{place:040x}", "amount": hex(2**63 + place)}
            for place in range(2)
        ]  # fmt: skip
        return {**found, "withdrawalsRoot": withdrawals_root(withdrawals), "withdrawals": withdrawals}

    left_out = proxy.inject(
        BLOCK, change=result(lambda _p, found: {**found, "withdrawalsRoot": FOREIGN, "withdrawals": []}), times=4
    )
    proxy.inject(BLOCK, change=result(paid))
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": proxy.url, "startBlock": first}, "withdrawals", dataset) as task:
        await until_head(dataset, node, task)
    found = dataset.query("SELECT block_hash, withdrawal_index, validator_index, address, amount FROM chain")
    assert comparable(found) == comparable(
        [
            (node.block(height)["hash"], height * 2 + place, place, f"0x{place:040x}", 2**63 + place)
            for height in range(first, node.head() + 1)
            for place in range(2)
        ]
    )
    assert left_out.hits == 4


@pytest.mark.parametrize(
    ("stream", "change", "pattern"),
    [
        ("receipts", error(4444, "pruned history unavailable"), "4444.*archive node"),
        ("receipts", error(-32000, "invalid API key"), "configFrom"),
        ("receipts", lambda _p, _a: Page(401, "no"), "401.*configFrom"),
        ("receipts", lambda _p, _a: Page(404, "no"), "check url"),
    ],
)
async def test_final_refusals_end_the_run_and_say_what_to_do(
    proxy: FaultProxy, stream: str, change: Change, pattern: str, tmp_path: Path
) -> None:
    proxy.inject(RECEIPTS, change=change)
    async with running({"url": proxy.url, "startBlock": 1}, stream, sqlite_dataset(tmp_path)) as task:
        with pytest.raises(ActionRequiredError, match=pattern):
            await asyncio.wait_for(task, 60)


async def test_a_node_without_block_receipts_is_asked_for_each(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    node, _ = chain
    proxy.inject(RECEIPTS, change=error(-32601, "the method eth_getBlockReceipts does not exist/is not available"))
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": proxy.url, "startBlock": 1}, "receipts", dataset) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED["receipts"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "receipts", 1)


async def test_a_provider_that_allows_five_blocks_a_query(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    node, _ = chain

    def limited(params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        bounds = params[0]
        if "fromBlock" in bounds and int(bounds["toBlock"], 16) - int(bounds["fromBlock"], 16) >= 5:
            return error(-32600, "eth_getLogs is limited to a 5 range")([], answer)  # type: ignore[return-value]
        return answer

    proxy.inject(LOGS, change=limited)
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": proxy.url, "startBlock": 1}, "logs", dataset) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED["logs"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "logs", 1)
