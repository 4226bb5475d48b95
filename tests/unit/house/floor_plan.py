"""The floor plan, checked: `python -m tests.unit.house.floor_plan` (part of `make lint`) names what breaks it.

Every function takes the checkout's top and gives sentences; none means that all is well. What imports what is import-linter's work
(`pyproject.toml`); here is what it can't say. `test_floor_plan.py` breaks each rule on purpose.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[3]
SOURCES, SINKS = Path("connector_runner/sources"), Path("connector_runner/sinks")
SOURCE_ROOMS = {
    "decode": "bytes to rows, without I/O",
    "discovery": "which streams there are",
    "errors": "what a failure means and how one recovers",
    "position": "what a checkpoint holds",
    "reference": "BLOCKS, what builds the generated blocks of its page in docs/",
    "settings": "the configuration as typed values",
    "source": "the verbs of the protocol",
}
"""What each source has, and what is in it."""
SINK_ROOMS = (("rows", "records"), ("types", "client"))
"""Each sink has one room of each pair: its words for rows, and what a value becomes (or, over HTTP, what is sent)."""
IO = {
    "aiohttp", "asyncio", "http.client", "kopf", "kubernetes", "psycopg", "psycopg_pool", "pymysql", "requests", "select", "selectors",
    "socket", "sqlite3", "ssl", "subprocess", "threading", "urllib.request", "web3", "websockets",
}  # fmt: skip
PROMISE = re.compile(r"\bPure\b|\bwithout I/O\b")
CONVERTERS = ("connector_runner.sinks.postgresql.types", "psycopg")
"""The one import of a client that is no I/O: what turns values into libpq's texts."""
INFRASTRUCTURE = ("kit", "localkube", "scripted", "servers", "simulators")
"""Folders of tests that any other may import; they import only each other."""


def find_missing_rooms(root: Path) -> Iterator[str]:
    """A source or sink without one of the rooms that a reader expects."""
    for folder in _folders(root / SOURCES):
        for room, purpose in SOURCE_ROOMS.items():
            if not _has_room(folder, room):
                yield f"{SOURCES / folder.name} has no {room}.py or {room}/: {purpose}"
        yield from _lacks(folder, "build_source", SOURCES)
        if not (folder / "schema.yaml").exists():
            yield f"{SOURCES / folder.name} has no schema.yaml"
    for folder in _folders(root / SINKS):
        for pair in SINK_ROOMS:
            if not any(_has_room(folder, room) for room in pair):
                yield f"{SINKS / folder.name} has no {' or '.join(f'{room}.py' for room in pair)}"
        yield from _lacks(folder, "build_sink", SINKS)
        yield from _lacks(folder, "build_inspector", SINKS)


def find_broken_promises(root: Path) -> Iterator[str]:
    """A module that calls itself pure, or stands in a folder that does, and imports what does I/O, however indirectly."""
    for package in ("connector_runner", "operator/connector_operator", "generate"):
        if (root / package).is_dir():
            yield from _broken_promises_of(root / package)


def find_reporters(root: Path) -> Iterator[str]:
    """A source in which not exactly one module reports that it is connected, or another module that reports it."""
    for folder in _folders(root / SOURCES):
        modules = [path for path in sorted(folder.rglob("*.py")) if _reports_connected(path)]
        if len(modules) != 1:
            found = ", ".join(str(path.relative_to(folder)) for path in modules) or "none"
            yield f"{SOURCES / folder.name}: one module reports `connected`, not {found}"
    for path in sorted((root / SOURCES.parent).rglob("*.py")):
        if not path.is_relative_to(root / SOURCES) and _reports_connected(path):
            yield f"{path.relative_to(root)} reports `connected`; only a source knows whether it is"


def find_neighbours(root: Path) -> Iterator[str]:
    """A test folder that imports another's modules: what several need belongs to `tests/kit`."""
    for path in sorted((root / "tests").rglob("*.py")):
        home = _area(path.relative_to(root).with_suffix("").parts)
        for module in _imported(path):
            area = _area(tuple(module.split(".")))
            if module.split(".")[0] != "tests" or area in {(), home, ("tests",)} or _may_use(home, module, area):
                continue
            yield f"{path.relative_to(root)} imports {module}; what several test folders need belongs to tests/kit"


CHECKS: tuple[Callable[[Path], Iterator[str]], ...] = (
    find_missing_rooms,
    find_broken_promises,
    find_reporters,
    find_neighbours,
)


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if (path / "__init__.py").exists())


def _has_room(folder: Path, room: str) -> bool:
    return (folder / f"{room}.py").exists() or (folder / room / "__init__.py").exists()


def _reports_connected(path: Path) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "connected"
        for node in ast.walk(ast.parse(path.read_text()))
    )


def _lacks(folder: Path, function: str, parent: Path) -> Iterator[str]:
    tree = ast.parse((folder / "__init__.py").read_text())
    if not any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body):
        yield f"{parent / folder.name}/__init__.py defines no {function}"


def _broken_promises_of(package: Path) -> Iterator[str]:
    promising = set[str]()
    for path in sorted(package.rglob("*.py")):
        module = _module(path, package)
        if PROMISE.search(ast.get_docstring(ast.parse(path.read_text())) or "") or _within(module, promising):
            promising.add(module)
    if not promising:
        return
    sys.path.insert(0, str(package.parent))
    try:
        graph = grimp.build_graph(package.name, include_external_packages=True, cache_dir=None)
    finally:
        sys.path.remove(str(package.parent))
    if set(CONVERTERS) <= graph.modules:
        graph.remove_import(importer=CONVERTERS[0], imported=CONVERTERS[1])
    for module in sorted(promising):
        chains = (graph.find_shortest_chain(module, name) for name in sorted(IO & graph.modules))
        if chain := next(filter(None, chains), None):
            yield f"{module} promises to do no I/O, but imports {' → '.join(chain[1:])}"


def _within(module: str, promising: set[str]) -> bool:
    """A folder's promise holds for all in it."""
    return any(module.startswith(f"{other}.") for other in promising)


def _module(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _area(parts: tuple[str, ...]) -> tuple[str, ...]:
    """`tests/unit/mysql/test_x` is of (tests, unit, mysql), `tests/e2e/test_x` of (tests, e2e)."""
    depth = 3 if parts[1:2] in {("unit",), ("integration",), ("fuzz",)} else 2
    return parts[:depth] if len(parts) > depth else parts[: len(parts) - 1]


def _may_use(home: tuple[str, ...], module: str, area: tuple[str, ...]) -> bool:
    if area[1] in INFRASTRUCTURE:
        return not any(part.startswith("test_") for part in module.split("."))
    return home == ("tests", "unit", *area[1:2])  # tests of a test tool: tests/unit/fuzz of tests/fuzz


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def main() -> int:
    """Prints every problem; 1 when there is one."""
    problems = [problem for check in CHECKS for problem in check(ROOT)]
    print("\n".join(problems) or f"floor plan: {len(CHECKS)} rules kept")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
