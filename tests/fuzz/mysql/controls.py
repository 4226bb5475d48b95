"""When a fault that was put back counts as found.

Histories stand side by side on a server, and a neighbour's statement can end another's connector: a prepared transaction, a setting of the
whole server. So the control is the very same group of histories without the fault, not the one history alone; and what fails must fail
again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.fuzz.mysql.running.group import GROUP
from tests.fuzz.mysql.running.verdict import DEFECTS

GOOD = ("exact", "told", "conflict", "refused")
"""How a history ends well, the best first: the dataset is the table, or a person was told why not."""
TRIES = 4
"""Histories of a group that are looked at for one fault, each with a group of its own."""


TOOLS = ("controls.py", "mutating.py", "summing.py")
"""What histories do not depend on."""


class Runs(Protocol):
    """Does histories, and returns the line of each; with `known`, nothing is begun after one fails whose number is not among them."""

    def __call__(self, *, version: str, numbers: Sequence[int], known: Collection[int] | None) -> list[str]: ...


@dataclass
class Found:
    """What came of one fault.

    Attributes:
        row, what: Which it was.
        is_found: Whether it counts.
        version, number: The history that found it.
        control: How the same history ends in the same group without the fault.
        again: Where it failed a second time with the fault: `alone`, or `in its group`.
        histories: How many were done with the fault until then.
        seconds: How long all of it took, controls included.
        detail: The history's line.
        passed_over: What failed with the fault and did not count, with the reason.
    """

    row: str
    what: str
    is_found: bool = False
    version: str = ""
    number: int = -1
    control: str = ""
    again: str = ""
    histories: int = 0
    seconds: float = 0.0
    detail: str = ""
    passed_over: tuple[str, ...] = ()

    def to_line(self) -> str:
        said = (
            f"found by {self.version} {self.number}, control {self.control}, again {self.again}"
            if self.is_found
            else "NOT FOUND"
        )
        return f"row {self.row}: {said}, {self.histories} histories, {self.seconds:.0f} s: {self.what}. {self.detail[:200]}"


def outcomes(lines: Sequence[str]) -> dict[int, str]:
    """By number: how histories ended, from their lines."""
    return {int(line.split(" ")[1]): line.split(": ")[1].split(",")[0] for line in lines}


class Controls:
    """How whole groups end without a fault; kept in a folder as long as the source is the same.

    Args:
        folder: For the lines, a file for each version and group.
        key: What else histories depend on.
        run: Does them.
        root: Of the source.
    """

    def __init__(self, folder: Path, key: str, run: Runs, root: Path) -> None:
        self._folder, self._key, self._run = folder, f"{key}; source {_digest(root)}", run

    def of(self, version: str, group: int) -> dict[int, str]:
        path = self._folder / f"{version}-{group}.txt"
        if path.exists():
            key, *lines = path.read_text().splitlines()
            if key == self._key:
                return outcomes(lines)
        return outcomes(self.keep(version, group, self._run(version=version, numbers=members(group), known=None)))

    def keep(self, version: str, group: int, lines: list[str]) -> list[str]:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"{version}-{group}.txt").write_text("\n".join([self._key, *lines]) + "\n")
        return lines


def members(group: int) -> range:
    return range(group * GROUP, (group + 1) * GROUP)


def _digest(root: Path) -> str:
    found = hashlib.sha256()
    for folder in ("connector_runner", "tests/fuzz"):
        for path in sorted((root / folder).rglob("*.py")):
            if path.name not in TOOLS:
                found.update(path.read_bytes())
    return found.hexdigest()[:16]


def search(fault: dict[str, Any], numbers: Sequence[int], run: Runs, controls: Controls) -> Found:
    """Group by group until a history fails that ends well in the same group without the fault, and fails in the same way again."""
    found = Found(fault["row"], fault["what"])
    for version in fault["servers"]:
        for group in sorted({number // GROUP for number in numbers}):
            own = [number for number in numbers if number // GROUP == group]
            if _search_group(found, version, group, own, run, controls):
                return found
    return found


def _search_group(
    found: Found, version: str, group: int, numbers: Sequence[int], run: Runs, controls: Controls
) -> bool:
    control = controls.of(version, group)
    known = {number for number in numbers if control.get(number) not in GOOD}
    for _ in range(TRIES):
        lines = run(version=version, numbers=numbers, known=known)
        found.histories += len(lines)
        failed = {
            number: outcome for number, outcome in outcomes(lines).items() if outcome in DEFECTS and number not in known
        }
        for number in sorted(failed, key=lambda number: GOOD.index(control[number])):
            if again := _fails_again(version, number, failed[number], numbers, run):
                found.is_found, found.version, found.number = True, version, number
                found.control, found.again = control[number], again
                found.detail = next(line for line in lines if line.startswith(f"{version} {number} ("))
                return True
            found.passed_over += (f"{version} {number}: {failed[number]}, which was not so again",)
            known.add(number)
        if not failed:
            break
    return False


def _fails_again(version: str, number: int, outcome: str, numbers: Sequence[int], run: Runs) -> str:
    """Where; "" if nowhere."""
    if outcomes(run(version=version, numbers=[number], known=None)).get(number) == outcome:
        return "alone"
    others = set(numbers) - {number}
    if outcomes(run(version=version, numbers=numbers, known=others)).get(number) == outcome:
        return "in its group"
    return ""
