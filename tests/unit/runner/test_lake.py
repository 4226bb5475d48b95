"""Rows as columns of Arrow: value → Parquet → value is the identity, or a refusal; changes by key folded into one; addresses."""

from __future__ import annotations

import datetime as dt
import io
import json
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from sys import getsizeof
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs

from connector_runner.datasets.columnar.beside import Beside
from connector_runner.datasets.columnar.changes import CHANGE_BYTES, Changes, row_bytes
from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.columnar.intents import Intent, decode_intents, encode_intents, named_files
from connector_runner.datasets.columnar.pacing import Pacing
from connector_runner.datasets.columnar.rows import LiveRows, segments
from connector_runner.datasets.columnar.stage import Stage
from connector_runner.datasets.columnar.staged_files import CHANGE, PART_ROWS, StagedFile, write_changes
from connector_runner.datasets.columnar.staging_folder import StagingFolder
from connector_runner.datasets.columnar.types import VALUE_ERRORS, arrow_type
from connector_runner.datasets.write_plan import NAMES
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import ConnectorError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import DECIMAL, INT64, STRING, Kind, LogicalType
from connector_runner.schemas.datasets.delta import Address, parse_address

UPSERT, DELETE, INSERT, REPLACE = Operation
TEXTS = st.text(st.characters(codec=None), max_size=40)
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.BOOL: st.booleans(),
    Kind.INT64: st.integers(-(2**63) - 2, 2**63 + 2),
    Kind.UINT64: st.integers(0, 2**64 - 1),
    Kind.INT256: st.integers(-(2**255), 2**256 - 1),
    Kind.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False),
    Kind.FLOAT32: st.floats(width=32),
    Kind.FLOAT64: st.floats(),
    Kind.STRING: TEXTS,
    Kind.BYTES: st.binary(max_size=40),
    Kind.DATE: st.dates(),
    Kind.TIME: st.times(),
    Kind.TIMESTAMP: st.datetimes() | st.just("294276-12-31T23:59:59.999999"),
    Kind.TIMESTAMPTZ: st.datetimes(timezones=st.just(dt.UTC)) | st.just("10000-01-01T00:00:00Z"),
    Kind.JSON: st.lists(st.booleans() | st.integers(), max_size=3).map(json.dumps),
    Kind.UUID: st.uuids().map(str),
}
READ: dict[Kind, Any] = {Kind.UINT64: int, Kind.INT256: int, Kind.DECIMAL: Decimal, Kind.TIME: dt.time.fromisoformat}
REFUSED = {
    Kind.INT64: lambda value: not -(2**63) <= value < 2**63,
    Kind.STRING: lambda value: any(0xD800 <= ord(letter) < 0xE000 for letter in value),
    Kind.TIMESTAMP: lambda value: isinstance(value, str),
    Kind.TIMESTAMPTZ: lambda value: isinstance(value, str),
}
PAIR = StreamSchema("test", (Column("a", STRING), Column("b", INT64), Column("v", STRING)), ("a", "b"))


def columns_of(type_: LogicalType, *, is_key: bool = False) -> Columns:
    return Columns(StreamSchema("test", (Column("k", INT64), Column("v", type_)), ("v",) if is_key else ("k",)))


def stored(columns: Columns, value: Any) -> Any:
    """What a reader of the file finds."""
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns.convert([(1, value)]), schema=columns.arrow), file)
    return pq.read_table(io.BytesIO(file.getvalue()))["v"].to_pylist()[0]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_value_comes_back_as_it_was_or_is_refused(kind: Kind) -> None:
    columns = columns_of(LogicalType(kind))

    @given(VALUES[kind])
    def check(sent: Any) -> None:
        must_refuse = kind in REFUSED and REFUSED[kind](sent)
        try:
            found = stored(columns, sent)
        except VALUE_ERRORS:
            assert must_refuse, sent
            return
        assert not must_refuse, sent
        found = READ[kind](found) if kind in READ else found
        assert found == sent or (isinstance(sent, float) and math.isnan(sent) and math.isnan(found))

    check()


@given(st.decimals(places=10, min_value=-(10**27), max_value=10**27))
def test_a_decimal_with_a_limit_is_a_decimal(value: Decimal) -> None:
    assert stored(columns_of(LogicalType(Kind.DECIMAL, 38, 10)), value) == value


def test_what_a_decimal_column_can_not_hold_is_refused_and_not_rounded() -> None:
    columns = columns_of(LogicalType(Kind.DECIMAL, 10, 2))
    for value in ("1.234", "123456789.00", "NaN"):
        with pytest.raises(VALUE_ERRORS):
            stored(columns, Decimal(value))
    assert stored(columns, Decimal("1E+3")) == 1000


