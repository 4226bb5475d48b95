"""examples/coinbase without a cluster, as in its README: discover, run, look, kill, stop, continue; and with a recording instead of the market."""

from __future__ import annotations

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

import yaml

from connector_runner.schemas.config import config_problems, config_schema, fill_defaults
from tests.integration.coinbase.datasets import SqliteDataset
from tests.simulators.coinbase.faults import Fault
from tests.simulators.coinbase.process import Simulator

EXAMPLE = Path(__file__).parents[3] / "examples" / "coinbase"
MANY = re.findall(r"`connector-runner ([^`]+ -f many\.yaml[^`]*)`", (EXAMPLE / "README.md").read_text())
RUNNER = Path(sys.executable).with_name("connector-runner")


class Trades(SqliteDataset):
    """The example's file."""

    def ids(self, product: str, what: str = "1 = 1") -> list[int]:
        found = self.query(f"SELECT trade_id FROM trades WHERE product_id = ? AND {what} ORDER BY 1", (product,))
        return [row[0] for row in found]


def wait(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "not within two minutes"
        time.sleep(0.05)


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> int:
    """Ctrl-C, if it still runs; its exit code."""
    if process.poll() is None:
        process.send_signal(number)
        process.communicate(timeout=60)
    return process.returncode


def test_the_example_works_by_hand(tmp_path: Path) -> None:
    with Simulator(rate=40) as simulator, ExitStack() as started:
        text = (EXAMPLE / "connector.yaml").read_text()
        text = text.replace("ws://127.0.0.1:8765", simulator.urls["url"])
        text = text.replace("http://127.0.0.1:8765", simulator.urls["restUrl"])
        assert "8765" not in text
        manifest = tmp_path / "connector.yaml"
        manifest.write_text(text)
        dataset = Trades(tmp_path / "trades.db")

        def run(command: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [RUNNER, command, "-f", manifest], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "COLUMNS": "4000"},
            )  # fmt: skip
            started.callback(stop, process)
            return process

        def newest() -> int:
            return max(dataset.ids("BTC-USD"), default=0)

        listed, errors = run("discover").communicate(timeout=120)
        assert "matches" in listed, errors
        runner = run("run")
        wait(lambda: len(dataset.ids("BTC-USD")) > 5, runner)
        shown, errors = run("rows").communicate(timeout=60)
        assert "LINK-USD" in shown, errors
        assert stop(runner) == 143
        simulator.market(burst=500)
        at = simulator.truth()["last_trade_id"]["BTC-USD"]
        runner = run("run")
        wait(lambda: newest() > at, runner)
        assert dataset.ids("BTC-USD", "sequence IS NULL"), "what happened meanwhile came from REST"
        assert stop(runner, signal.SIGKILL) == -signal.SIGKILL
        at = simulator.truth()["last_trade_id"]["BTC-USD"]
        runner = run("run")
        wait(lambda: newest() > at, runner)
        simulator.arm(Fault.DROP_SOCKET)
        wait(lambda: simulator.truth()["faults"][Fault.DROP_SOCKET] > 0, runner)
        at = simulator.truth()["last_trade_id"]["BTC-USD"]
        wait(lambda: newest() > at, runner)
        assert stop(runner) == 143
        for product in ("BTC-USD", "LINK-USD"):
            ids = dataset.ids(product)
            assert ids == list(range(ids[0], ids[-1] + 1))
        assert dataset.query("SELECT * FROM trades_incidents") == []


