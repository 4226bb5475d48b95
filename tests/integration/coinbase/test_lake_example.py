"""examples/lake by hand, as in its README: run, look, kill, go on; read by deltalake and pyiceberg."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError

from tests.integration.coinbase.test_example import RUNNER, stop, wait
from tests.simulators.coinbase.process import Simulator

EXAMPLE = Path(__file__).parents[3] / "examples" / "lake"
COLUMNS = ["product_id", "trade_id", "_op"]
NOTHING = pa.table({name: [] for name in COLUMNS})


def read_delta(folder: Path) -> pa.Table:
    try:
        return DeltaTable(folder / "lake" / "trades").to_pyarrow_table(columns=COLUMNS)
    except TableNotFoundError:
        return NOTHING


def read_iceberg(folder: Path) -> pa.Table:
    if not (file := folder / "iceberg" / "catalog.db").exists():
        return NOTHING
    catalog = SqlCatalog("default", uri=f"sqlite:///{file}", init_catalog_tables="false")
    try:
        return catalog.load_table("default.trades").scan(selected_fields=tuple(COLUMNS)).to_arrow()
    except NoSuchTableError:
        return NOTHING
    finally:
        catalog.close()


@pytest.mark.parametrize(("file", "read"), [("connector.yaml", read_delta), ("iceberg.yaml", read_iceberg)])
def test_the_lake_example_works_by_hand(tmp_path: Path, file: str, read: Callable[[Path], pa.Table]) -> None:
    def trades() -> list[tuple[str, int]]:
        found = read(tmp_path).to_pylist()
        assert {row["_op"] for row in found} <= {"upsert", "insert"}
        return sorted((row["product_id"], row["trade_id"]) for row in found)

    with Simulator(rate=40) as simulator, ExitStack() as started:
        text = (EXAMPLE / file).read_text()
        text = text.replace("ws://127.0.0.1:8765", simulator.urls["url"])
        text = text.replace("http://127.0.0.1:8765", simulator.urls["restUrl"])
        manifest = tmp_path / "connector.yaml"
        manifest.write_text(text)
        before = 0
        for ends_by in (signal.SIGKILL, signal.SIGINT):
            process = subprocess.Popen(
                [RUNNER, "run", "-f", manifest],
                cwd=tmp_path,
                text=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            started.callback(stop, process)
            wait(lambda before=before: len(trades()) > before, process)  # type: ignore[misc]
            stop(process, ends_by)
            before = len(trades())
        found = trades()
        assert len(found) == len(set(found)), "a trade is there twice"
        for product in {product for product, _ in found}:
            numbers = [number for other, number in found if other == product]
            assert numbers == list(range(numbers[0], numbers[-1] + 1)), "a trade is missing"
        shown = subprocess.run(
            [RUNNER, "rows", "-f", manifest], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert "trade_id" in shown.stdout