def test_decimals_of_more_than_38_digits_are_text() -> None:
    assert arrow_type(LogicalType(Kind.DECIMAL, 65, 30)) == pa.string() == arrow_type(DECIMAL)
    assert stored(columns_of(LogicalType(Kind.DECIMAL, 65, 30)), Decimal("1.50")) == "1.50"
    assert stored(columns_of(DECIMAL, is_key=True), Decimal("1.50")) == "1.5"


KEYS = st.tuples(st.sampled_from("xy"), st.integers(0, 2))
STEPS = st.lists(
    st.tuples(st.sampled_from([UPSERT, INSERT, DELETE]), KEYS.map(lambda key: key))
    | st.tuples(st.just(REPLACE), st.sampled_from([(), ("x",), ("y",), ("x", 1)])),
    max_size=12,
)
State = dict[tuple[str, int], Any]


def numbered(steps: Sequence[tuple[int, Any]]) -> list[tuple[int, tuple[Any, ...]]]:
    """With a value of its own in each row."""
    return [(op, row if op == REPLACE else (*row, f"value {place}")) for place, (op, row) in enumerate(steps)]


def one_by_one(state: State, operations: Sequence[tuple[int, tuple[Any, ...]]]) -> State:
    state = dict(state)
    for operation, row in operations:
        if operation == REPLACE:
            state = {key: row_ for key, row_ in state.items() if key[: len(row)] != row}
        elif operation == DELETE:
            state.pop(row[:2], None)
        elif operation == UPSERT or row[:2] not in state:
            state[row[:2]] = row
    return state


def merged(state: State, changes: Changes) -> State:
    """What one merge makes of it: matched and unmatched rows, each once; what is removed is not in the source."""
    found = {
        key: row
        for key, row in state.items()
        if key in changes.rows or not any(key[: len(prefix)] == prefix for prefix in changes.prefixes)
    }
    for key, (operation, row) in changes.rows.items():
        if operation == DELETE:
            found.pop(key, None)
        elif operation == UPSERT or key not in state:
            found[key] = row
    return found


@given(STEPS, st.lists(STEPS, max_size=3))
def test_one_merge_does_what_the_operations_do_one_by_one(first: list[Any], transactions: list[list[Any]]) -> None:
    before = one_by_one({}, numbered(first))
    changes, expected = Changes(PAIR), before
    for steps in transactions:
        operations = numbered(steps)
        changes.add(operations)
        expected = one_by_one(expected, operations)
    assert merged(before, changes) == expected
    assert merged(expected, changes) == expected, "done twice, it changes nothing more"


@given(STEPS, st.lists(STEPS, max_size=3))
def test_what_changes_take_in_memory_is_counted_as_they_come_and_go(first: list[Any], more: list[list[Any]]) -> None:
    changes = Changes(PAIR)
    for steps in [first, *more]:
        changes.add(numbered(steps))
    rows = sum(CHANGE_BYTES + getsizeof(key) + row_bytes(row) for key, (_, row) in changes.rows.items())
    prefixes = sum(CHANGE_BYTES + (row_bytes(prefix) if prefix else 0) for prefix in changes.prefixes)
    assert changes.size == rows + prefixes


def test_the_text_of_changes_is_counted() -> None:
    changes = Changes(PAIR)
    changes.add([(UPSERT, ("a", number, str(number) * 10_000)) for number in range(10)])
    assert 100_000 < changes.size < 110_000
    changes.add([(UPSERT, ("a", number, "short")) for number in range(10)])
    assert changes.size < 10_000


@given(STEPS)
def test_live_rows_are_those_of_the_state(steps: list[Any]) -> None:
    live, operations = LiveRows(PAIR, []), numbered([step for step in steps if step[0] != INSERT])
    for operation, row in operations:
        if operation == REPLACE:
            live.take(row)
        else:
            live.note(NAMES[operation], row)
    assert sorted(live.take(())) == sorted(one_by_one({}, operations).values())


@given(st.lists(st.sampled_from([UPSERT, DELETE, REPLACE]), max_size=8))
def test_a_batch_is_cut_at_its_replacements(codes: list[Operation]) -> None:
    rows = [(f"{place}",) for place in range(len(codes))]
    batch = Batch(PAIR, rows, {"next": 1}, bytes(codes))
    again: list[tuple[int, Any]] = []
    for prefix, part in segments(batch):
        again += [] if prefix is None else [(REPLACE, prefix)]
        again += list(zip(codes[part], rows[part], strict=True))
    assert again == list(zip(codes, rows, strict=True))


