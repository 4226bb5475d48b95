"""The floor plan holds, and each of its rules finds what breaks it (a copy is broken on purpose)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.house import floor_plan
from tests.unit.house.floor_plan import CHECKS, ROOT, find_broken_promises

SOURCE, SINK = "connector_runner/sources/numbers", "connector_runner/sinks/columns"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_floor_plan_is_kept(check: Callable[[Path], Iterator[str]]) -> None:
    assert list(check(ROOT)) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A small checkout that keeps the plan: a source, a sink, two test folders."""
    report = "def report(report):\n    report.connected()\n"
    files = {
        "connector_runner/__init__.py": "", "connector_runner/sources/__init__.py": "", "connector_runner/sinks/__init__.py": "",
        f"{SOURCE}/__init__.py": "def build_source(context): ...\n", f"{SOURCE}/schema.yaml": "type: object\n",
        **{f"{SOURCE}/{room}.py": report if room == "source" else "" for room in floor_plan.SOURCE_ROOMS if room != "decode"},
        f"{SOURCE}/decode/__init__.py": '"""Bytes to rows. Pure."""\n', f"{SOURCE}/decode/rows.py": "import json\n",
        f"{SINK}/__init__.py": "def build_sink(context): ...\ndef build_inspector(context): ...\n",
        f"{SINK}/rows.py": "", f"{SINK}/types.py": "",
        "tests/kit/rows.py": "", "tests/servers/fetch.py": "import tests.kit.rows\n", "tests/fuzz/net/draw.py": "",
        "tests/unit/numbers/test_rows.py": "from tests.kit import rows\nfrom tests.unit.numbers.world import World\n",
        "tests/unit/numbers/world.py": "", "tests/unit/fuzz/test_net.py": "from tests.fuzz.net.draw import Draw\n",
        "tests/e2e/test_all.py": "from tests.kit.rows import Row\n", "tests/e2e/world.py": "",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def found(root: Path) -> list[str]:
    """Without the promises of purity: these are looked at in a process that has not imported the real package."""
    return [problem for check in CHECKS if check is not find_broken_promises for problem in check(root)]


def test_a_small_house_keeps_the_plan(copy: Path) -> None:
    assert found(copy) == []


@pytest.mark.parametrize("room", floor_plan.SOURCE_ROOMS)
def test_a_source_without_a_room_is_named(copy: Path, room: str) -> None:
    path = copy / SOURCE / room
    shutil.rmtree(path) if path.is_dir() else path.with_suffix(".py").unlink()
    assert f"{SOURCE} has no {room}.py or {room}/: {floor_plan.SOURCE_ROOMS[room]}" in found(copy)


def test_a_room_may_be_a_folder(copy: Path) -> None:
    (copy / SOURCE / "discovery").mkdir()
    (copy / SOURCE / "discovery.py").rename(copy / SOURCE / "discovery/__init__.py")
    assert found(copy) == []


@pytest.mark.parametrize(
    ("folder", "name", "text", "problem"),
    [(SOURCE, "schema.yaml", None, f"{SOURCE} has no schema.yaml"),
     (SOURCE, "__init__.py", "", f"{SOURCE}/__init__.py defines no build_source"),
     (SINK, "rows.py", None, f"{SINK} has no rows.py or records.py"),
     (SINK, "types.py", None, f"{SINK} has no types.py or client.py"),
     (SINK, "__init__.py", "def build_sink(context): ...", f"{SINK}/__init__.py defines no build_inspector")],
)  # fmt: skip
def test_a_source_or_sink_that_lacks_something_else_is_named(
    copy: Path, folder: str, name: str, text: str | None, problem: str
) -> None:
    path = copy / folder / name
    path.unlink() if text is None else path.write_text(text)
    assert found(copy) == [problem]


@pytest.mark.parametrize("modules", [(), ("source", "discovery")])
def test_not_exactly_one_reporter_of_a_connection_is_named(copy: Path, modules: tuple[str, ...]) -> None:
    for module in ("source", "discovery"):
        text = "def f(self):\n    self._report.connected()\n" if module in modules else ""
        (copy / SOURCE / f"{module}.py").write_text(text)
    names = ", ".join(f"{module}.py" for module in sorted(modules)) or "none"
    assert found(copy) == [f"{SOURCE}: one module reports `connected`, not {names}"]


def test_a_pipeline_that_reports_a_connection_is_named(copy: Path) -> None:
    path = "connector_runner/pipeline/reader.py"
    (copy / path).parent.mkdir()
    (copy / path).write_text("def f(telemetry):\n    telemetry.connected()\n")
    assert found(copy) == [f"{path} reports `connected`; only a source knows whether it is"]


@pytest.mark.parametrize(
    ("path", "line", "named"),
    [("tests/e2e/test_all.py", "from tests.unit.numbers.world import World", "tests.unit.numbers.world.World"),
     ("tests/unit/numbers/test_rows.py", "from tests.e2e import world", "tests.e2e.world"),
     ("tests/unit/numbers/test_rows.py", "import tests.unit.fuzz.test_net", "tests.unit.fuzz.test_net"),
     ("tests/kit/rows.py", "from tests.unit.numbers.world import World", "tests.unit.numbers.world.World"),
     ("tests/e2e/test_all.py", "from tests.fuzz.net import draw", "tests.fuzz.net.draw"),
     ("tests/e2e/world.py", "from tests.servers.test_fetch import URL", "tests.servers.test_fetch.URL")],
)  # fmt: skip
def test_a_test_folder_that_imports_anothers_is_named(copy: Path, path: str, line: str, named: str) -> None:
    (copy / path).write_text(f"{line}\n")
    assert found(copy) == [f"{path} imports {named}; what several test folders need belongs to tests/kit"]


HOUSE_OF_PROMISES: dict[str, dict[str, str]] = {
    "not at all": {},
    "itself": {f"{SOURCE}/decode/rows.py": "import socket\n"},
    "in its module": {f"{SOURCE}/position.py": '"""A position. Pure."""\nimport asyncio\n'},
    "by a detour": {
        f"{SOURCE}/decode/rows.py": f"from {SOURCE.replace('/', '.')}.errors import E\n",
        f"{SOURCE}/errors.py": "import websockets\nE = 1\n",
    },
}


@pytest.mark.parametrize("how", HOUSE_OF_PROMISES)
def test_a_pure_module_that_does_io_is_named(copy: Path, how: str) -> None:
    for name, text in HOUSE_OF_PROMISES[how].items():
        (copy / name).write_text(text)
    code = f"from pathlib import Path; from tests.unit.house.floor_plan import *; print(*find_broken_promises(Path({str(copy)!r})))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if how == "not at all":
        assert answer == "\n"
    else:
        assert re.fullmatch(r"connector_runner\.sources\.numbers\.\S+ promises to do no I/O, but imports .+\n", answer)


CONTRACTS = {
    f"{SOURCE}/decode/rows.py": ("import threading", "Decoders never touch a socket"),
    f"{SOURCE}/position.py": ("import socket", "What a source keeps, is told and means is pure: positions, settings, errors"),
    f"{SOURCE}/source.py": (
        "import connector_runner.sources.mysql.source",
        "Sources and sinks know neither each other nor the pipeline",
    ),
    f"{SINK}/types.py": (
        "import connector_runner.sinks.http.records\nimport connector_runner.registry",
        "Sinks and the pipeline know nothing of commands and registry",
    ),
    f"{SOURCE}/errors.py": ("import connector_runner.datasets", "Sources know nothing of datasets, commands and registry"),
    "connector_runner/schemas/numbers.py": (
        "import connector_runner.pipeline.engine",
        "What sources and sinks stand on knows none of them, nor the pipeline, the commands and the operator",
    ),
}  # fmt: skip


def test_import_linter_checks_a_source_and_a_sink_that_nobody_listed(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "connector_runner", tmp_path / "connector_runner", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, (line, _) in CONTRACTS.items():
        for folder in (tmp_path / name).parents:
            if folder.is_relative_to(tmp_path / "connector_runner"):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "__init__.py").touch()
        (tmp_path / name).write_text(f"{line}\n")
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    said = " ".join(answer.stdout.split())
    assert answer.returncode == 1
    for _, name in CONTRACTS.values():
        assert f"{name} BROKEN" in said, f"{name} is kept"
    for module in ("numbers.decode.rows", "sources.numbers", "sinks.columns", "numbers.errors", "schemas.numbers"):
        assert module in said


def test_the_operator_is_forbidden_all_of_the_runner_but_two_packages() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    listed = next(
        contract["forbidden_modules"] for contract in contracts if contract["source_modules"] == ["connector_operator"]
    )
    modules = {path.stem for path in (ROOT / "connector_runner").iterdir() if path.suffix == ".py" or path.is_dir()}
    modules -= {"__init__", "__pycache__", "schemas", "resilience"}
    assert sorted(listed) == sorted(f"connector_runner.{module}" for module in modules)
