"""`python -m benchmarks.mysql.many_tables`: 200 tables of one server in one connector, beside one table alone and beside Debezium.

Says each figure as it comes; writes many_tables.json and the block of README.md that is made from it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.mysql import many_report, report
from benchmarks.mysql.many_carried import Carried, Dataset, copy_seconds, lone_rows
from benchmarks.mysql.many_processes import measure_processes
from benchmarks.mysql.peers import programs
from benchmarks.mysql.workload import DIALECTS, GTIDS, QUICK, SINGLE, TABLE
from connector_runner.pipeline.engine import OBJECTS_BETWEEN_COLLECTIONS
from tests.servers.mysqld import DatabaseServer
from tests.servers.postgresql import PostgresServer

VALUES = SINGLE.partition("VALUES ")[2]
COLUMNS = SINGLE.partition("(")[2].partition(")")[0]


def insert(table: str, rows: int) -> str:
    """An INSERT of some rows."""
    return f"INSERT INTO {table} ({COLUMNS}) VALUES {', '.join([VALUES] * rows)}"


def create_tables(server: DatabaseServer, count: int) -> list[str]:
    """Tables of ten columns, each with one row: Debezium tells that it has copied a table by its rows."""
    tables = [f"d.t{number:03}" for number in range(count)]
    for table in tables:
        server.execute(TABLE.replace("d.t ", f"{table} "), insert(table, 1))
    return tables


class Loads:
    """What is written into the log: transactions of one shape each."""

    def __init__(self, server: DatabaseServer, tables: Sequence[str], transactions: int) -> None:
        self._server, self._tables, self._count = server, tables, transactions

    def _write(self, statements: Callable[[int], Sequence[str]], rows: int) -> int:
        count = self._count // (10 if rows > 1 else 1)
        with self._server.session() as cursor:
            for number in range(count):
                cursor.execute("BEGIN")
                for statement in statements(number):
                    cursor.execute(statement)
                cursor.execute("COMMIT")
        return count * rows

    def one_busy(self) -> int:
        """One row a transaction, always of the first table."""
        return self._write(lambda _: [insert(self._tables[0], 1)], 1)

    def all_busy(self) -> int:
        """One row a transaction, of each table in turn."""
        return self._write(lambda number: [insert(self._tables[number % len(self._tables)], 1)], 1)

    def ten_in_one(self) -> int:
        """Ten rows a transaction, all of the first table."""
        return self._write(lambda _: [insert(self._tables[0], 2)] * 5, 10)

    def ten_in_five(self) -> int:
        """Ten rows a transaction, two of each of five tables."""

        def statements(number: int) -> list[str]:
            count = len(self._tables)
            return [insert(self._tables[(number * 5 + place) % count], 2) for place in range(min(5, count))]

        return self._write(statements, 10)


async def measure_log(
    server: DatabaseServer, tables: Sequence[str], datasets: Sequence[Dataset], flags: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Rates from the log: one stream alone and all of them, from the same log, into each dataset."""
    loads, results = Loads(server, tables, flags.transactions), dict[str, Any]()
    alone = [Carried(server, dataset, tables[:1], f"alone{n}") for dataset in datasets for n in range(flags.rounds)]
    many = [Carried(server, dataset, tables, f"many{n}") for dataset in datasets for n in range(flags.rounds)]
    for carried in (*alone, *many):
        await carried.copy()
    peer = folder / "debezium"
    if flags.peers:
        peer.mkdir()
        await asyncio.to_thread(programs.debezium, server, peer, "raw", [len(tables)], tables)
    for load in (loads.one_busy, loads.all_busy, loads.ten_in_one, loads.ten_in_five):
        rows = await asyncio.to_thread(load)
        figures: dict[str, Any] = {"rows": rows}
        of_first = rows if load in (loads.one_busy, loads.ten_in_one) else server.query(
            f"SELECT COUNT(*) FROM {tables[0]}")[0][0] - alone[0].rows  # fmt: skip
        for name, group, count in (("alone", alone, of_first), ("many", many, rows)):
            for dataset in datasets:
                of_dataset = [carried for carried in group if carried.dataset == dataset]
                rates = [await carried.follow(count) for carried in of_dataset]
                figures[f"{name}, {dataset.name}"] = statistics.median(rate["rows/s"] for rate in rates)
                figures[f"{name}, {dataset.name}, of CPU"] = statistics.median(rate["rows/s of CPU"] for rate in rates)
        if flags.peers:
            found = await asyncio.to_thread(_follow_by_peer, server, peer, rows, tables)
            figures["Debezium"] = found["rows"] / found["seconds"]
        results[load.__name__] = figures
        say(f"{load.__name__}: {json.dumps({key: round(value) for key, value in figures.items()})}")
    return results


def _follow_by_peer(server: DatabaseServer, home: Path, rows: int, tables: Sequence[str]) -> dict[str, float]:
    return programs.debezium(server, home, "raw", [rows], tables)[0]


async def run(dialect: str, flags: argparse.Namespace) -> dict[str, Any]:
    """Everything on one dialect."""
    distribution = DIALECTS[dialect]()
    options = [*(() if distribution.is_mariadb else GTIDS), *QUICK]
    results: dict[str, Any] = {
        "tables": flags.tables,
        "rounds": flags.rounds,
        "load average before": os.getloadavg()[0],
    }
    with (
        tempfile.TemporaryDirectory() as name,
        PostgresServer(["fsync=on"]) as postgres,
        DatabaseServer(distribution, options) as server,
    ):
        folder = Path(name)
        datasets = [Dataset("SQLite", f"sqlite:///{folder}/many.db"), Dataset("PostgreSQL", postgres.url())]
        server.execute("CREATE DATABASE d")
        tables = create_tables(server, flags.tables)
        results["server"] = distribution.name
        results["processes"] = await asyncio.to_thread(measure_processes, server, tables, flags.single_runners, folder)
        say(f"processes: {json.dumps(results['processes'])}")
        results["log"] = await measure_log(server, tables, datasets, flags, folder)
        results["lone row"] = await lone_rows(server, datasets[0], tables)
        say(f"lone row: {json.dumps(results['lone row'])}")
        shutil.rmtree(folder / "debezium", ignore_errors=True)
        results["copy"] = await copy_seconds(server, datasets, flags.tables, flags.copy_rows)
        say(f"copy: {json.dumps(results['copy'])}")
    results["load average after"] = os.getloadavg()[0]
    return results


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dialects", nargs="*", choices=[[], *DIALECTS], default=[], help="absent: both")
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--transactions", type=int, default=60_000, help="of one row; a tenth as many have ten rows")
    parser.add_argument("--copy-rows", type=int, default=5_000, help="of each table that is copied")
    parser.add_argument("--single-runners", type=int, default=20, help="runners of one table, for their memory")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--without-peers", dest="peers", action="store_false")
    flags = parser.parse_args()
    if flags.peers:
        programs.fetch()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    for dialect in flags.dialects or DIALECTS:
        many_report.keep(dialect, await run(dialect, flags))
        report.write_files()


if __name__ == "__main__":
    asyncio.run(main())
