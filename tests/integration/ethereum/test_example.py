"""examples/ethereum without a cluster, as in its README: discover, run, look, reorganise, stop, continue."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.integration.ethereum.running import Dataset, sqlite_dataset
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.contracts import Actors, erc20
from tests.simulators.ethereum.tables import QUERY, STREAMS, disagreement, rows_of

EXAMPLE = Path(__file__).parents[3] / "examples" / "ethereum"
RUNNER = Path(sys.executable).with_name("connector-runner")
SENDER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
README = (EXAMPLE / "README.md").read_text()
SEND, REORGANISE = re.findall(r"`(curl [^`]+)`", README)
MANY = re.findall(r"`connector-runner ([^`]+ -f many\.yaml[^`]*)`", README)
COUNTS = re.findall(r"`sqlite3 many\.db '([^']+)'`", README)


def wait(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "not within two minutes"
        time.sleep(0.05)


def stop(process: subprocess.Popen[str]) -> int:
    """Ctrl-C, if it still runs; its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    return process.returncode


def type_curl(command: str, node: AnvilServer) -> None:
    """A command of the README, with another port."""
    assert "http://127.0.0.1:8545" in command
    typed = command.replace("http://127.0.0.1:8545", node.url).replace("curl ", "curl -sS ", 1)
    answer = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, check=True).stdout
    assert "error" not in json.loads(answer), answer


def test_the_example_works_by_hand(tmp_path: Path) -> None:
    with AnvilServer(["--block-time", "1"]) as node, ExitStack() as started:
        manifest = tmp_path / "connector.yaml"
        manifest.write_text((EXAMPLE / "connector.yaml").read_text().replace("ws://127.0.0.1:8545", node.websocket_url))
        dataset = sqlite_dataset(tmp_path, "transactions")
        dataset.url = f"sqlite:///{tmp_path}/chain.db"

        def run(command: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [RUNNER, command, "-f", manifest], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "COLUMNS": "4000"},
            )  # fmt: skip
            started.callback(stop, process)
            return process

        listed, errors = run("discover").communicate(timeout=120)
        assert "token_transfers" in listed, errors
        runner = run("run")
        type_curl(SEND, node)
        wait(lambda: len(dataset.query("SELECT 1 FROM transactions")) == 1, runner)
        shown, errors = run("rows").communicate(timeout=60)
        assert SENDER in shown, errors
        wait(lambda: node.head() > 3, runner)  # a block a second: there may be fewer than are to be replaced
        type_curl(SEND, node)
        wait(lambda: len(dataset.query("SELECT 1 FROM transactions")) == 2, runner)
        number, replaced = dataset.query("SELECT block_number, block_hash FROM transactions ORDER BY 1")[-1]
        deep = node.head() - number + 2  # one more, as there may be a new block meanwhile
        type_curl(REORGANISE.replace('"params":[3,', f'"params":[{deep},'), node)
        wait(lambda: replaced not in str(dataset.query("SELECT block_hash FROM transactions")), runner)
        wait(lambda: node.block(number)["hash"] in dataset.position()["_ring"], runner)
        assert stop(runner) == 143
        at = dataset.position()["number"]
        runner = run("run")
        wait(lambda: dataset.position()["number"] > at, runner)
        assert stop(runner) == 143


def test_the_example_of_many_streams_works_by_hand(tmp_path: Path) -> None:
    """Typed as the README says; the tables are one branch in every state that is seen."""
    discover, run, rows, show = (shlex.split(command) for command in MANY)
    with AnvilServer() as node, ExitStack() as started:
        text = (EXAMPLE / "many.yaml").read_text()
        assert "ws://127.0.0.1:8545" in text
        (tmp_path / "many.yaml").write_text(text.replace("ws://127.0.0.1:8545", node.websocket_url))
        dataset = Dataset(f"sqlite:///{tmp_path}/many.db")

        def start(command: list[str]) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [RUNNER, *command], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "COLUMNS": "4000"},
            )  # fmt: skip
            started.callback(stop, process)
            return process

        def has_all() -> bool:
            expected, found = rows_of(node, 0), set(dataset.query(QUERY))
            assert disagreement(found) == ""
            return found == expected

        listed, errors = start(discover).communicate(timeout=120)
        assert re.search(r"takes 5 of \d+ streams", " ".join(listed.split())), listed + errors
        actors = Actors(node)
        runner = start(run)
        wait(has_all, runner)
        for number in range(3):
            type_curl(SEND, node)
            actors.emit(erc20(actors.account, actors.other, number))
            node.mine()
        wait(has_all, runner)
        assert {stream for stream, *_ in rows_of(node, 0)} == set(STREAMS), "each table has rows to be compared"
        node.reorganise(3, actors.replacement(9))
        wait(has_all, runner)
        (counts,) = (dataset.query(query) for query in COUNTS)
        assert len(counts) == node.head() + 1
        assert [said for _, said, _ in counts] == [receipts for _, _, receipts in counts]
        shown, errors = start(rows).communicate(timeout=120)
        assert SENDER in shown, errors
        shown, errors = start(show).communicate(timeout=120)
        assert all(stream in shown for stream in STREAMS), shown + errors
        assert stop(runner) == 143
        type_curl(SEND, node)
        node.mine()
        runner = start(run)
        wait(has_all, runner)
        assert stop(runner) == 143
