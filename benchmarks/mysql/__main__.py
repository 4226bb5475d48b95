"""`make bench-mysql`: the MYSQL source beside its peers, on a real server of each dialect; tells each figure as it comes.

Writes results.json, README.md's tables and rates.svg beside itself. Rounds are repeated and the median (by seconds) is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.mysql import report
from benchmarks.mysql.carried import copying, end_of_copy, following, into, latency, memory
from benchmarks.mysql.peers import programs
from benchmarks.mysql.workload import (
    DIALECTS,
    ROWS_A_STATEMENT,
    Point,
    end_of_log,
    load_bulk,
    load_single,
    running,
)
from connector_runner.pipeline.engine import OBJECTS_BETWEEN_COLLECTIONS
from tests.servers.fetch import MissingClientError
from tests.servers.mysqld import DatabaseServer
from tests.servers.postgresql import PostgresServer

FORMS = ("raw", "json")
Figures = Mapping[str, float]


def rate(figures: Figures) -> str:
    return f"{figures['rows'] / figures['seconds']:,.0f} rows/s"


class Run:
    """The measurements on one server.

    Attributes:
        results: What was measured: figures by reader, by what was read (`copy`, `bulk`, `single`).
    """

    def __init__(self, server: DatabaseServer, datasets: Mapping[str, str], flags: argparse.Namespace) -> None:
        self.server, self.datasets, self.flags = server, datasets, flags
        self.results: dict[str, Any] = {"copy": {}, "bulk": {}, "single": {}, "latency": {}}
        self.loads = [os.getloadavg()[0]]

    def keep(self, what: str, reader: str, figures: Sequence[Figures]) -> None:
        """Keeps the median of some rounds."""
        self.results[what][reader] = sorted(figures, key=lambda each: each["seconds"])[(len(figures) - 1) // 2]
        self.loads.append(os.getloadavg()[0])
        say(f"{what}: {reader}: {rate(self.results[what][reader])}")

    def rounds(self, whats: Sequence[str], reader: str, read: Callable[[], Sequence[Figures]]) -> None:
        """Some rounds of a program that reads these, one after the other."""
        measured = [read() for _ in range(self.flags.rounds)]
        for what, figures in zip(whats, zip(*measured, strict=True), strict=True):
            self.keep(what, reader, figures)

    async def through(self, what: str, rows: int, build: Callable[..., Any]) -> None:
        """The whole source into each dataset."""
        for name, dataset in self.datasets.items():
            self.keep(what, name, [await into(dataset, rows, build) for _ in range(self.flags.rounds)])

    async def measure(self, folder: Path) -> None:
        """The copy, then the log: what follows the copy is loaded in between."""
        rows, single = self.flags.rows, self.flags.single
        load_bulk(self.server, rows)
        if self.flags.peers:
            self.copy_by_peers(folder)
        await self.through("copy", rows, partial(copying, self.server))
        start, checkpoint = end_of_log(self.server), await end_of_copy(self.server)
        load_bulk(self.server, rows)
        # Before there is more in the log: a source reads ahead while the last rows are stored.
        await self.through("bulk", rows, partial(following, self.server, checkpoint))
        between = await end_of_copy(self.server)
        load_single(self.server, single)
        self.logs(folder, start)
        await self.through("single", single, partial(following, self.server, between))
        for name, dataset in self.datasets.items():
            found = self.results["latency"][name] = await latency(self.server, dataset)
            say(f"commit to dataset: {name}: p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms")
        if self.flags.copy_rows:
            load_bulk(self.server, self.flags.copy_rows)
            found = self.results["large copy"] = await asyncio.to_thread(memory, self.server, folder)
            say(f"a runner's copy: {found['MB']:.0f} MB, {rate(found)}")

    def copy_by_peers(self, folder: Path) -> None:
        """Debezium keeps where the copy ends, for the log."""
        rows = self.flags.rows
        for form in FORMS:
            home = folder / form

            def copy(home: Path = home, form: str = form) -> Sequence[Figures]:
                shutil.rmtree(home, ignore_errors=True)
                home.mkdir()
                return programs.debezium(self.server, home, form, [rows])

            self.rounds(["copy"], f"Debezium, {form}", copy)
        self.rounds(["copy"], "asyncmy", lambda: programs.asyncmy_copy(self.server, rows))

    def logs(self, folder: Path, start: Point) -> None:
        """Our decoder and the peers on the same log, each in a process of its own."""
        whats, segments = ("bulk", "single"), (self.flags.rows, self.flags.single)
        self.rounds(whats, "decoder", lambda: programs.our_decoder(self.server, start, segments))
        if not self.flags.peers:
            return
        self.rounds(whats, "mysql-replication", lambda: programs.mysql_replication_log(self.server, start, segments))
        self.rounds(whats, "asyncmy", lambda: programs.asyncmy_log(self.server, start, segments))
        for form in FORMS:

            def follow(form: str = form) -> Sequence[Figures]:
                with tempfile.TemporaryDirectory() as home:
                    shutil.copytree(folder / form, home, dirs_exist_ok=True)
                    return programs.debezium(self.server, Path(home), form, segments)

            self.rounds(whats, f"Debezium, {form}", follow)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


async def run(dialect: str, flags: argparse.Namespace) -> dict[str, Any]:
    """Everything on one dialect."""
    say(f"{dialect}: starting, load average {os.getloadavg()[0]:.1f}")
    with (
        tempfile.TemporaryDirectory() as folder,
        PostgresServer(["fsync=on"]) as postgres,
        running(dialect) as server,
    ):
        datasets = {"SQLite": f"sqlite:///{folder}/bench.db", "PostgreSQL": postgres.url()}
        here = Run(server, datasets, flags)
        await here.measure(Path(folder))
        conditions = {
            "server": server.distribution.name, "rows": flags.rows, "one-row transactions": flags.single,
            "rounds": flags.rounds, "python": platform.python_version(), "cores": os.cpu_count(),
            "load average before": here.loads[0], "load average, median while measuring": statistics.median(here.loads[1:]),
            "load average, highest": max(here.loads),
        }  # fmt: skip
        return {"conditions": conditions, **here.results}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dialects", nargs="*", choices=[[], *DIALECTS], default=[], help="absent: both")
    parser.add_argument("--rows", type=int, default=200_000, help=f"in bulk; a multiple of {ROWS_A_STATEMENT}")
    parser.add_argument("--single", type=int, default=30_000, help="one-row transactions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--copy-rows", type=int, default=0, help="also measure the memory of a copy of so many more rows"
    )
    parser.add_argument("--without-peers", dest="peers", action="store_false", help="only tell; nothing is written")
    flags = parser.parse_args()
    if flags.peers:
        try:
            programs.fetch()
        except MissingClientError as error:
            sys.exit(f"{error} (--without-peers does without)")
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)  # as the pipeline has it, also where the source is measured alone
    for dialect in flags.dialects or DIALECTS:
        results = await run(dialect, flags)
        if flags.peers:
            report.keep(dialect, results)


if __name__ == "__main__":
    asyncio.run(main())
