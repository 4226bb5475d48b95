"""Is it a net? Puts known faults back, one at a time, and looks whether the net finds them: `python -m tests.fuzz.mysql.mutating`.

A fault is data (`faults/*.json`): texts of the source that are replaced in a copy of it. What counts is decided in `controls`.
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
from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tests.fuzz.mysql.controls import Controls, Found, search
from tests.fuzz.mysql.replaying import KEPT, read_history

ROOT = Path(__file__).parents[3]
FAULTS = Path(__file__).parent / "faults"
COPIED = ("connector_runner", "tests")


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
    fault: dict[str, Any] | None,
    version: str,
    given: argparse.Namespace,
    numbers: Sequence[int],
    known: Collection[int] | None,
) -> list[str]:
    """Runs histories in a copy that has the fault until one fails whose number is not known (None: all); the lines of all that were run."""
    with tempfile.TemporaryDirectory(prefix="net-") as name:
        root = _copy(Path(name))
        if fault is not None:
            apply(fault, root)
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
        raise RuntimeError(f"the net did not run: {(done.stdout + done.stderr)[-2000:]}")
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.mysql.mutating", description=__doc__)
    parser.add_argument("--seed", default="net")
    parser.add_argument("--histories", type=int, default=120, help="of each version: the budget")
    parser.add_argument(
        "--numbers", default="", help="only these histories with the fault; their controls are still whole groups"
    )
    parser.add_argument("--servers", default="", help="only these versions, separated by commas")
    parser.add_argument("--patience", type=float, default=60.0)
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--rows", default="", help="only these faults, separated by commas")
    parser.add_argument("--out", type=Path, default=Path(".build/fuzz-mysql/faults.json"))
    parser.add_argument(
        "--controls", type=Path, default=Path(".build/fuzz-mysql/controls"), help="what the source as it is gave"
    )
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    controls = Controls(
        given.controls, f"{given.seed}, at most {given.at_once} at once", partial(run_net, None, given=given), ROOT
    )
    numbers = [int(number) for number in given.numbers.split(",") if number] or range(given.histories)
    results: list[Found] = []
    for fault in read_faults():
        if given.rows and fault["row"] not in given.rows.split(","):
            continue
        if given.servers:
            fault = fault | {"servers": given.servers.split(",")}
        start = time.monotonic()
        found = search(fault, numbers, partial(run_net, fault, given=given), controls)
        found.seconds = round(time.monotonic() - start)
        results.append(found)
        print(found.to_line(), flush=True)
        given.out.write_text(json.dumps([asdict(result) for result in results], indent=1, ensure_ascii=False) + "\n")
    print(f"{sum(result.is_found for result in results)} of {len(results)} found")
    return 0


def _copy(folder: Path) -> Path:
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".build").mkdir()
    (folder / ".build" / "servers").symlink_to((ROOT / ".build" / "servers").resolve())
    return folder


if __name__ == "__main__":
    sys.exit(main())
