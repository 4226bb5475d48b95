"""examples/lake by hand, as in its README: run, look, kill, go on; read by deltalake."""

from __future__ import annotations

import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from tests.integration.coinbase.test_example import RUNNER, stop, wait
from tests.simulators.coinbase.process import Simulator

EXAMPLE = Path(__file__).parents[3] / "examples" / "lake"


def trades(table: Path) -> list[tuple[str, int]]:
    try:
        found = DeltaTable(table).to_pyarrow_table(columns=["product_id", "trade_id", "_op"]).to_pylist()
    except TableNotFoundError:
        return []
    assert {row["_op"] for row in found} <= {"upsert", "insert"}
    return sorted((row["product_id"], row["trade_id"]) for row in found)


def test_the_lake_example_works_by_hand(tmp_path: Path) -> None:
    with Simulator(rate=40) as simulator, ExitStack() as started:
        text = (EXAMPLE / "connector.yaml").read_text()
        text = text.replace("ws://127.0.0.1:8765", simulator.urls["url"])
        text = text.replace("http://127.0.0.1:8765", simulator.urls["restUrl"])
        manifest = tmp_path / "connector.yaml"
        manifest.write_text(text)
        table, before = tmp_path / "lake" / "trades", 0
        for ends_by in (signal.SIGKILL, signal.SIGINT):
            process = subprocess.Popen(
                [RUNNER, "run", "-f", manifest],
                cwd=tmp_path,
                text=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            started.callback(stop, process)
            wait(lambda before=before: len(trades(table)) > before, process)  # type: ignore[misc]
            stop(process, ends_by)
            before = len(trades(table))
        found = trades(table)
        assert len(found) == len(set(found)), "a trade is there twice"
        for product in {product for product, _ in found}:
            numbers = [number for other, number in found if other == product]
            assert numbers == list(range(numbers[0], numbers[-1] + 1)), "a trade is missing"
        shown = subprocess.run(
            [RUNNER, "rows", "-f", manifest], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert "trade_id" in shown.stdout
