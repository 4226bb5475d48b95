"""The net as part of the suites: a short run each time, a long one with the faults, and the histories that once failed.

`FUZZ_MYSQL_HISTORIES=40` sets how many histories of each version the long run has.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from tests.fuzz.mysql.mutating import FAULTS, ROOT, read_faults, replay_kept
from tests.fuzz.mysql.replaying import KEPT, Replayed, read_history, replay_all
from tests.fuzz.mysql.running.group import GROUP, Plan, Result, group_results
from tests.fuzz.mysql.versions import VERSIONS

ORDINARY = ("mysql-8.0", "mariadb-10.11")
MANY = int(os.environ.get("FUZZ_MYSQL_HISTORIES", str(10 * GROUP)))
KEPT_OF = {
    version: found for version in VERSIONS if (found := [path for path in KEPT if path.stem.startswith(version)])
}
KEPT_ROWS = {read_history(path).row for path in KEPT}


def alone(function: Any, *arguments: Any) -> Any:
    """In a process of its own: threads and connections of a hundred connectors end with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def assert_no_defect(results: list[Result]) -> None:
    found = [
        f"{result.number}: {result.verdict.outcome}: {result.verdict.detail}"
        for result in results
        if result.verdict.is_defect or result.verdict.outcome == "broken"
    ]
    assert not found, "\n".join(found)
    assert any(result.verdict.outcome == "exact" for result in results)


@pytest.mark.parametrize(("version", "seed"), [*zip(ORDINARY, ("short", "brief"), strict=True)])
def test_a_few_histories(version: str, seed: str) -> None:
    """Seeds with histories that are compared to their end."""
    results = alone(group_results, Plan(seed, version, at_once=6), [*range(6)])
    assert len(results) == 6
    assert_no_defect(results)


@pytest.mark.fault
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("version", VERSIONS)
def test_many_histories(version: str) -> None:
    for first in range(0, MANY, GROUP):
        assert_no_defect(alone(group_results, Plan("long", version), [*range(first, min(first + GROUP, MANY))]))


@pytest.mark.parametrize(
    "version", [pytest.param(name, marks=() if name in ORDINARY else pytest.mark.fault) for name in sorted(KEPT_OF)]
)
def test_what_failed_once(version: str) -> None:
    replayed: list[Replayed] = alone(replay_all, KEPT_OF[version])
    assert len(replayed) == len(KEPT_OF[version])
    assert [f"{found.name}: {found.objection}" for found in replayed if found.objection] == []


def test_the_ordinary_servers_have_kept_histories() -> None:
    """Else the test above would say nothing."""
    assert set(ORDINARY) <= set(KEPT_OF)
    rows = {fault["row"] for fault in read_faults()}
    assert {history.row for history in map(read_history, KEPT)} <= {
        "",
        *rows,
        "26",
    }  # 26 is no fault that can be put back


@pytest.mark.fault
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "fault", [fault for fault in read_faults() if fault["row"] in KEPT_ROWS], ids=lambda fault: fault["row"]
)
def test_kept_histories_find_their_fault(fault: dict[str, Any]) -> None:
    assert [line for line in replay_kept(fault) if line.endswith(": as expected")] == []


@pytest.mark.parametrize("fault", read_faults(), ids=lambda fault: fault["row"])
def test_known_faults_can_be_put_back(fault: dict[str, Any]) -> None:
    """Else `tests.fuzz.mysql.mutating` would measure nothing: each text is in the source, once."""
    assert FAULTS.is_dir()
    for edit in fault["edits"]:
        assert (ROOT / edit["file"]).read_text().count(edit["find"]) == 1, (
            f"mend faults/row-{fault['row']}.json: the source of {edit['file']} has changed"
        )
        assert edit["find"] != edit["replace"]
