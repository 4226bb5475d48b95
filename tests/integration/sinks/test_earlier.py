"""Datasets that an earlier build filled: this build continues from their positions, row for row."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_inspector
from tests.integration.sinks.earlier.stream import EARLIER, HISTORY, LATER, SCHEMA, STATE
from tests.kit.datasets import Dataset, HttpDataset, PostgresDataset, fresh_dataset
from tests.kit.pipeline import context, run_to_end

FILES = Path(__file__).parent / "earlier"
GAPS = ["trade 0 can't be had", "trade 4 can't be had"]


def fill_sqlite(path: Path, text: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)


def load(dataset: Dataset) -> None:
    """What the earlier build left."""
    if isinstance(dataset, PostgresDataset):
        with psycopg.connect(dataset.url, autocommit=True) as connection:
            connection.execute((FILES / "postgresql.sql").read_bytes())
    elif isinstance(dataset, HttpDataset):
        (dump,) = FILES.glob("http-*.sql")
        fill_sqlite(dataset.directory / f"{dump.stem.removeprefix('http-')}.db", dump.read_text())
    else:
        fill_sqlite(dataset.directory / "dataset.db", (FILES / "sqlite.sql").read_text())


@pytest.fixture
def earlier(dataset: Dataset, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dataset]:
    """Another one of the same kind, as the earlier build left it."""
    folder = tmp_path / "earlier"
    folder.mkdir()
    with fresh_dataset(dataset.name, folder, request.getfixturevalue) as made:
        load(made)
        yield made


def companions(dataset: Dataset, table: str) -> tuple[list[int], list[Any], list[Any]]:
    """Numbers and positions of the dead letters, and messages of the incidents."""
    letters = dataset.query(f"SELECT id, position FROM {table}_dead_letters ORDER BY id")
    incidents = dataset.query(f"SELECT message FROM {table}_incidents ORDER BY id")
    return [row[0] for row in letters], [json.loads(row[1])["next"] for row in letters], [row[0] for row in incidents]


async def test_rows_by_key_go_on(earlier: Dataset) -> None:
    await run_to_end([*EARLIER, *LATER], context(earlier, run=2))
    assert earlier.read(SCHEMA, "rows") == STATE
    assert companions(earlier, "rows") == ([1, 2], [2, 5], GAPS)
    inspector = build_inspector(context(earlier))
    (found,) = inspector.checkpoints()
    inspector.close()
    assert (found.epoch, found.run, found.position) == (2, 2, {"next": 5})
    assert found.number > 2, "transactions are counted on"


async def test_a_history_goes_on(earlier: Dataset) -> None:
    await run_to_end([*EARLIER, *LATER], context(earlier, "history", run=2, write_mode=WriteMode.APPEND))
    found = earlier.read(SCHEMA, "history", ["_op", "_position", "_connector", "_stream"], "_id")
    assert [(row[8], json.loads(row[9])["next"], row[:8]) for row in found] == HISTORY
    assert {row[10:] for row in found} == {("default/test", "test")}
    assert companions(earlier, "history") == ([1, 2], [2, 5], GAPS)


async def test_a_checkpoint_that_was_reset_starts_over(earlier: Dataset) -> None:
    await run_to_end([*EARLIER, *LATER], context(earlier, "again"))
    assert earlier.read(SCHEMA, "again") == STATE
    assert companions(earlier, "again") == ([1, 2], [2, 5], [GAPS[0], *GAPS])


async def test_what_goes_out_by_http_goes_on(tmp_path: Path) -> None:
    dataset = HttpDataset(tmp_path)
    load(dataset)
    await run_to_end([*EARLIER, *LATER], context(dataset, run=2))
    sent = [(record["product"], record["number"]) for _, record in dataset.server.received if "number" in record]
    assert sent == [('"BTC"', "5"), ('"ETH"', "2"), ('"ETH"', "3")]
    assert companions(dataset, "rows") == ([1, 2], [2, 5], GAPS)
    assert dataset.query("SELECT epoch, run, number > 2, position FROM _connector_checkpoints") == [
        (2, 2, 1, '{"next":5}')
    ]
    dataset.close()


def definitions(dataset: Dataset) -> list[Any]:
    """Every table's columns as the database keeps them."""
    if isinstance(dataset, PostgresDataset):
        return dataset.query(
            "SELECT table_name, column_name, data_type, is_nullable, is_identity, ordinal_position FROM "
            "information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 6"
        ) + dataset.query("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
    found = dataset.query("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
    return [(name, re.sub(r"\s+", " ", sql)) for name, sql in found]


async def test_tables_are_made_as_they_were(dataset: Dataset, earlier: Dataset) -> None:
    for table, mode in [("rows", WriteMode.UPSERT), ("history", WriteMode.APPEND), ("again", WriteMode.UPSERT)]:
        await run_to_end(EARLIER[:1], context(dataset, table, write_mode=mode))
    assert definitions(dataset) == definitions(earlier)
