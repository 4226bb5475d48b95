"""What counts when a known fault is put back: the same group without it is the control, and what fails must fail again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from tests.fuzz.mysql.controls import Controls, Found, Runs, search
from tests.fuzz.mysql.running.group import GROUP

FAULT = {"row": "99", "what": "a fault", "servers": ["mysql-8.0"]}
Failing = dict[tuple[int, bool], list[str]]
"""By number, and whether the history has neighbours: what comes of it, one time after the other."""


def runs(failing: Failing) -> Runs:
    """A net that answers from a table; every other history is exact."""
    waiting = {key: [*found] for key, found in failing.items()}

    def run(*, version: str, numbers: Sequence[int], known: Collection[int] | None) -> list[str]:
        lines: list[str] = []
        for number in numbers:
            found = waiting.get((number, len(numbers) > 1), ["exact"])
            outcome = found.pop(0) if len(found) > 1 else found[0]
            lines.append(f"{version} {number} ({len(lines) + 1} of {len(numbers)}): {outcome}, 20 statements, 1 s. ")
        return lines

    return run


def found_by(tmp_path: Path, control: Failing, faulty: Failing) -> Found:
    (tmp_path / "connector_runner").mkdir()
    return search(
        FAULT, range(2 * GROUP), runs(faulty), Controls(tmp_path / "controls", "key", runs(control), tmp_path)
    )


def test_what_fails_beside_the_same_neighbours_without_the_fault_does_not_count(tmp_path: Path) -> None:
    """The history alone is exact, as the control was once: a neighbour's XA COMMIT ends it."""
    beside = {(3, True): ["needless"], (3, False): ["exact"]}
    found = found_by(tmp_path, beside, beside)
    assert not found.is_found
    assert found.histories == 2 * GROUP


@pytest.mark.parametrize(
    ("faulty", "again"),
    [
        ({(3, True): ["mismatch"], (3, False): ["mismatch"]}, "alone"),
        ({(3, True): ["mismatch"], (3, False): ["exact"]}, "in its group"),
    ],
)
def test_what_fails_twice_with_the_fault_alone_counts(tmp_path: Path, faulty: Failing, again: str) -> None:
    found = found_by(tmp_path, {}, faulty)
    assert (found.is_found, found.number, found.control, found.again) == (True, 3, "exact", again)


@pytest.mark.parametrize("second", ["exact", "stuck"])
def test_what_does_not_fail_again_in_the_same_way_does_not_count(tmp_path: Path, second: str) -> None:
    found = found_by(tmp_path, {}, {(3, True): ["mismatch", second], (3, False): ["exact"]})
    assert not found.is_found
    assert found.passed_over == ("mysql-8.0 3: mismatch, which was not so again",)


def test_the_next_history_that_fails_is_looked_at(tmp_path: Path) -> None:
    faulty = {(3, True): ["stuck", "exact"], (7, True): ["mismatch"], (7, False): ["mismatch"]}
    found = found_by(tmp_path, {(7, True): ["told"]}, faulty)
    assert (found.is_found, found.number, found.control) == (True, 7, "told")


def test_a_control_is_done_again_when_the_source_is_another(tmp_path: Path) -> None:
    (tmp_path / "connector_runner").mkdir()
    source, folder = tmp_path / "connector_runner" / "x.py", tmp_path / "controls"
    source.write_text("1")
    assert Controls(folder, "key", runs({(0, True): ["told"]}), tmp_path).of("mysql-8.0", 0)[0] == "told"
    assert Controls(folder, "key", runs({}), tmp_path).of("mysql-8.0", 0)[0] == "told"
    source.write_text("2")
    assert Controls(folder, "key", runs({}), tmp_path).of("mysql-8.0", 0)[0] == "exact"
