"""Reports of several runs are one: what was drawn, how it ended, and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fuzz.mysql.report import Report
from tests.fuzz.mysql.running.group import Result
from tests.fuzz.mysql.running.verdict import Verdict
from tests.fuzz.mysql.steps import History
from tests.fuzz.mysql.summing import OTHER, add_up, read_put_back, read_reports, shares, why


def result(number: int, outcome: str, detail: str, *kinds: str) -> Result:
    history = History("s", "mysql-8.0", [], "", "t", {"onLogGap": "resnapshot"}, ["upsert"])
    return Result(number, history, Verdict(outcome, detail, statements=25 - number), dict.fromkeys(kinds, 2))


def test_runs_of_one_version_are_added_up(tmp_path: Path) -> None:
    for name, results in {
        "one": [result(0, "exact", "", "kill"), result(1, "told", "AmbiguousKey: k0", "kill", "truncate")],
        "two": [result(2, "exact", "", "truncate"), result(9, "told", "TableGone: dropped", "drop table")],
    }.items():
        report = Report("mysql-8.0", name)
        for one in results:
            report.add(one)
        report.save(tmp_path / name)
    own = add_up(read_reports([tmp_path / "one", tmp_path / "two"]))["mysql-8.0"]
    assert (own["histories"], own["long"], own["statements"], own["seeds"]) == (4, 3, 88, ["one", "two"])
    assert own["outcomes"] == {"exact": 2, "told": 2}
    assert {kind: n for kind, n in own["kinds"].items() if n} == {"drop table": 1, "kill": 2, "truncate": 2}
    # A table that is dropped has nothing to be exact about.
    assert own["resnapshot"] == {
        "counted": 3,
        "exact": 2,
        "others": {"`AmbiguousKey`: two key values that read alike": 1},
    }


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        ("upsert: Preflight: h1.t can't be read: its engine is MRG_MyISAM: rows may change", "MERGE"),
        ("Preflight: h8.t: ADD COLUMN a,\nADD b: the foreign key fk7 changes its rows without the log showing it", "foreign key"),
        ("IncompleteRows: h1.t t: updates without generated columns can't be followed", "generated columns"),
        ("stuck at its start", OTHER),
    ],
)  # fmt: skip
def test_each_end_has_a_reason(detail: str, reason: str) -> None:
    assert reason in why(detail)


def test_a_kind_counts_where_the_server_has_it() -> None:
    kinds = {"mysql-8.0": {"truncate": 2}, "mariadb-11.8": {"truncate": 1, "alter ignore": 1}}
    found = shares({version: {"histories": 10, "kinds": own} for version, own in kinds.items()})
    assert (found["truncate"], found["alter ignore"], found["drop table"]) == (15.0, 10.0, 0.0)
    assert next(iter(found.values())) == 0.0


def test_a_fault_is_found_by_whatever_run_finds_it(tmp_path: Path) -> None:
    for name, is_found in (("a", False), ("b", True), ("c", False)):
        (tmp_path / name).write_text(json.dumps([{"row": "02", "is_found": is_found, "histories": 3}]))
    found = read_put_back([tmp_path / name for name in "abc"])
    assert found == [{"row": "02", "is_found": True, "histories": 9}]
