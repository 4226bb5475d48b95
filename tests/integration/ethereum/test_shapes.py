"""Nodes and chains of other shapes: what they answer is read as it is, or a person is told."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.ethereum.chains import EXPECTED, canonical, comparable
from tests.integration.ethereum.running import running, sqlite_dataset, until_head
from tests.servers.anvil import AnvilServer
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
