"""`connector-runner check` with `spec.streams` on a real server: what a run would take and leave out, and what is in the dataset already."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.selecting import TABLES, Selection, create, targets

EACH = pytest.mark.parametrize("variant", variants("mysql-gtids", long=("mariadb",)))
Check = dict[str, Any]


def check(selection: Selection, folder: Path) -> tuple[int, list[Check]]:
    """Its exit code and the checks. The folder, with the dataset, is left as it is."""
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = subprocess.run(
        [sys.executable, "-m", "connector_runner.cli", "check", "-f", str(selection.manifest), "-o", "json"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert document["exitCode"] == done.returncode, done.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    return done.returncode, document["checks"]


def failures(checks: list[Check]) -> set[tuple[str, str, str]]:
    return {(one["part"], one["check"], one["reason"]) for one in checks if one["result"] == "failed"}


def message(checks: list[Check], part: str, name: str) -> str:
    return " | ".join(one["message"] for one in checks if (one["part"], one["check"]) == (part, name))


@EACH
def test_a_selection_before_its_first_run_and_after_it(
    database: Database, selection: Callable[..., Selection], tmp_path: Path
) -> None:
    create(database, *TABLES)
    runner = selection("sqlite:///many.db", "checked", include=[f"{database.name}.*"])
    code, checks = check(runner, tmp_path)
    assert (code, failures(checks)) == (0, set()), checks
    assert "spec.streams takes 3 of 3 streams" in message(checks, "source", "streams")
    assert message(checks, "source", "readable") == "can be read from the beginning"
    assert message(checks, "dataset", "table").count("will be made") == 3
    runner.start()
    runner.until_equal(targets(database))
    runner.stop()
    create(database, "late")
    code, checks = check(runner, tmp_path)
    assert (code, failures(checks)) == (0, set()), checks
    assert "spec.streams takes 4 of 4 streams" in message(checks, "source", "streams")
    assert "can be read on from the position in the dataset; 1 begin at the start" in message(
        checks, "source", "readable"
    )
    assert message(checks, "dataset", "table").count("will be made") == 1


@EACH
def test_what_a_selection_would_leave_out_is_named(
    database: Database, selection: Callable[..., Selection], tmp_path: Path
) -> None:
    create(database, *TABLES)
    database.execute("CREATE TABLE keyless (v INT)")
    runner = selection("sqlite:///many.db", "checked", include=[f"{database.name}.*"])
    code, checks = check(runner, tmp_path)
    assert (code, failures(checks)) == (78, {("source", "readable", "Preflight")}), checks
    assert f"{database.name}.keyless would be left out" in message(checks, "source", "readable")
    assert message(checks, "dataset", "table").count("will be made") == 3, "the others are looked at all the same"


@EACH
def test_a_pattern_that_matches_nothing(
    database: Database, selection: Callable[..., Selection], tmp_path: Path
) -> None:
    create(database, "orders")
    runner = selection("sqlite:///many.db", "checked", include=[f"{database.name}.ordres"])
    code, checks = check(runner, tmp_path)
    assert (code, failures(checks)) == (78, {("source", "streams", "UnknownStream")}), checks
    assert f"{database.name}.orders" in message(checks, "source", "streams"), "the nearest name is suggested"


@EACH
def test_a_table_of_another_connector_and_one_that_does_not_fit(
    database: Database, selection: Callable[..., Selection], tmp_path: Path
) -> None:
    create(database, *TABLES)
    first = selection("sqlite:///many.db", "first", include=[f"{database.name}.orders"])
    first.start()
    first.until_equal(targets(database, ("orders",)))
    first.stop()
    first.ask(f'CREATE TABLE "{database.name}_items" (id TEXT PRIMARY KEY, other TEXT)')
    second = selection("sqlite:///many.db", "second", include=[f"{database.name}.*"])
    code, checks = check(second, tmp_path)
    assert code == 78
    assert failures(checks) == {("dataset", "owner", "SchemaConflict"), ("dataset", "table", "SchemaConflict")}, checks
    assert "connector default/first" in message(checks, "dataset", "owner")
