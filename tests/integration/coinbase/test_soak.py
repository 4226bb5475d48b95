"""Two minutes of faults and kills: what the datasets hold afterwards equals the simulator's truth, on SQLite and PostgreSQL.

Four real runners (matches and level2_batch into each kind of dataset) read one simulated exchange. They are killed and started
again while every kind of fault occurs; then the market stops and everything is compared.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.coinbase.datasets import PostgresDataset, SqliteDataset, StoredDataset
from tests.kit.waiting import wait_until
from tests.servers.postgresql import PostgresServer
from tests.simulators.coinbase.faults import Fault
from tests.simulators.coinbase.process import Simulator

PRODUCTS = ("BTC-USD", "ETH-USD", "LINK-USD", "SOL-USD")
SECONDS = 125.0
KILLS = 20
STRIKES = 10
STUCK = 90.0
ROOT = Path(__file__).parents[3]
FROM_REST = ("sequence", "maker_order_id", "taker_order_id")
# Of one product alone, and found only while it trades: test_surroundings has them.
STRUCK = [fault for fault in Fault if fault not in {Fault.MUTE, Fault.NO_HEARTBEAT}]


@dataclass
class Runner:
    """`connector-runner run` as a process, killed and started again."""

    folder: Path
    dataset: StoredDataset
    stream: str
    config: dict[str, Any]
    kills: int = 0
    began_at: int = 0
    process: subprocess.Popen[bytes] | None = None
    ends: Counter[int] = field(default_factory=Counter)

    def start(self) -> None:
        manifest = self.folder / "manifest.yaml"
        if not manifest.exists():
            self.folder.mkdir()
            documents = [
                {"kind": "Dataset", "metadata": {"name": "market"}, "spec": {"url": self.dataset.url}},
                {
                    "kind": "Connector",
                    "metadata": {"name": "soak"},
                    "spec": {
                        "connectorType": "COINBASE",
                        "datasetId": "market",
                        "config": self.config,
                        "selectedStream": self.stream,
                        "status": "running",
                    },
                },
            ]
            header = {"apiVersion": "apperate.io/v1"}
            manifest.write_text("\n---\n".join(json.dumps(header | document) for document in documents))
        command = [sys.executable, "-m", "connector_runner.cli", "run", "-f", str(manifest)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(ROOT)}
            )
        self.began_at = self.dataset.commits()

    def has_moved(self) -> bool:
        """Whether something was committed since it was started."""
        return self.dataset.commits() > self.began_at

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def check(self) -> None:
        """A runner never ends by itself."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.folder.name} ended with {self.process.returncode}:\n{self.log()}")

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def log(self) -> str:
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-25:])


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(products=",".join(PRODUCTS), rate=60, history=200, depth=200) as simulator:
        yield simulator


@pytest.fixture
def runners(simulator: Simulator, tmp_path: Path) -> Iterator[list[Runner]]:
    config = simulator.config(*PRODUCTS)
    with PostgresServer() as server:
        datasets: list[Callable[[str], StoredDataset]] = [
            lambda name: SqliteDataset(tmp_path / f"{name}.db"),
            lambda name: PostgresDataset(server, name),
        ]
        runners = [
            Runner(tmp_path / f"{stream}-{number}", build(f"{stream}_{number}"), stream, config)
            for stream in ("matches", "level2_batch")
            for number, build in enumerate(datasets)
        ]
        try:
            yield runners
        finally:
            for runner in runners:
                if runner.process is not None:
                    runner.process.kill()
                    runner.process.wait()