def test_intents_come_back_as_they_were() -> None:
    intents = [
        Intent("t", "default/x/s", 7, "{}", files=("a", "b"), rows=3),
        Intent("u", "y", 1, "{}", changes="c", key=("k",)),
    ]
    assert decode_intents(encode_intents(intents)) == intents
    assert encode_intents([]) == ""


def test_addresses_say_where_the_tables_are() -> None:
    assert parse_address("delta:///lake") == Address("lake")
    assert parse_address("delta:////data/lake/raw_{table}?commitEvery=5&targetMiB=64") == Address(
        "/data/lake", "raw_{table}", 5, 64 << 20
    )
    assert parse_address("delta:///{table}").path == "."
    address = parse_address("delta:///lake/raw_{table}")
    assert address.table("trades") == address.table("raw_trades") == "raw_trades"


def test_the_files_that_intents_of_any_connector_name() -> None:
    mine = Intent("rows", "default/mine/s", 3, "", files=("a", "b"))
    theirs = [Intent("rows", "default/other/s", 1, "", changes="c"), Intent("more", "default/other/s", 1, "")]
    pending = {"default/mine": encode_intents([mine]), "default/other": encode_intents(theirs), "default/idle": ""}
    assert named_files(pending) == {"a", "b", "c"}


def test_when_what_is_staged_is_due() -> None:
    pacing = Pacing(30, 1000)
    assert pacing.due_in(5) is None
    pacing.staged(10, 5)
    pacing.staged(999, 15)
    assert [pacing.due_in(now) for now in (15, 35, 99)] == [20, 0, 0]
    pacing.staged(1000, 16)
    assert pacing.due_in(16) == 0
    pacing.clear()
    assert pacing.due_in(16) is None


ROW = StreamSchema("test", (Column("k", INT64, nullable=False), Column("v", STRING)), ("k",))


def test_changes_are_staged_in_parts_and_in_order(tmp_path: Path) -> None:
    changes, columns = Changes(ROW), Columns(ROW)
    count = 2 * PART_ROWS + 1
    changes.add([(UPSERT, (number, f"row {number}")) for number in range(count)])
    changes.add([(DELETE, (5, "gone")), (INSERT, (count, "new"))])
    folder = StagingFolder(fs.LocalFileSystem(), str(tmp_path))
    staged = pq.read_table(
        tmp_path / write_changes(folder, columns, changes, "default/test/test", lambda schema: schema)
    )
    wanted = [{"k": number, "v": f"row {number}", CHANGE: "upsert"} for number in range(count)]
    wanted[5] |= {"v": None, CHANGE: "delete"}
    assert staged.to_pylist() == [*wanted, {"k": count, "v": "new", CHANGE: "insert"}]


class FullFolder(StagingFolder):
    """A folder on a disk that is full."""

    def new_name(self, app: str, kind: str = "") -> str:
        name = super().new_name(app, kind)
        Path(self.path(name)).symlink_to("/dev/full")
        return name


def test_what_a_full_disk_has_no_room_for_is_removed_from_it(tmp_path: Path) -> None:
    """Else each try leaves a part of a file there, and takes what was made free meanwhile."""
    folder, columns, changes = FullFolder(fs.LocalFileSystem(), str(tmp_path)), Columns(ROW), Changes(ROW)
    changes.add([(UPSERT, (1, "one"))])
    with pytest.raises(OSError, match="No space left"):
        write_changes(folder, columns, changes, "default/test/test", lambda schema: schema)
    assert not list(tmp_path.iterdir())
    file = StagedFile(folder, columns.arrow, "default/test/test")
    file.add(pa.Table.from_arrays(columns.convert([(1, "one")]), schema=columns.arrow))
    with pytest.raises(ConnectorError, match="No space left"):
        file.close()
    file.discard()
    assert not list(tmp_path.iterdir())


def test_the_changes_of_all_tables_count_together() -> None:
    def no_table(name: str) -> Any:
        raise AssertionError(name)

    stage = Stage("default/test", no_table, Beside(sqlite3.connect(":memory:"), no_table, "default/test"))
    operations = [(UPSERT, (number, "x" * 1000)) for number in range(10)]
    stage.take([(Columns(ROW), "one", operations)])
    once = stage.size
    stage.take([(Columns(replace(ROW, stream="two")), "two", operations)])
    assert stage.size == 2 * once > 20_000
