"""examples/kafka without a cluster, as in its README: run, look, stop, kill, go on; no trade is missing and none is there twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.coinbase.test_example import RUNNER, stop, wait
from tests.kit.kafka_dataset import KafkaDataset
from tests.servers.kafka import KafkaServer
from tests.simulators.coinbase.process import Simulator

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]
EXAMPLE = Path(__file__).parents[3] / "examples" / "kafka" / "connector.yaml"


def test_the_example_works_by_hand(kafka_server: KafkaServer, tmp_path: Path) -> None:
    topics = KafkaDataset(kafka_server, tmp_path).topics
    with Simulator(rate=40) as simulator, ExitStack() as started:
        text = EXAMPLE.read_text()
        for given, here in {
            "ws://127.0.0.1:8765": simulator.urls["url"],
            "http://127.0.0.1:8765": simulator.urls["restUrl"],
            "127.0.0.1:9092": kafka_server.address,
        }.items():
            assert given in text
            text = text.replace(given, here)
        manifest = tmp_path / "connector.yaml"
        manifest.write_text(text)

        def run(*command: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [RUNNER, *command, "-f", manifest], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "4000"},
            )  # fmt: skip
            started.callback(stop, process)
            return process

        def ids(product: str) -> list[int]:
            rows = [json.loads(message.value() or b"{}") for message in topics.committed("raw.trades", waits=False)]
            return sorted(row["trade_id"] for row in rows if row["product_id"] == product)

        def newest() -> int:
            return max(ids("BTC-USD"), default=0)

        runner = run("run")
        wait(lambda: len(ids("BTC-USD")) > 5, runner)
        shown, errors = run("rows").communicate(timeout=120)
        assert "LINK-USD" in shown, errors
        stands, errors = run("checkpoint", "show").communicate(timeout=120)
        assert "raw.trades" in stands, errors
        assert stop(runner) == 143
        for number in (signal.SIGKILL, signal.SIGINT):
            at = simulator.truth()["last_trade_id"]["BTC-USD"]
            runner = run("run")
            wait(lambda at=at: newest() > at, runner)  # type: ignore[misc]
            assert stop(runner, number) == (143 if number == signal.SIGINT else -number)
        for product in ("BTC-USD", "LINK-USD"):
            found = ids(product)
            assert found == list(range(found[0], found[-1] + 1))
