"""Iceberg tables: partitions, columns that are added and widened, tables and catalogues that do not fit."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.transforms import TruncateTransform
from pyiceberg.types import ListType, LongType, NestedField, StringType, StructType

from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import ActionRequiredError, SchemaConflictError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import INT64, STRING, TIMESTAMPTZ, Kind, LogicalType
from connector_runner.registry import build_sink
from tests.kit.iceberg_dataset import NAMESPACE, IcebergDataset
from tests.kit.pipeline import SMALL, batch, context, run_to_end

UPSERT = Operation.UPSERT


def row(number: int) -> Batch:
    return batch(SMALL, number, (UPSERT, (number, f"row {number}")))


async def test_rows_lie_in_partitions(tmp_path: Path) -> None:
    dataset = IcebergDataset(tmp_path, "commitEvery=0&partitionBy=days(at),kind")
    schema = StreamSchema("test", (Column("k", INT64), Column("at", TIMESTAMPTZ), Column("kind", STRING)), ("k",))
    at = dt.datetime(2026, 1, 1, 23, 59, 59, tzinfo=dt.UTC)
    rows = [(n, at + dt.timedelta(seconds=n) if n % 5 else None, "ab"[n % 2]) for n in range(8)]
    for mode, name in ((WriteMode.APPEND, "history"), (WriteMode.UPSERT, "state")):
        batches = [batch(schema, 1, *[(UPSERT, row_) for row_ in rows]), batch(schema, 2, (UPSERT, rows[2]))]
        await run_to_end(batches, context(dataset, name, write_mode=mode))
        with dataset.table(name) as table:
            partitions = table.inspect.partitions()["partition"].to_pylist()
            days = {(each["at_day"], each["kind"]) for each in partitions}
            second = dt.date(2026, 1, 2)
            assert days == {(None, "a"), (None, "b"), (second, "a"), (second, "b")}
        assert set(dataset.read(schema, name, order="k")) == set(rows)


async def test_partitions_of_columns_that_have_none_are_refused(tmp_path: Path) -> None:
    for option, said in (
        ("days(k)", "wants the day of the column k, but that is long"),
        ("gone", "names the column gone"),
    ):
        folder = tmp_path / option[:4]
        folder.mkdir()
        dataset = IcebergDataset(folder, f"partitionBy={option}")
        with pytest.raises(ActionRequiredError, match=said.replace("(", r"\(")) as caught:
            await run_to_end([row(1)], context(dataset))
        assert caught.value.reason == "InvalidDataset"


async def test_a_table_with_partitions_of_another_kind_is_refused(tmp_path: Path) -> None:
    dataset = IcebergDataset(tmp_path)
    await run_to_end([row(1)], context(dataset))
    with dataset.table("rows") as table, table.update_spec() as update:
        update.add_field("v", TruncateTransform(2))
    with pytest.raises(ActionRequiredError, match=r"partitioned by v_trunc_2 \(truncate\[2\]\)"):
        await run_to_end([row(1), row(2)], context(dataset, run=2))


async def test_columns_are_added_and_widened(tmp_path: Path) -> None:
    dataset = IcebergDataset(tmp_path)
    narrow = (Column("k", INT64), Column("d", LogicalType(Kind.DECIMAL, 10, 2)), Column("f", LogicalType(Kind.FLOAT32)))
    wide = (Column("k", INT64), Column("d", LogicalType(Kind.DECIMAL, 38, 2)), Column("f", LogicalType(Kind.FLOAT64)), Column("n", STRING))  # fmt: skip
    one, two = StreamSchema("test", narrow, ("k",)), StreamSchema("test", wide, ("k",))
    batches = [
        batch(one, 1, (UPSERT, (1, Decimal("1.50"), 0.5))),
        batch(two, 2, (UPSERT, (2, Decimal(10**35), 0.1, "new"))),
    ]
    await run_to_end(batches, context(dataset))
    assert dataset.read(two, "rows") == [(1, Decimal("1.50"), 0.5, None), (2, Decimal(10**35), 0.1, "new")]
    with pytest.raises(SchemaConflictError, match="column d is decimal"):
        await run_to_end([*batches, batch(one, 3, (UPSERT, (3, Decimal(1), 0.5)))], context(dataset, run=2))


async def test_tables_that_do_not_fit_are_refused_and_untouched(tmp_path: Path) -> None:
    dataset = IcebergDataset(tmp_path)
    dataset.root.mkdir()
    with dataset.catalog() as catalog:
        catalog.create_namespace(NAMESPACE)
        catalog.create_table((NAMESPACE, "rows"), pa.schema([("k", pa.string()), ("v", pa.string())]))
    with pytest.raises(SchemaConflictError, match="column k is string, needed is long"):
        await run_to_end([row(1)], context(dataset))
    await run_to_end([row(1)], context(dataset, "history", write_mode=WriteMode.APPEND))
    with pytest.raises(SchemaConflictError, match="is a history"):
        await run_to_end([row(1), row(2)], context(dataset, "history", run=2))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("iceberg+sqlite:////nowhere/at/all/lake", "/nowhere/at/all does not exist"),
        ("iceberg+sqlite:///broken", "the catalogue's file is no catalogue"),
    ],
)
async def test_a_catalogue_that_can_not_be_opened_is_an_error(tmp_path: Path, url: str, said: str) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "catalog.db").write_bytes(b"no database" * 1000)
    sink = build_sink(context(IcebergDataset(tmp_path), read_url=lambda: url))
    with pytest.raises(ActionRequiredError, match=said):
        await sink.claim()
    await sink.close()


@pytest.mark.parametrize("is_partition", [False, True])
async def test_columns_that_the_stream_does_not_have_keep_their_values(tmp_path: Path, is_partition: bool) -> None:
    dataset = IcebergDataset(tmp_path)
    await run_to_end([batch(SMALL, 1, *[(UPSERT, (k, f"row {k}")) for k in range(1, 5)])], context(dataset))
    inner = StructType(NestedField(101, "x", LongType(), required=False))
    with dataset.table("rows") as table:
        with table.update_schema() as update:
            update.add_column("note", StringType())
            update.add_column("tags", ListType(100, StringType(), element_required=False))
            update.add_column("place", inner)
        if is_partition:
            with table.update_spec() as spec:
                spec.add_identity("note")
        rows = table.scan().to_arrow().to_pylist()
        for each in rows:
            each |= {"note": f"n{each['k'] % 2}", "tags": [f"t{each['k']}"], "place": {"x": each["k"]}}
        table.overwrite(pa.Table.from_pylist(rows, table.schema().as_arrow()))
    operations = (
        (UPSERT, (1, "new")),
        (Operation.DELETE, (2, None)),
        (Operation.INSERT, (5, "fifth")),
        (UPSERT, (6, "six")),
    )
    await run_to_end([row(1), batch(SMALL, 2, *operations)], context(dataset, run=2))
    with dataset.table("rows") as table:
        found = table.scan().to_arrow().sort_by("k").to_pylist()
    kept = {k: {"note": f"n{k % 2}", "tags": [f"t{k}"], "place": {"x": k}} for k in (1, 3, 4)}
    nothing = {"note": None, "tags": None, "place": None}
    values = {1: "new", 3: "row 3", 4: "row 4", 5: "fifth", 6: "six"}
    assert found == [{"k": k, "v": v, **kept.get(k, nothing)} for k, v in values.items()]


async def test_a_history_is_appended_to_whose_partitions_are_of_a_column_that_the_stream_does_not_have(
    tmp_path: Path,
) -> None:
    dataset = IcebergDataset(tmp_path)
    await run_to_end([row(1)], context(dataset, write_mode=WriteMode.APPEND))
    with dataset.table("rows") as table:
        with table.update_schema() as update:
            update.add_column("note", StringType())
        with table.update_spec() as spec:
            spec.add_identity("note")
    await run_to_end([row(1), row(2)], context(dataset, run=2, write_mode=WriteMode.APPEND))
    assert dataset.read(SMALL, "rows", ("note",)) == [(1, "row 1", None), (2, "row 2", None)]


async def test_a_column_that_is_gone_from_the_stream_keeps_its_values(tmp_path: Path) -> None:
    dataset = IcebergDataset(tmp_path)
    wide = StreamSchema("test", (*SMALL.columns, Column("n", STRING)), ("k",))
    first = batch(wide, 1, *[(UPSERT, (k, f"row {k}", f"n {k}")) for k in (1, 2)])
    await run_to_end([first, batch(SMALL, 2, (UPSERT, (1, "new")), (UPSERT, (3, "third")))], context(dataset))
    assert dataset.read(wide, "rows") == [(1, "new", "n 1"), (2, "row 2", "n 2"), (3, "third", None)]


async def test_a_table_with_partitions_of_an_inner_field_is_refused(tmp_path: Path) -> None:
    dataset = IcebergDataset(tmp_path)
    await run_to_end([row(1)], context(dataset))
    with dataset.table("rows") as table:
        with table.update_schema() as update:
            update.add_column("place", StructType(NestedField(101, "x", LongType(), required=False)))
        with table.update_spec() as spec:
            spec.add_identity("place.x")
    with pytest.raises(ActionRequiredError, match=r"partitioned by place.x \(identity\)"):
        await run_to_end([row(1), row(2)], context(dataset, run=2))
