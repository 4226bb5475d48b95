"""The net as part of the suites: a short run each time, a long one with the faults, and the histories that once failed."""

from __future__ import annotations

import asyncio
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.mysql.mutating import FAULTS, ROOT, read_faults
from tests.fuzz.mysql.running.doing import Verdict, replay
from tests.fuzz.mysql.running.group import GROUP, Plan, Result, group_results
from tests.fuzz.mysql.steps import History
from tests.fuzz.mysql.versions import VERSIONS, build_server

ORDINARY = ("mysql-8.0", "mariadb-10.11")
KEPT = sorted((Path(__file__).parent / "histories").glob("*.json"))


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


@pytest.mark.parametrize("version", ORDINARY)
def test_a_few_histories(version: str) -> None:
    results = alone(group_results, Plan("short", version, at_once=8), [*range(8)])
    assert len(results) == 8
    assert_no_defect(results)


@pytest.mark.fault
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("version", VERSIONS)
def test_many_histories(version: str) -> None:
    for first in range(0, 10 * GROUP, GROUP):
        assert_no_defect(alone(group_results, Plan("long", version), [*range(first, first + GROUP)]))


def do_again(path: Path, version: str) -> Verdict:
    history = History.from_json(json.loads(path.read_text()))
    with tempfile.TemporaryDirectory() as folder, build_server(version, history.options) as server:
        return asyncio.run(replay(server, history, "kept", Path(folder)))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem.startswith(ORDINARY) else pytest.mark.fault)
        for path in KEPT
    ],
)
def test_what_failed_once(path: Path) -> None:
    version = json.loads(path.read_text())["version"]
    verdict = alone(do_again, path, version)
    assert not verdict.is_defect, f"{verdict.outcome}: {verdict.detail}"


@pytest.mark.parametrize("fault", read_faults(), ids=lambda fault: fault["row"])
def test_known_faults_can_be_put_back(fault: dict[str, Any]) -> None:
    """Else `tests.fuzz.mysql.mutating` would measure nothing: each text is in the source, once."""
    assert FAULTS.is_dir()
    for edit in fault["edits"]:
        assert (ROOT / edit["file"]).read_text().count(edit["find"]) == 1, (
            f"mend faults/row-{fault['row']}.json: the source of {edit['file']} has changed"
        )
        assert edit["find"] != edit["replace"]
