"""results.json, and what is made from it: README.md's tables and rates.svg. `python -m benchmarks.mysql.report` makes them anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.mysql.chart import draw
from benchmarks.mysql.many_report import build_block
from benchmarks.mysql.peers.programs import ASYNCMY, DEBEZIUM, MYSQL_REPLICATION
from generate.blocks import fill

HERE = Path(__file__).parent
RESULTS, README, CHART = HERE / "results.json", HERE / "README.md", HERE / "rates.svg"
WHATS = {"copy": "copy", "bulk": "log, in bulk", "single": "log, one-row transactions"}
DATASETS = ("SQLite", "PostgreSQL")
PEERS = {
    "mysql-replication": f"mysql-replication {MYSQL_REPLICATION}",
    "asyncmy": f"asyncmy {ASYNCMY}",
    "Debezium, raw": f"Debezium {DEBEZIUM}, raw records",
    "Debezium, json": f"Debezium {DEBEZIUM}, JSON",
}
Results = Mapping[str, Any]


def keep(dialect: str, results: Results) -> None:
    """Puts one dialect's results beside the other's, and makes page and chart anew."""
    document = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    document[dialect] = results
    RESULTS.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    write_files()


def write_files() -> None:
    """Makes page and chart anew."""
    for path, text in build_files().items():
        path.write_text(text)


def build_files() -> dict[Path, str]:
    """Page and chart as they follow from results.json."""
    document = json.loads(RESULTS.read_text())
    tables = "\n".join(line for results in _in_order(document) for line in (*_page(results), ""))
    panels = {
        (results["conditions"]["server"], title): _bars(results, what)
        for results in _in_order(document)
        for what, title in WHATS.items()
    }
    return {
        README: fill(README.read_text(), {"results": lambda: tables, "many tables": build_block}),
        CHART: draw(panels),
    }


def _in_order(document: Results) -> list[Results]:
    return [document[dialect] for dialect in ("mysql", "mariadb") if dialect in document]


def _page(results: Results) -> Iterator[str]:
    facts = results["conditions"]
    yield f"### {facts['server']}\n"
    yield (
        f"{facts['rows']:,} rows in bulk, {facts['one-row transactions']:,} one-row transactions, {_rounds(facts['rounds'])}, "
        f"Python {facts['python']}, {facts['cores']} cores; load average {facts['load average before']:.1f} before, "
        f"{facts['load average, median while measuring']:.1f} while measuring (highest {facts['load average, highest']:.1f}).\n"
    )
    yield from _readers(results)
    yield from _stored(results)
    yield "| commit to dataset at 1,000 rows/s | p50, ms | p99, ms | rows/s written |\n|---|---|---|---|"
    for name, lag in results["latency"].items():
        yield f"| {name} | {lag['p50']:.1f} | {lag['p99']:.1f} | {lag['rows/s']:,.0f} |"
    if copied := results.get("large copy"):
        yield (
            f"\nA runner's copy of {copied['rows']:,} rows into SQLite: at most {copied['MB']:.0f} MB resident, "
            f"{copied['rows'] / copied['seconds']:,.0f} rows/s."
        )


def _readers(results: Results) -> Iterator[str]:
    """Reading without storing."""
    yield (
        "| nothing is stored; rows/s (of CPU time) | " + " | ".join(WHATS.values()) + " |\n|---|" + "---|" * len(WHATS)
    )
    for reader, title in {"decoder": "our decoder alone", "": "our source alone", **PEERS}.items():
        figures = [results[what].get(reader) if reader else _alone(results[what]) for what in WHATS]
        yield f"| {title} | " + " | ".join(map(_rates, figures)) + " |"
    ratios = [
        results[what]["decoder"]["rows"] / results[what]["decoder"]["processor"]
        / (results[what]["mysql-replication"]["rows"] / results[what]["mysql-replication"]["processor"])
        for what in ("bulk", "single")
    ]  # fmt: skip
    yield f"\nOur decoder beside mysql-replication, by CPU time: {ratios[0]:.1f} times in bulk, {ratios[1]:.1f} times for one-row transactions.\n"


def _stored(results: Results) -> Iterator[str]:
    """Reading and storing, beside the limit and beside Debezium, which stores nothing."""
    yield (
        "| stored | into | rows/s end to end | source alone | sink alone | of the additive limit | the same by CPU time | "
        "Debezium without a sink = 1 |\n|---|---|---|---|---|---|---|---|"
    )
    for what, title in WHATS.items():
        theirs = _rate(results[what]["Debezium, raw"])
        for name in DATASETS:
            ours = results[what][name]
            limit = (ours["source alone"] + ours["sink alone"]) / ours["seconds"]
            used = (ours["source alone, processor"] + ours["sink alone, processor"]) / ours["processor"]
            parts = [ours["rows"] / ours[part] for part in ("seconds", "source alone", "sink alone")]
            yield (
                f"| {title} | {name} | "
                + " | ".join(f"{part:,.0f}" for part in parts)
                + (f" | {limit:.2f} | {used:.2f} | {_rate(ours) / theirs:.1f} |")
            )
    yield ""


def _rounds(count: int) -> str:
    """Of an even number of rounds the faster of the two in the middle is kept."""
    return {1: "one round", 2: "the faster of two rounds"}.get(count, f"the median of {count} rounds")


def _alone(figures: Results) -> dict[str, float]:
    """The source alone: what was measured beside both datasets, together."""
    both = [figures[name] for name in DATASETS]
    names = {"rows": "rows", "seconds": "source alone", "processor": "source alone, processor"}
    return {name: sum(each[key] for each in both) for name, key in names.items()}


def _rate(figures: Mapping[str, float]) -> float:
    return figures["rows"] / figures["seconds"]


def _rates(figures: Mapping[str, float] | None) -> str:
    return f"{_rate(figures):,.0f} ({figures['rows'] / figures['processor']:,.0f})" if figures else ""


def _bars(results: Results, what: str) -> dict[str, float]:
    """Rows/s of wall time; asyncmy's SELECT is no copy and would dwarf those that are."""
    found = {f"ours into {name}": _rate(results[what][name]) for name in DATASETS}
    found["ours, not stored"] = _rate(_alone(results[what]))
    peers = [peer for peer in PEERS if peer in results[what] and (what, peer) != ("copy", "asyncmy")]
    return found | {f"{peer}, not stored": _rate(results[what][peer]) for peer in peers}


if __name__ == "__main__":
    write_files()
