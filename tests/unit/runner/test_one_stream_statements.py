"""A connector of one stream says to its dataset exactly what it always said: the statements, their values, their number.

`golden/one_stream.json` was written by the build before selections (645e2e1), by this file: `python -m tests.unit.runner.test_one_stream_statements FILE`.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.batch import Batch, Incident
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import SinkContext, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import INT64, STRING
from connector_runner.registry import build_sink
from connector_runner.schemas.manifest import TakeOver

GOLDEN = Path(__file__).with_name("golden") / "one_stream.json"
SCHEMA = StreamSchema("s", (Column("k", INT64, nullable=False), Column("v", STRING)), ("k",))
said: list[tuple[str, list[Any]]] = []


class Listening(sqlite3.Connection):
    """Writes down what is said."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        said.append((sql, list(parameters)))
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        rows: list[Sequence[Any]] = list(parameters)
        said.append((sql, [list(row) for row in rows]))
        return super().executemany(sql, rows)


def orders(folder: Path, run: int, connector: str = "d/c", **more: Any) -> SinkContext:
    return SinkContext(lambda: "sqlite:///x.db", {"s": "rows"}, connector, uid="u", run=run, directory=folder, **more)


async def carry(folder: Path) -> None:
    """Two runs in each write mode, with all that a transaction may hold, and a take-over."""
    for mode in WriteMode:
        (folder / mode.value).mkdir()
        for run in (1, 2):
            sink = build_sink(orders(folder / mode.value, run, write_mode=mode))
            number = (await sink.claim()).number
            await sink.prepare(SCHEMA)
            await sink.write(Transaction(number + 1))
            first = Batch(SCHEMA, [(1, "a"), (2, "b")], {"next": 1}, incidents=(Incident("gap", "x", "m"),))
            second = Batch(SCHEMA, [(1, "a"), (2, "b")], {"next": 2}, bytes([0, 1]))
            await sink.write(Transaction(number + 2, (first, second), "id"))
            await sink.write(Transaction(number + 3, (Batch(SCHEMA, [(2**63, "a"), (2, "b")], {"next": 3}),), "id"))
            await sink.recover()
            await sink.close()
    sink = build_sink(orders(folder / "upsert", 3, "d/new", take_over=TakeOver("d/c", 2)))
    await sink.claim()
    await sink.close()


async def test_one_stream_says_what_it_always_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, factory=Listening, **k))
    said.clear()
    await carry(tmp_path)
    golden = json.loads(GOLDEN.read_text())
    assert len(said) == len(golden)
    assert json.loads(json.dumps(said)) == golden


if __name__ == "__main__":
    import tempfile

    connect_ = sqlite3.connect
    sqlite3.connect = lambda *a, **k: connect_(*a, factory=Listening, **k)  # type: ignore[assignment]
    asyncio.run(carry(Path(tempfile.mkdtemp())))
    Path(sys.argv[1]).write_text(json.dumps(said, indent=1) + "\n")
