"""geth behind a consensus client, which is the test: reorganisations by the engine API, and tags before there is finality."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.sources.ethereum import build_source
from connector_runner.sources.ethereum.endpoints import outage
from tests.integration.ethereum.running import (
    Counters,
    Dataset,
    Lines,
    checked,
    running,
    sqlite_dataset,
    until,
    until_head,
)
from tests.servers.anvil import NodeError
from tests.servers.geth import geth
from tests.servers.geth_engine import EngineGethServer
from tests.simulators.ethereum.chains import EXPECTED, canonical, comparable

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1500)]  # the first run builds geth
FIRST = 1


@pytest.fixture
def node() -> Iterator[EngineGethServer]:
    geth()
    with EngineGethServer() as server:
        yield server


def blocks_of(dataset: Dataset) -> list[tuple[Any, ...]]:
    columns, _ = EXPECTED["blocks"]
    return comparable(dataset.query(f"SELECT {columns} FROM chain"))


def withdrawals_of(node: EngineGethServer) -> list[tuple[Any, ...]]:
    blocks = [node.block(height) for height in range(FIRST, node.head() + 1)]
    return comparable(
        [
            (block["hash"], int(item["index"], 16), int(item["amount"], 16))
            for block in blocks
            for item in block["withdrawals"]
        ]
    )


@pytest.mark.parametrize("kind", ["http", "websocket", "ipc"])
async def test_branches_that_the_engine_chooses(node: EngineGethServer, kind: str, tmp_path: Path) -> None:
    url = {"http": node.url, "websocket": node.websocket_url, "ipc": node.ipc_path}[kind]
    first = [node.extend(10 * height, height, 7) for height in range(1, 7)]
    blocks, withdrawals = sqlite_dataset(tmp_path), sqlite_dataset(tmp_path, "withdrawals")
    log = Lines()
    config = {"url": url, "startBlock": FIRST}
    async with (
        running(config, "blocks", blocks, log=log) as one,
        running(config, "withdrawals", withdrawals) as other,
    ):

        async def both() -> None:
            await until_head(blocks, node, one)
            await until_head(withdrawals, node, other)
            assert blocks_of(blocks) == canonical(node, "blocks", FIRST)
            found = comparable(withdrawals.query("SELECT block_hash, withdrawal_index, amount FROM withdrawals"))
            assert found == withdrawals_of(node)

        await both()
        node.choose(first[2])  # an ancestor: the node's head goes back, and nobody says that a block was removed
        assert node.head() == 3
        second = [node.extend(10 * height + 5, 100 + height) for height in range(4, 9)]
        await both()
        assert log.counts["retracted_blocks"] == 3
        node.choose(first[5])  # the other branch again, which is shorter, and a block on it
        for height in range(7, 10):
            node.extend(10 * height + 6, height)
        await both()
        node.choose(second[4])
        node.extend(120, final=second[0])
        node.extend(130, final=second[0])
        await both()
    assert log.counts["reorganisations"] >= 2


def announced_logs(node: EngineGethServer, socket: ClientConnection) -> list[tuple[int, bool]]:
    """What was said since the last time: of each log its block and whether it was removed; a head ends it."""
    found: list[tuple[int, bool]] = []
    while True:
        said = json.loads(socket.recv(timeout=60))["params"]["result"]
        if "logIndex" not in said:
            if said["hash"] == node.block("latest")["hash"]:
                return found
        else:
            found.append((int(said["blockNumber"], 16), said["removed"]))


async def test_logs_that_are_announced_again(node: EngineGethServer, tmp_path: Path) -> None:
    """A fork choice back to an ancestor sends the logs of that block again although they were never removed: they are stored once."""
    own = [node.extend(10 * height, logs=True) for height in range(1, 6)]
    dataset = sqlite_dataset(tmp_path)
    log = Lines()
    with connect(node.websocket_url) as socket:
        for number, kind in enumerate(("logs", "newHeads")):
            call = {
                "id": number,
                "jsonrpc": "2.0",
                "method": "eth_subscribe",
                "params": [kind, *([{}] * (kind == "logs"))],
            }
            socket.send(json.dumps(call))
            assert "result" in json.loads(socket.recv(timeout=60))
        async with running({"url": node.websocket_url, "startBlock": FIRST}, "logs", dataset, log=log) as task:
            columns, _ = EXPECTED["logs"]

            async def is_right() -> None:
                await until_head(dataset, node, task)
                found = comparable(dataset.query(f"SELECT {columns} FROM chain"))
                assert found == canonical(node, "logs", FIRST)

            await is_right()
            node.choose(own[2])
            assert (3, False) in announced_logs(node, socket)
            for height in range(4, 8):
                node.extend(10 * height + 5, logs=True)
            await is_right()
            node.choose(own[4])
            node.extend(100, logs=True)
            for height in range(7, 10):
                node.extend(10 * height + 100, logs=True)
            await is_right()
    assert log.counts["reorganisations"] >= 2


async def test_a_tag_before_there_is_finality(
    node: EngineGethServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "REPORTED_AFTER", 1.0)
    own = [node.extend(10 * height) for height in range(1, 6)]
    with pytest.raises(NodeError, match="finalized block not found"):
        node.block("finalized")
    log = Lines()
    config = {"url": node.url, "startBlock": FIRST, "finality": "finalized"}
    context = SourceContext(checked(config), "tests/geth", WriteMode.UPSERT, Telemetry(log, Counters(log)))
    found = await build_source(context).discover("blocks")
    assert any("knows no finalized block now" in note for note in found.notes), found.notes
    dataset = sqlite_dataset(tmp_path)
    async with running(config, "blocks", dataset, log=log) as task:
        await until(
            lambda: any(line.startswith("warning") and "finalized block not found" in line for line in log.lines),
            "what the node said is told",
            task,
        )
        assert not blocks_of(dataset)
        for height, final in ((6, own[2]), (7, own[4])):
            node.extend(10 * height, final=final)
            await until(lambda final=final: dataset.position().get("hash") == final, "the final block is there", task)  # type: ignore[misc]
    assert sorted(row[1] for row in blocks_of(dataset)) == [1, 2, 3, 4, 5]
