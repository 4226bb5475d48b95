"""Is it a net? Puts known faults back, one at a time, and looks whether the net finds them: `python -m tests.fuzz.mysql.mutating`.

A fault is data (`faults/*.json`): texts of the source that are replaced in a copy of it. What the net says of the source as it is,
in the same histories, does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.mysql.replaying import KEPT, read_history
from tests.fuzz.mysql.running.group import GROUP
from tests.fuzz.mysql.running.verdict import DEFECTS

ROOT = Path(__file__).parents[3]
FAULTS = Path(__file__).parent / "faults"
COPIED = ("connector_runner", "tests")


@dataclass
class Found:
    """What came of one fault."""

    row: str
    what: str
    is_found: bool
    version: str = ""
    histories: int = 0
    seconds: float = 0.0
    detail: str = ""


def read_faults() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(FAULTS.glob("*.json"))]


def apply(fault: dict[str, Any], root: Path) -> None:
    """Puts it into the copy at `root`.

    Raises:
        LookupError: The source has changed: a text is not there, or more than once.
    """
    for edit in fault["edits"]:
        path = root / edit["file"]
        text = path.read_text()
        if text.count(edit["find"]) != 1:
            raise LookupError(
                f"row {fault['row']}: {edit['file']} has the text {text.count(edit['find'])} times: {edit['find']!r}"
            )
        path.write_text(text.replace(edit["find"], edit["replace"]))


def run_net(
    root: Path, version: str, given: argparse.Namespace, numbers: Sequence[int], known: set[int] | None
) -> list[str]:
    """Runs histories in the copy until one fails whose number is not known, or all of them; the lines of all that were run."""
    command = [
        sys.executable, "-m", "tests.fuzz.mysql", "--seed", given.seed, "--version", version, "--numbers", ",".join(map(str, numbers)),
        "--shrink", "0", "--patience", str(given.patience), "--at-once", str(given.at_once), "--out", str(root / "out"),
        *([] if known is None else ["--until-new", ",".join(map(str, known))]),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if re.match(rf"{re.escape(version)} \d+ \(", line)]
    if not lines:
        raise RuntimeError(f"the net did not run in {root}: {(done.stdout + done.stderr)[-2000:]}")
    return lines


def replay_kept(fault: dict[str, Any]) -> list[str]:
    """The kept histories of a fault in a copy that has it: a line each; those that do not end "as expected" find it."""
    paths = [str(path) for path in KEPT if read_history(path).row == fault["row"]]
    with tempfile.TemporaryDirectory(prefix="net-") as name:
        root = _copy(Path(name))
        apply(fault, root)
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.mysql.replaying", *paths], cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    lines = done.stdout.splitlines()
    if len(lines) != len(paths):
        raise RuntimeError(f"{len(lines)} of {len(paths)} histories were done: {(done.stdout + done.stderr)[-2000:]}")
    return lines


def failures(lines: list[str], known: set[int]) -> dict[int, str]:
    """By number: what is a defect and was not known."""
    found = {}
    for line in lines:
        number, outcome = int(line.split(" ")[1]), line.split(": ")[1].split(",")[0]
        if outcome in DEFECTS and number not in known:
            found[number] = line
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.mysql.mutating", description=__doc__)
    parser.add_argument("--seed", default="net")
    parser.add_argument("--histories", type=int, default=120, help="of each version: the budget")
    parser.add_argument("--patience", type=float, default=60.0)
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--rows", default="", help="only these faults, separated by commas")
    parser.add_argument("--out", type=Path, default=Path(".build/fuzz-mysql/faults.json"))
    parser.add_argument(
        "--together",
        default="",
        help="a version: all of the faults at once, then what fails again with each of them alone",
    )
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    faults = [fault for fault in read_faults() if not given.rows or fault["row"] in given.rows.split(",")]
    results: list[Found] = []
    if given.together:
        return try_together(faults, given)
    for fault in faults:
        results.append(_try(fault, given))
        print(
            f"row {results[-1].row}: {'found' if results[-1].is_found else 'NOT FOUND'}, {results[-1].version}, {results[-1].histories} histories, {results[-1].seconds:.0f} s: {results[-1].what}. {results[-1].detail[:200]}",
            flush=True,
        )
        given.out.write_text(json.dumps([asdict(result) for result in results], indent=1, ensure_ascii=False) + "\n")
    print(f"{sum(result.is_found for result in results)} of {len(results)} found")
    return 0


def _copy(folder: Path) -> Path:
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".build").mkdir()
    (folder / ".build" / "servers").symlink_to((ROOT / ".build" / "servers").resolve())
    return folder


def _try(fault: dict[str, Any], given: argparse.Namespace) -> Found:
    start, total = time.monotonic(), 0
    for version in fault["servers"]:
        known: set[int] = set()
        with tempfile.TemporaryDirectory(prefix="net-") as name, tempfile.TemporaryDirectory(prefix="net-") as plain:
            root, whole = _copy(Path(name)), _copy(Path(plain))
            apply(fault, root)
            while True:
                lines = run_net(root, version, given, range(given.histories), known)
                total += len(lines)
                found = failures(lines, known)
                for number, line in found.items():
                    alone = range(number, number + 1)
                    # It counts only if the same history is good without the fault; what is stuck, also only if it is so again.
                    is_again = ": stuck" not in line or failures(run_net(root, version, given, alone, set()), set())
                    if is_again and not failures(run_net(whole, version, given, alone, set()), set()):
                        return Found(fault["row"], fault["what"], True, version, total, time.monotonic() - start, line)
                    known.add(number)
                if not found:
                    break
    return Found(fault["row"], fault["what"], False, "", total, time.monotonic() - start)


def try_together(faults: list[dict[str, Any]], given: argparse.Namespace) -> int:
    """Less work for the same proof: one fault may hide another in a history, so that it finds rather too few than too many."""
    version, waiting, start = given.together, [*faults], time.monotonic()
    for first in range(0, given.histories, GROUP):
        numbers = [*range(first, min(first + GROUP, given.histories))]
        failed = {*failures(_run_with(waiting, version, given, numbers), set())}
        if failed:
            failed -= {*failures(_run_with([], version, given, sorted(failed)), set())}
        print(
            f"{version} {numbers[0]} to {numbers[-1]}, {time.monotonic() - start:.0f} s: {sorted(failed)} fail with some",
            flush=True,
        )
        for fault in [*waiting] if failed else []:
            if found := failures(_run_with([fault], version, given, sorted(failed)), set()):
                waiting.remove(fault)
                number, line = min(found.items())
                print(
                    f"row {fault['row']}: found by {number}, one of {len(found)} of these: {fault['what']}. {line[:300]}",
                    flush=True,
                )
    print(
        f"not found in {given.histories} histories: {', '.join(fault['row'] for fault in waiting)}; {time.monotonic() - start:.0f} s"
    )
    return 0


def _run_with(
    faults: list[dict[str, Any]],
    version: str,
    given: argparse.Namespace,
    numbers: list[int],
    known: set[int] | None = None,
) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="net-") as name:
        root = _copy(Path(name))
        for fault in faults:
            apply(fault, root)
        return run_net(root, version, given, numbers, known)


if __name__ == "__main__":
    sys.exit(main())
