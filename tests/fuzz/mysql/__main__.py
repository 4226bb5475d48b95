"""`make fuzz-mysql`: histories drawn from a seed, against real servers; what fails is made short and kept."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.fuzz.mysql.report import Report
from tests.fuzz.mysql.running.group import AT_ONCE, GROUP, Plan, Result, group_results
from tests.fuzz.mysql.shrinking import shrink
from tests.fuzz.mysql.versions import VERSIONS


def main() -> int:
    given = _arguments()
    given.out.mkdir(parents=True, exist_ok=True)
    versions = [*VERSIONS] if given.version == "all" else given.version.split(",")
    defects = 0
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        for version in versions:
            defects += run_version(version, given, processes)
    print(f"{defects} defects; reports and short histories are in {given.out}")
    return 1 if defects else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.mysql", description=__doc__)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--version", default="all", help=f"all, or some of {', '.join(VERSIONS)}, separated by commas")
    parser.add_argument("--histories", type=int, default=GROUP, help="of each version")
    parser.add_argument(
        "--first",
        type=int,
        default=0,
        help="the number of the first history; with --histories 1 it alone is done again",
    )
    parser.add_argument(
        "--numbers", default="", help="of histories, separated by commas, instead of --first and --histories"
    )
    parser.add_argument("--jobs", type=int, default=1, help="servers at once")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="histories side by side on a server")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds until a connector that goes on no more counts as stuck"
    )
    parser.add_argument(
        "--without", default="", help="kinds of statements and settings that are not drawn, separated by commas"
    )
    parser.add_argument("--shrink", type=int, default=5, help="how many failures of a version are made short")
    parser.add_argument(
        "--minutes", type=float, default=0, help="no group of histories is begun after so long; 0: no limit"
    )
    parser.add_argument("--out", type=Path, default=Path(".build/fuzz-mysql"))
    parser.add_argument(
        "--until-new", help="stops after the first failure whose number is not among these, separated by commas"
    )
    return parser.parse_args()


def run_version(version: str, given: argparse.Namespace, processes: ProcessPoolExecutor) -> int:
    """All histories of one version; returns how many were defects."""
    report, start = Report(version, given.seed), time.monotonic()
    failed: list[Result] = []
    known = None if given.until_new is None else frozenset(map(int, filter(None, given.until_new.split(","))))
    plan = Plan(given.seed, version, given.at_once, given.patience, tuple(given.without.split(",")), known)
    chosen = [int(number) for number in given.numbers.split(",") if number]
    numbers = chosen or range(given.first, given.first + given.histories)
    groups = [
        [number for number in numbers if number // GROUP == group]
        for group in sorted({number // GROUP for number in numbers})
    ]
    waiting = [*groups]
    running: list[Future[list[Result]]] = []
    while waiting or running:
        while (
            waiting
            and len(running) < given.jobs
            and not (given.minutes and time.monotonic() - start > given.minutes * 60)
        ):
            running.append(processes.submit(group_results, plan, waiting.pop(0)))
        if not running:
            break
        for result in running.pop(0).result():
            report.add(result)
            if result.verdict.outcome in {"broken", "lost"}:  # the server may be the cause
                result.history.save(given.out / f"{version}-{given.seed}-{result.number}.broken.json")
                (given.out / f"{version}-{given.seed}-{result.number}.broken.txt").write_text(result.verdict.detail)
            if result.verdict.is_defect:
                failed.append(result)
                result.history.save(given.out / f"{version}-{given.seed}-{result.number}.json")
        if known is not None and any(result.number not in known for result in failed):
            waiting = []
        report.seconds = time.monotonic() - start
        report.save(given.out)
        print(
            f"{version}: {report.histories} of {given.histories} histories, {report.seconds:.0f} s: {dict(report.outcomes)}",
            flush=True,
        )
    for result in failed[: given.shrink]:
        _show_short(result, given.out / f"{version}-{given.seed}-{result.number}.short.json")
    return len(failed)


def _show_short(result: Result, path: Path) -> None:
    shorter, verdict = asyncio.run(shrink(result.history))
    print(f"\n{result.history.version} {result.number}, made short: {verdict.outcome}: {verdict.detail[:500]}")
    if verdict.is_defect:
        shorter.save(path)
        for step in shorter.steps:
            print(f"    {step.session}: {step.sql[:300] or step.kind}", flush=True)
    else:
        print("    it did not fail again; replay it by its seed")


if __name__ == "__main__":
    sys.exit(main())