@pytest.mark.timeout(900)
def test_two_minutes_of_faults_and_kills(
    simulator: Simulator, runners: list[Runner], capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(6)
    for runner in runners:
        runner.start()
    wait_for(lambda: all(runner.dataset.has_rows() for runner in runners), 60, runners)
    began = progressed = time.monotonic()
    before = told(simulator, runners)
    while not is_enough(time.monotonic() - began, simulator, runners):
        rarest = sorted(STRUCK, key=lambda fault: (simulator.truth()["faults"][fault], chance.random()))
        simulator.arm(rarest[0])
        time.sleep(chance.uniform(0.5, 1.0))
        for runner in runners:
            runner.check()
        runner = min(runners, key=lambda runner: (runner.kills, chance.random()))
        if runner.has_moved():
            runner.kill()
            runner.start()
        if (now := told(simulator, runners)) != before:
            before, progressed = now, time.monotonic()
        assert time.monotonic() - progressed < STUCK, f"no kill and no fault for {STUCK} s: {now}"
    lines = [f"{time.monotonic() - began:.0f} s; {told(simulator, runners)}"]
    settle(simulator, runners)
    for runner in runners:
        assert runner.stop() == 143, runner.log()
        compare = compare_trades if runner.stream == "matches" else compare_books
        lines.append(compare(simulator, runner.dataset))
    with capsys.disabled():  # shown also when the test passes
        print("", *lines, sep="\n")


def is_enough(seconds: float, simulator: Simulator, runners: list[Runner]) -> bool:
    struck = simulator.truth()["faults"]
    return (
        seconds >= SECONDS
        and all(runner.kills >= KILLS for runner in runners)
        and all(struck[fault] >= STRIKES for fault in STRUCK)
    )


def told(simulator: Simulator, runners: list[Runner]) -> str:
    kills = {runner.folder.name: runner.kills for runner in runners}
    return f"kills: {kills}; faults: {simulator.truth()['faults']}"


def settle(simulator: Simulator, runners: list[Runner]) -> None:
    """A few more trades without faults; then nothing happens in the market until every dataset is at its head."""
    wait_for(lambda: simulator.truth()["subscribed"] >= len(runners), 90, runners)
    simulator.market(burst=200)
    simulator.market(rate=0)
    newest = simulator.truth()["last_trade_id"]
    for runner in runners:
        if runner.stream == "matches":
            wait_for(lambda runner=runner: runner.dataset.newest() == newest, 150, runners)  # type: ignore[misc]
        else:
            wait_for(lambda runner=runner: not differing_books(simulator, runner.dataset), 90, runners)  # type: ignore[misc]


def wait_for(condition: Callable[[], bool], seconds: float, runners: list[Runner]) -> None:
    def check() -> None:
        for runner in runners:
            runner.check()

    def logs() -> str:
        return "\n".join(f"{runner.folder.name}:\n{runner.log()}" for runner in runners)

    wait_until(condition, logs, seconds, check=check, pause=0.2)


def compare_trades(simulator: Simulator, dataset: StoredDataset) -> str:
    """Every trade is there once, as in the feed or in REST; trades that are missing are recorded, and no others."""
    hidden = simulator.truth()["hidden"]
    filled = 0
    for product in PRODUCTS:
        rows = dataset.trades(product)
        first = min(rows)
        lost = {n for n in hidden.get(product, ()) if n > first}
        assert dataset.gap_ids(product) == lost
        truth = {
            trade["trade_id"]: trade for trade in simulator.trades(product, first) if trade["trade_id"] not in lost
        }
        assert rows.keys() == truth.keys()
        for trade_id, row in rows.items():
            trade = truth[trade_id]
            from_rest = row["sequence"] is None
            filled += from_rest
            for name in FROM_REST:
                assert row[name] == (None if from_rest else trade[name]), (product, trade_id, name)
            assert (row["side"], row["price"], row["size"]) == (
                trade["side"],
                Decimal(trade["price"]),
                Decimal(trade["size"]),
            )
            assert row["time"] == datetime.fromisoformat(trade["time"])
    assert filled > 0
    return f"{dataset.url.partition(':')[0]}: {dataset.count()} trades, {filled} of them from REST"


def differing_books(simulator: Simulator, dataset: StoredDataset) -> list[str]:
    """Products whose book in the dataset is not the exchange's."""
    return [
        product
        for product in PRODUCTS
        if dataset.book(product)
        != {
            (side, Decimal(price)): Decimal(size)
            for side, levels in simulator.book(product).items()
            for price, size in levels.items()
        }
    ]


def compare_books(simulator: Simulator, dataset: StoredDataset) -> str:
    assert differing_books(simulator, dataset) == []
    assert dataset.incident_kinds() == {"resnapshot"}
    return f"{dataset.url.partition(':')[0]}: {dataset.count()} levels"
