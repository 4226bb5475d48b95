"""Values into files of Iceberg tables and back, as any reader of such tables finds them: by pyiceberg's own reader; no catalogue."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.expressions import AlwaysTrue, EqualTo, IsNull
from pyiceberg.expressions.visitors import _InclusiveMetricsEvaluator
from pyiceberg.io.pyarrow import ArrowScan, PyArrowFileIO
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema, promote
from pyiceberg.table import FileScanTask
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

from connector_runner.datasets.columnar.columns import Columns
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import DATE, FLOAT32, FLOAT64, INT64, TIMESTAMP, TIMESTAMPTZ, Kind, LogicalType
from connector_runner.schemas.datasets.partitions import parse_partitions
from connector_runner.sinks.iceberg.data_files import write_data_files
from connector_runner.sinks.iceberg.partitions import build_spec, split_rows
from connector_runner.sinks.iceberg.types import build_schema, iceberg_type, widens
from tests.unit.runner.test_lake import READ, REFUSED, VALUES

FEW = settings(max_examples=15)  # each writes and reads a file
IO = PyArrowFileIO()


def columns_of(type_: LogicalType) -> Columns:
    return Columns(StreamSchema("test", (Column("k", INT64), Column("v", type_)), ("k",)))


def describe(schema: Schema, folder: Path) -> TableMetadata:
    """The metadata of a new table."""
    return new_table_metadata(schema, UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER, str(folder))


def write(columns: Columns, values: Sequence[Any], folder: Path) -> tuple[TableMetadata, DataFile]:
    metadata = describe(build_schema(columns.arrow), folder)
    (folder / "data").mkdir(exist_ok=True)
    rows = pa.Table.from_arrays(columns.convert(list(enumerate(values))), schema=columns.arrow)
    (file,) = write_data_files(IO, metadata, [rows], columns.arrow, 1 << 30)
    file.spec_id = metadata.default_spec_id  # known where a manifest lists it
    return metadata, file


def read(metadata: TableMetadata, file: DataFile) -> list[Any]:
    found = ArrowScan(metadata, IO, metadata.schema(), AlwaysTrue()).to_table([FileScanTask(file)])
    values: list[Any] = found["v"].to_pylist()
    return values


def is_same(kind: Kind, found: Any, sent: Any) -> bool:
    if found is None or sent is None:
        return found is sent
    found = READ[kind](found) if kind in READ else found
    return bool(found == sent or (isinstance(sent, float) and math.isnan(sent) and math.isnan(found)))


@pytest.mark.parametrize("kind", list(Kind))
def test_values_and_nulls_come_back_as_they_were_and_no_reader_passes_their_file_over(
    kind: Kind, tmp_path: Path
) -> None:
    columns = columns_of(LogicalType(kind))
    values: st.SearchStrategy[Any] = VALUES[kind].filter(lambda value: kind not in REFUSED or not REFUSED[kind](value))

    @FEW
    @given(st.lists(st.none() | values, min_size=1, max_size=8))
    def check(sent: list[Any]) -> None:
        metadata, file = write(columns, sent, tmp_path)
        found = read(metadata, file)
        assert len(found) == len(sent)
        assert all(is_same(kind, *pair) for pair in zip(found, sent, strict=True)), (found, sent)
        for value in found:
            if not (isinstance(value, float) and math.isnan(value)):
                assert may_have(metadata.schema(), file, value), value

    check()


def may_have(schema: Schema, file: DataFile, value: Any) -> bool:
    """Whether a reader that asks for this value looks into the file, by the ranges of values that it is listed with."""
    equal: Any = EqualTo
    null: Any = IsNull
    asked = null("v") if value is None else equal("v", value)
    return bool(_InclusiveMetricsEvaluator(schema, asked).eval(file))


@FEW
@given(st.data())
def test_decimals_with_up_to_38_digits_are_exact_in_each_precision(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    precision = data.draw(st.integers(1, 38))
    scale = data.draw(st.integers(0, precision))
    whole = st.integers(-(10**precision) + 1, 10**precision - 1)
    drawn = data.draw(st.lists(whole, min_size=1, max_size=8))
    sent = [Decimal((int(each < 0), tuple(map(int, str(abs(each)))), -scale)) for each in drawn]
    columns = columns_of(LogicalType(Kind.DECIMAL, precision, scale))
    metadata, file = write(columns, sent, tmp_path_factory.mktemp("decimals"))
    found = read(metadata, file)
    assert found == sent
    assert all(may_have(metadata.schema(), file, value) for value in found)


WIDER = [
    (FLOAT32, FLOAT64, st.floats(width=32, allow_nan=False)),
    (LogicalType(Kind.DECIMAL, 9, 2), LogicalType(Kind.DECIMAL, 38, 2), st.decimals(-9_999_999, 9_999_999, places=2)),
    (LogicalType(Kind.DECIMAL, 18, 0), LogicalType(Kind.DECIMAL, 20, 0), st.integers(-(10**18) + 1, 10**18 - 1).map(Decimal)),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "values"), WIDER)
def test_older_files_have_the_same_values_in_a_wider_column(
    before: LogicalType, after: LogicalType, values: st.SearchStrategy[Any], tmp_path: Path
) -> None:
    older, newer = columns_of(before), columns_of(after)
    assert widens(iceberg_type(older.arrow.field("v").type), iceberg_type(newer.arrow.field("v").type))

    @FEW
    @given(st.lists(st.none() | values, min_size=1, max_size=8))
    def check(sent: list[Any]) -> None:
        _, file = write(older, sent, tmp_path)
        assert read(describe(build_schema(newer.arrow), tmp_path), file) == sent

    check()


def test_what_is_widened_is_what_icebergs_rules_allow() -> None:
    decimals = [LogicalType(Kind.DECIMAL, precision, scale) for precision in (9, 18, 38) for scale in (0, 2)]
    types = [columns_of(each).arrow.field("v").type for each in [*map(LogicalType, Kind), *decimals]]
    icebergs = list(dict.fromkeys(map(iceberg_type, types)))
    allowed = [(found, wanted) for found in icebergs for wanted in icebergs if widens(found, wanted)]
    assert len(allowed) >= 4
    for found, wanted in allowed:
        assert promote(found, wanted) == wanted


TIMES = [(TIMESTAMP, st.datetimes()), (TIMESTAMPTZ, st.datetimes(timezones=st.just(dt.UTC))), (DATE, st.dates())]
PARTS = {Kind.TIMESTAMP: ("years", "months", "days", "hours"), Kind.TIMESTAMPTZ: ("years", "months", "days", "hours"),
         Kind.DATE: ("years", "months", "days")}  # fmt: skip


@pytest.mark.parametrize(("type_", "times", "part"), [(*each, part) for each in TIMES for part in PARTS[each[0].kind]])
def test_the_partition_of_each_time_is_what_icebergs_transform_says(
    type_: LogicalType, times: st.SearchStrategy[Any], part: str
) -> None:
    columns = columns_of(type_)
    schema = build_schema(columns.arrow)
    spec = build_spec(schema, parse_partitions(f"{part}(v)") or ())
    transform = spec.fields[0].transform.transform(schema.find_field("v").field_type)

    @given(st.lists(st.none() | times, min_size=1, max_size=8))
    def check(sent: list[Any]) -> None:
        rows = pa.Table.from_arrays(columns.convert(list(enumerate(sent))), schema=columns.arrow)
        found = {key: values[0] for values, part in split_rows(spec, schema, rows) for key in part["k"].to_pylist()}
        assert [found[key] for key in range(len(sent))] == [transform(_number(value)) for value in sent]

    check()


def test_each_row_is_in_one_partition_of_floats() -> None:
    columns = columns_of(LogicalType(Kind.FLOAT64))
    schema = build_schema(columns.arrow)
    spec = build_spec(schema, parse_partitions("v") or ())
    sent = [(0, 0.0), (1, -0.0), (2, math.nan), (3, None), (4, 1.5), (5, math.nan), (6, -0.0)]
    rows = pa.Table.from_arrays(columns.convert(sent), schema=columns.arrow)
    parts = {str(values[0]): part["k"].to_pylist() for values, part in split_rows(spec, schema, rows)}
    assert parts == {"0.0": [0], "-0.0": [1, 6], "nan": [2, 5], "None": [3], "1.5": [4]}


def _number(value: Any) -> int | None:
    """A time as Iceberg counts it: microseconds, or days."""
    if value is None:
        return None
    if isinstance(value, dt.datetime):
        return int((value.replace(tzinfo=None) - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1))
    return int((value - dt.date(1970, 1, 1)).days)