def test_the_example_of_many_streams_works_by_hand(tmp_path: Path) -> None:
    """Typed as the README says; the trades that were made while nothing ran are there, too."""
    discover, run, rows, show = (shlex.split(command) for command in MANY)
    products = ("BTC-USD", "LINK-USD")
    with Simulator(rate=40) as simulator, ExitStack() as started:
        text = (EXAMPLE / "many.yaml").read_text()
        text = text.replace("ws://127.0.0.1:8765", simulator.urls["url"])
        text = text.replace("http://127.0.0.1:8765", simulator.urls["restUrl"])
        assert "8765" not in text
        (tmp_path / "many.yaml").write_text(text)
        dataset = SqliteDataset(tmp_path / "market.db")

        def start(command: list[str]) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [RUNNER, *command], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "COLUMNS": "4000"},
            )  # fmt: skip
            started.callback(stop, process)
            return process

        def ids(product: str) -> list[int]:
            found = dataset.query("SELECT trade_id FROM matches WHERE product_id = ? ORDER BY 1", (product,))
            return [row[0] for row in found]

        def has_all() -> bool:
            tables = ("matches", "ticker", "level2_batch")
            found = [dataset.query(f"SELECT DISTINCT product_id FROM {table} ORDER BY 1") for table in tables]
            return found == [[(product,) for product in products]] * 3

        listed, errors = start(discover).communicate(timeout=120)
        assert re.search(r"takes 3 of \d+ streams", " ".join(listed.split())), listed + errors
        runner = start(run)
        wait(has_all, runner)
        shown, errors = start(rows).communicate(timeout=120)
        assert "LINK-USD" in shown, errors
        shown, errors = start(show).communicate(timeout=120)
        assert all(stream in shown for stream in ("matches", "ticker", "level2_batch")), shown + errors
        assert stop(runner) == 143
        simulator.market(burst=500)
        missed = simulator.truth()["last_trade_id"]
        runner = start(run)
        wait(lambda: all(max(ids(product)) > missed[product] for product in products), runner)
        wait(lambda: dataset.query("SELECT * FROM ticker_incidents") != [], runner)
        assert stop(runner) == 143
        for product in products:
            found = ids(product)
            assert found == list(range(found[0], found[-1] + 1))
        assert dataset.query("SELECT * FROM matches_incidents") == []


def test_the_connectors_of_the_example_are_configured_as_the_schema_wants() -> None:
    schema = config_schema("COINBASE")
    for name in ("connector.yaml", "cluster.yaml", "many.yaml", "many-cluster.yaml"):
        (connector,) = (
            document for document in yaml.safe_load_all((EXAMPLE / name).read_text()) if document["kind"] == "Connector"
        )
        assert config_problems(fill_defaults(connector["spec"]["config"], schema), schema) == ()


def test_what_is_read_of_a_recording_is_what_was_recorded(tmp_path: Path) -> None:
    """With REST, which knows what was replayed; a trade that the recording lacks is a gap."""
    ids = [*range(100, 140), *range(142, 180)]
    lines = [
        {
            "type": "match", "product_id": "BTC-USD", "trade_id": n, "sequence": n * 5, "side": "buy", "price": "10.10",
            "size": "0.5", "time": f"2026-01-01T00:00:{n // 10:02}.000000Z",
            "maker_order_id": f"ac928c66-ca53-498f-9c13-{n:012}", "taker_order_id": f"132fb6ae-456b-4654-b4e0-{n:012}",
        }
        for n in ids
    ]  # fmt: skip
    recording = tmp_path / "recording.jsonl"
    recording.write_text("\n".join(json.dumps(line) for line in lines))
    with Simulator(replay=recording, speed=10) as simulator:
        manifest = tmp_path / "connector.yaml"
        config = json.dumps(simulator.config("BTC-USD"))
        manifest.write_text(
            "{apiVersion: apperate.io/v1, kind: Dataset, metadata: {name: trades}, spec: {url: 'sqlite:///trades.db'}}\n---\n"
            "{apiVersion: apperate.io/v1, kind: Connector, metadata: {name: replay}, spec: {connectorType: COINBASE, "
            f"datasetId: trades, config: {config}, selectedStream: matches, status: running}}}}"
        )
        dataset = Trades(tmp_path / "trades.db")
        runner = subprocess.Popen(
            [RUNNER, "run", "-f", manifest], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            wait(lambda: dataset.ids("BTC-USD")[-1:] == [179], runner)
        finally:
            assert stop(runner) == 143
        assert dataset.ids("BTC-USD") == ids
        gaps = dataset.query("SELECT detail FROM trades_incidents")
        assert [json.loads(gap[0]) | {} for gap in gaps] == [
            {"product_id": "BTC-USD", "from": 140, "to": 141, "count": 2}
        ]
