"""Nodes and chains with unusual responses: what they return is read as it is, or reported."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.ethereum.running import running, sqlite_dataset, until_head
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EVENTS, EXPECTED, canonical, comparable
from tests.simulators.ethereum.contracts import Actors
from tests.simulators.ethereum.proxy import Change, FaultProxy, error, result

TRACE = "debug_traceBlockByHash"
STRUCT_LOGS = {"gas": 21000, "failed": False, "returnValue": "", "structLogs": []}


def struct_logs(_params: list[Any], found: Any) -> Any:
    return [{"result": STRUCT_LOGS} for _ in found] if found else found


@pytest.mark.parametrize(
    "change",
    [
        result(struct_logs),
        error(-32000, "tracer callTracer not found"),
        error(-32602, "Invalid params: unsupported tracer callTracer"),
        error(-32603, "ReferenceError: callTracer is not defined in tracer"),
    ],
)
async def test_traces_are_read_by_the_other_method_where_one_makes_no_call_trees(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, change: Change, tmp_path: Path
) -> None:
    node, _ = chain
    proxy.inject(TRACE, change=change)
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": proxy.url, "startBlock": 1}, "traces", dataset) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED["traces"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "traces", 1)


def in_capitals(value: Any) -> Any:
    """All hexadecimal texts, as some providers write addresses (EIP-55) or everything."""
    if isinstance(value, str):
        return "0x" + value[2:].upper() if value.startswith("0x") else value
    if isinstance(value, dict):
        return {name: in_capitals(item) for name, item in value.items()}
    return [*map(in_capitals, value)] if isinstance(value, list) else value


def as_numbers(value: Any) -> Any:
    """Quantities as JSON numbers, and nothing after 0x for 0."""
    if isinstance(value, dict):
        return {
            name: ("0x" if item == "0x0" else int(item, 16))
            if name in QUANTITIES and isinstance(item, str)
            else as_numbers(item)
            for name, item in value.items()
        }
    return [*map(as_numbers, value)] if isinstance(value, list) else value


QUANTITIES = (
    "number", "timestamp", "gasUsed", "gasLimit", "baseFeePerGas", "size", "transactionIndex", "logIndex", "value", "nonce", "gas",
    "gasPrice", "type", "status", "cumulativeGasUsed", "effectiveGasPrice", "blockNumber", "maxFeePerGas", "v", "yParity",
    "maxPriorityFeePerGas", "chainId",
)  # fmt: skip


@pytest.mark.parametrize("proves", [True, False])
@pytest.mark.parametrize("form", [in_capitals, as_numbers])
@pytest.mark.parametrize("stream", EXPECTED)
async def test_other_forms_of_the_same_values_make_the_same_rows(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, stream: str, form: Any, proves: bool, tmp_path: Path
) -> None:
    node, actors = chain
    methods = ("eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getLogs", TRACE, "trace_block")
    proxy.inject(*methods[:3] if form is as_numbers else methods, change=result(lambda _p, found: form(found)))
    config = {
        "url": proxy.url,
        "startBlock": 1,
        "events": EVENTS,
        "addresses": [actors.emitter],
        "proveBackfill": proves,
    }
    dataset = sqlite_dataset(tmp_path)
    async with running(config, stream, dataset) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED[stream]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, stream, 1)


@pytest.mark.parametrize("places", ["address", "topics"])
@pytest.mark.parametrize("stream", ["token_transfers", "events.Transfer", "logs"])
@pytest.mark.parametrize("proves", [True, False])
async def test_topics_or_addresses_in_capitals(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, stream: str, places: str, proves: bool, tmp_path: Path
) -> None:
    node, actors = chain

    def changed(log: dict[str, Any]) -> dict[str, Any]:
        return {**log, places: in_capitals(log[places])}

    proxy.inject("eth_getLogs", change=result(lambda _p, found: [*map(changed, found)]))
    proxy.inject(
        "eth_getBlockReceipts",
        change=result(lambda _p, found: [{**item, "logs": [*map(changed, item["logs"])]} for item in found]),
    )
    config = {
        "url": proxy.url,
        "startBlock": 1,
        "events": EVENTS,
        "addresses": [actors.emitter],
        "proveBackfill": proves,
    }
    dataset = sqlite_dataset(tmp_path)
    async with running(config, stream, dataset) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED[stream]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, stream, 1)
