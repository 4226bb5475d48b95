"""Partitions of Delta tables: which columns they have, which rows belong together, what can't be one."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.schemas.datasets.partitions import parse_partitions, spell_partitions
from connector_runner.sinks.delta.partitions import Layout, build_layout, read_layout, require_layout

SCHEMA = pa.schema(
    [
        ("k", pa.int64()),
        ("kind", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
        ("local", pa.timestamp("us")),
        ("day", pa.date32()),
        ("price", pa.decimal128(10, 2)),
        ("ok", pa.bool_()),
        ("rate", pa.float64()),
    ]
)


def layout(text: str) -> Layout:
    return build_layout(SCHEMA, parse_partitions(text) or ())


def table(**columns: list[Any]) -> pa.Table:
    return pa.table(columns, schema=pa.schema([SCHEMA.field(name) for name in columns]))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("days(time),kind", (("day", "time"), ("identity", "kind"))),
        ("year(a), month(b)", (("year", "a"), ("month", "b"))),
        ("identity(days)", (("identity", "days"),)),
        ("", ()),
        ("a,a", None),
        ("days(a),day(a)", None),
        ("bucket(a)", None),
        ("days(a", None),
        ("a,,b", None),
    ],
)
def test_the_option(text: str, wanted: object) -> None:
    found = parse_partitions(text)
    assert found == wanted
    if found:
        assert parse_partitions(spell_partitions(found)) == found


@pytest.mark.parametrize(
    ("text", "value", "wanted"),
    [
        ("years(at)", dt.datetime(2026, 1, 2, 3, 59, 59, 999999, dt.UTC), 2026),
        ("months(at)", dt.datetime(987, 1, 2, 3, tzinfo=dt.UTC), "0987-01"),
        ("days(at)", dt.datetime(1, 1, 1, 23, 59, 59, 999999, dt.UTC), dt.date(1, 1, 1)),
        ("days(at)", dt.datetime(1969, 12, 31, 23, 59, 59, 999999, dt.UTC), dt.date(1969, 12, 31)),
        ("hours(at)", dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC), "9999-12-31-23"),
        ("hours(local)", dt.datetime(1969, 12, 31, 22, 59, 59, 999999), "1969-12-31-22"),
        ("years(day)", dt.date(1, 12, 31), 1),
        ("months(day)", dt.date(2026, 11, 29), "2026-11"),
        ("days(day)", dt.date(2026, 11, 29), dt.date(2026, 11, 29)),
    ],
)
def test_derived_columns_have_the_value_in_utc(text: str, value: object, wanted: object) -> None:
    made = layout(text)
    (field,) = made.fields
    derived = made.derive(table(k=[1, 2], **{field.column: [value, None]}))
    assert derived[field.name].to_pylist() == [wanted, None]
    assert derived.schema.field(field.name).type == made.derived.field(field.name).type


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.sampled_from(["a", "b", None]), st.none() | st.datetimes(timezones=st.just(dt.UTC))
        )
    )
)
def test_splitting_keeps_each_row_once_and_in_its_partition(rows: list[tuple[int, str | None, Any]]) -> None:
    made = layout("kind,days(at)")
    columns = dict(zip(("k", "kind", "at"), map(list, zip(*rows, strict=True)) if rows else ([], [], []), strict=True))
    parts = list(made.split(table(**columns)))
    found = []
    for label, part in parts:
        values = json.loads(label)
        assert part.schema.names == ["k", "at"]
        for row in part.to_pylist():
            assert values["at_day"] == (row["at"] and row["at"].date().isoformat())
            found.append((row["k"], values["kind"], row["at"]))
    assert len(parts) == len({label for label, _ in parts})
    by_partition = {label: [row["k"] for row in part.to_pylist()] for label, part in parts}
    for label, numbers in by_partition.items():
        values = json.loads(label)
        here = [
            k for k, kind, at in rows if kind == values["kind"] and (at and at.date().isoformat()) == values["at_day"]
        ]
        assert numbers == here, "in their order"
    assert sorted(found, key=repr) == sorted(rows, key=repr)


def test_values_in_the_log() -> None:
    made = layout("ok,price,day,kind")
    rows = table(k=[1], ok=[True], price=[Decimal("0.10")], day=[dt.date(1, 2, 3)], kind=["a/b'"])
    ((label, _),) = made.split(rows)
    assert json.loads(label) == {"ok": "true", "price": "0.10", "day": "0001-02-03", "kind": "a/b'"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gone", "names the column gone, which the stream has not"),
        ("rate", "names the column rate, whose type double a Delta table can't be partitioned by"),
        ("at", r"of a time take days\(at\)"),
        ("days(kind)", "wants the day of the column kind, but that is string"),
        ("hours(day)", "wants the hour of the column day, but that is date32"),
        ("k,kind,day,price,ok", ""),
    ],
)
def test_what_a_table_can_be_partitioned_by(text: str, said: str) -> None:
    if not said:
        assert layout(text).names == text.split(",")
        return
    with pytest.raises(ActionRequiredError, match=said):
        layout(text)


def test_a_derived_column_needs_a_name_that_is_free_and_one_column_is_none() -> None:
    taken = pa.schema([*SCHEMA, ("AT_DAY", pa.string())])
    with pytest.raises(ActionRequiredError, match="needs the name at_day"):
        build_layout(taken, (("day", "at"),))
    with pytest.raises(ActionRequiredError, match="every column"):
        build_layout(pa.schema([("k", pa.int64())]), (("identity", "k"),))


@pytest.mark.parametrize(
    ("has", "asked", "said"),
    [
        ("days(at),kind", "days(at),kind", ""),
        ("days(at),kind", "", ""),
        ("", "", ""),
        ("", "kind", "has no partitions, but the Dataset's URL says partitionBy=kind"),
        ("days(at)", "hours(at)", r"is partitioned by days\(at\)"),
        ("kind,days(at)", "days(at),kind", r"is partitioned by kind,days\(at\)"),
    ],
)
def test_a_table_keeps_its_partitions(has: str, asked: str, said: str) -> None:
    made = layout(has)
    read = read_layout(made.names, made.text)
    assert read == made
    full = pa.schema([*SCHEMA, *made.derived])
    if not said:
        require_layout(read, full, SCHEMA, parse_partitions(asked) or (), "rows")
        return
    with pytest.raises(ActionRequiredError, match=said):
        require_layout(read, full, SCHEMA, parse_partitions(asked) or (), "rows")


def test_somebody_elses_partitions_by_a_time_are_refused() -> None:
    with pytest.raises(ActionRequiredError, match="in a way that this dataset can't write: it names the column at"):
        require_layout(read_layout(["at"], ""), SCHEMA, SCHEMA, (), "rows")


@pytest.mark.parametrize(
    ("value", "said"), [("", "an empty text there as null"), ("ü" * 42, "too long"), ("ü" * 41, ""), (None, "")]
)
def test_texts_that_can_not_be_a_partition(value: str | None, said: str) -> None:
    made = layout("kind")
    if not said:
        made.require_storable({"kind": pa.array([value], pa.string())})
        return
    with pytest.raises(RefusedError, match=said):
        made.require_storable({"kind": pa.array(["a", value], pa.string())})
