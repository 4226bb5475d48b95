"""many_tables.json, and the tables that are made from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "many_tables.json"
SHAPES = {
    "one_busy": ("one row a transaction, one table busy", "one_busy"),
    "all_busy": ("one row a transaction, all tables in turn", "one_busy"),
    "ten_in_one": ("ten rows a transaction, one table busy", "ten_in_one"),
    "ten_in_five": ("ten rows a transaction, over five tables", "ten_in_one"),
}
"""A load → its title, and the load whose one stream alone it is compared with."""


def keep(dialect: str, results: Mapping[str, Any]) -> None:
    """Puts one dialect's results beside the other's."""
    document = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    document[dialect] = results
    RESULTS.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def build_block() -> str:
    """The tables of all dialects."""
    if not RESULTS.exists():
        return "Not measured yet."
    document = json.loads(RESULTS.read_text())
    return "\n".join(
        line for dialect in ("mysql", "mariadb") if dialect in document for line in _page(document[dialect])
    )


def _page(results: Mapping[str, Any]) -> Iterator[str]:
    count, found = results["tables"], results["processes"]
    yield f"### {count} tables of {results['server']}\n"
    singles = found["MB, alone"] * count
    yield (
        f"One runner: {found['MB, many']:.0f} MB resident, connections to the server: {found['connections']}, of them readers of the log: {found['log readers']}. "
        f"A runner of one table: {found['MB, alone']:.0f} MB, {found['log readers, alone']:.0f} reader; {count} of them would take "
        f"{singles:,.0f} MB, {singles / found['MB, many']:.0f} times as much (some were measured, and the mean multiplied).\n"
    )
    yield "| the log | into | rows/s, all tables selected | one stream alone = 1 | the same by CPU time | Debezium without a sink = 1 |"
    yield "|---|---|---|---|---|---|"
    for shape, (title, base) in SHAPES.items():
        figures, alone = results["log"][shape], results["log"][base]
        for dataset in ("SQLite", "PostgreSQL"):
            rate, used = figures[f"many, {dataset}"], figures[f"many, {dataset}, of CPU"]
            peer = f"{rate / figures['Debezium']:.1f}" if "Debezium" in figures else ""
            yield (
                f"| {title} | {dataset} | {rate:,.0f} | {rate / alone[f'alone, {dataset}']:.2f} | "
                f"{used / alone[f'alone, {dataset}, of CPU']:.2f} | {peer} |"
            )
    yield "\n| the copy | rows/s of all tables | one table with as many rows = 1 |\n|---|---|---|"
    for dataset, rates in results["copy"].items():
        yield f"| {dataset} | {rates['many']:,.0f} | {rates['many'] / rates['one']:.2f} |"
    lone = results["lone row"]
    yield f"\nA lone row, commit to dataset (SQLite), median: {lone['alone']:.2f} ms alone, {lone['many']:.2f} ms with all others idle beside it.\n"
