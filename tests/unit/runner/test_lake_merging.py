"""By what a merge into a Delta table finds rows, and leaves files out."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from connector_runner.schemas.datasets.partitions import parse_partitions
from connector_runner.sinks.delta.merging import condition
from connector_runner.sinks.delta.partitions import build_layout

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
CHANGES = pa.table(
    {"k": [7, 3], "name": ["b", "a'"], "at": [NOON, NOON], "v": ["x", "y"]},
    schema=pa.schema([("k", pa.int64()), ("name", pa.string()), ("at", pa.timestamp("us", "UTC")), ("v", pa.string())]),
)
BOTH = "t.`name` = s.`name` AND t.`k` = s.`k`"


@pytest.mark.parametrize(
    ("key", "partitions", "wanted"),
    [
        (["k"], "", "t.`k` = s.`k` AND t.`k` >= 3 AND t.`k` <= 7"),
        (["name"], "", "t.`name` = s.`name`"),
        (["at"], "", "t.`at` = s.`at`"),
        (["name", "k"], "", f"{BOTH} AND t.`k` >= 3 AND t.`k` <= 7"),
        (["name"], "v", "t.`name` = s.`name`"),
        (["name"], "name", "t.`name` = s.`name` AND t.`name` IN ('b', 'a''')"),
        (["at"], "days(at)", "t.`at` = s.`at` AND t.`at_day` IN (CAST('2026-01-01' AS DATE))"),
        (["name"], "days(at)", "t.`name` = s.`name`"),
    ],
)
def test_files_are_left_out_only_by_what_the_key_decides(key: list[str], partitions: str, wanted: str) -> None:
    layout = build_layout(CHANGES.schema, parse_partitions(partitions) or ())
    assert condition(layout, layout.derive(CHANGES), key, is_anywhere=False) == wanted
    assert (
        condition(layout, layout.derive(CHANGES), key, is_anywhere=True)
        == wanted.split(" AND t.`k` >=")[0].split(" AND t.`name` IN")[0].split(" AND t.`at_day`")[0]
    )


def test_too_many_partitions_are_not_listed() -> None:
    changes = pa.table({"k": pa.array(range(2000), pa.int64()), "v": ["x"] * 2000})
    layout = build_layout(changes.schema, parse_partitions("k") or ())
    assert condition(layout, changes, ["k"], is_anywhere=False) == "t.`k` = s.`k` AND t.`k` >= 0 AND t.`k` <= 1999"
