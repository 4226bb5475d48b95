"""Kills while rows flow: of the node, which loses its last blocks, and of the runner, a process of its own, by SIGKILL."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.ethereum.running import Dataset, Lines, running, sqlite_dataset, until_head
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EXPECTED, busy_block, canonical, comparable
from tests.simulators.ethereum.contracts import Actors

RUNNER = Path(sys.executable).with_name("connector-runner")
START = 2


@pytest.fixture
def node() -> Iterator[AnvilServer]:
    with AnvilServer() as server:
        yield server


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_the_node_is_killed(node: AnvilServer, dataset: Dataset, transport: str) -> None:
    """It goes back to where it was last stopped: a rollback, then other blocks at the same heights."""
    actors = Actors(node)
    chance = random.Random(11)
    node.mine(8)
    node.stop()
    node.start()
    log = Lines()
    url = node.websocket_url if transport == "websocket" else node.url
    async with running({"url": url, "startBlock": START}, "logs", dataset, log=log) as task:
        for serial in range(1, 4):
            for _ in range(4):
                busy_block(actors, chance)
                node.mine()
            await until_head(dataset, node, task)
            highest = node.head()
            node.kill()
            node.start()
            actors.pay(serial)
            node.mine(highest + 2 - node.head())
            await until_head(dataset, node, task)
    columns, _ = EXPECTED["logs"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "logs", START)
    assert log.counts["retracted_blocks"] >= 12


def wait(condition: Callable[[], bool], runner: subprocess.Popen[bytes], errors: Path) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert runner.poll() is None, errors.read_text()
        assert time.monotonic() < end, f"not within a minute: {errors.read_text()}"
        time.sleep(0.02)


def test_the_runner_is_killed(node: AnvilServer, tmp_path: Path) -> None:
    actors = Actors(node)
    chance = random.Random(12)
    node.mine(5)
    dataset = sqlite_dataset(tmp_path)
    documents = [
        {
            "kind": "Connector", "metadata": {"name": "chain"},
            "spec": {
                "connectorType": "ETHEREUM", "datasetId": "chain", "selectedStream": "logs", "status": "running",
                "config": {"url": node.url, "startBlock": START},
            },
        },
        {"kind": "Dataset", "metadata": {"name": "chain"}, "spec": {"url": dataset.url, "table": "chain"}},
    ]  # fmt: skip
    manifest, errors = tmp_path / "connector.yaml", tmp_path / "errors"
    manifest.write_text("\n---\n".join(json.dumps({"apiVersion": "apperate.io/v1", **part}) for part in documents))

    def is_at_head() -> bool:
        return bool(dataset.position().get("hash") == node.block("latest")["hash"])

    for _ in range(6):
        with errors.open("w") as output:
            runner = subprocess.Popen([RUNNER, "run", "-f", manifest], stderr=output)
        try:
            wait(is_at_head, runner, errors)
            before = dataset.position()
            for _ in range(3):
                busy_block(actors, chance)
                node.mine()
                node.reorganise(2, actors.replacement(chance.randrange(1, 10**9)))
            wait(lambda before=before: dataset.position() != before, runner, errors)  # type: ignore[misc]
        finally:
            runner.kill()
            runner.wait()
    with errors.open("w") as output:
        runner = subprocess.Popen([RUNNER, "run", "-f", manifest], stderr=output)
    try:
        wait(is_at_head, runner, errors)
    finally:
        runner.kill()
        runner.wait()
    columns, _ = EXPECTED["logs"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "logs", START)
