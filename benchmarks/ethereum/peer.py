"""ethereum-etl 2.4.2 on the same node: its export to CSV, and its PostgreSQL exporter; its start (what one block takes) taken off."""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.servers.ethereum_etl import ethereum_etl, export_blocks, python

PROGRAM = Path(__file__).with_name("etl_to_postgresql.py")


def cpu_seconds(who: int) -> float:
    """User and system time of this process or of its children that have ended."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _rate(export: Callable[[int], float], count: int) -> dict[str, float]:
    """From what `count` blocks and one block take."""

    def measured(blocks: int) -> tuple[float, float]:
        used = cpu_seconds(resource.RUSAGE_CHILDREN)
        return export(blocks), cpu_seconds(resource.RUSAGE_CHILDREN) - used

    (many, many_cpu), (one, one_cpu) = measured(count), measured(1)
    return {"blocks/s": (count - 1) / (many - one), "ms of CPU a block": (many_cpu - one_cpu) / (count - 1) * 1000}


def measure_peer(url: str, database: str, first: int, count: int) -> dict[str, dict[str, float]]:
    """Blocks and transactions, by where they go."""
    ethereum_etl()

    def to_csv(blocks: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            export_blocks(url, first, first + blocks - 1, Path(folder))
            return time.perf_counter() - start

    def to_postgresql(blocks: int) -> float:
        target = database.replace("postgresql://", "postgresql+pg8000://")
        command = [str(python()), str(PROGRAM), url, target, str(first), str(first + blocks - 1)]
        return float(subprocess.run(command, check=True, capture_output=True).stdout)

    return {"CSV": _rate(to_csv, count), "PostgreSQL": _rate(to_postgresql, min(count, 100))}


def compare(end_to_end: list[dict[str, Any]], peer: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Blocks a second of both streams together, as two connectors one after the other, beside the peer's."""

    def both(measured: Callable[[dict[str, Any]], float], sink: str) -> float:
        rows = [row for row in end_to_end if row["sink"] == sink and row["stream"] in ("blocks", "transactions")]
        return 1 / sum(1 / measured(row) for row in rows)

    ours = {
        "into memory, beside CSV": (both(lambda row: row["source alone, blocks/s"], "sqlite"), "CSV"),
        "into SQLite, beside CSV": (both(lambda row: row["blocks/s"], "sqlite"), "CSV"),
        "into PostgreSQL, beside PostgreSQL": (both(lambda row: row["blocks/s"], "postgresql"), "PostgreSQL"),
    }
    return {
        name: {
            "blocks/s": rate,
            "ethereum-etl, blocks/s": peer[kind]["blocks/s"],
            "ratio": rate / peer[kind]["blocks/s"],
        }
        for name, (rate, kind) in ours.items()
    }
