"""What is left to alter in the transaction that renews a table."""

from __future__ import annotations

import pytest

from connector_runner.datasets.names import METADATA
from connector_runner.datasets.renewal import Renewal, clearing
from connector_runner.datasets.schema_evolution import Alteration, FoundColumn, FoundTable, fit_table
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import SchemaConflictError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import Transaction
from connector_runner.protocols.types import INT64, STRING

SCHEMA = StreamSchema("s", (Column("k", INT64), Column("v", STRING)), ("k",))
TYPES = {"k": "INTEGER", "v": "TEXT"}
EMPTYING = Batch(SCHEMA, [()], {"at": 2}, bytes([Operation.REPLACE]), renews=True)
POSITION, ROWS = Batch(SCHEMA, [], {"at": 1}), Batch(SCHEMA, [(1, "a")], {"at": 3})


def test_only_the_first_transaction_that_renews_has_the_statements_however_often_it_is_tried() -> None:
    renewal = Renewal(["one", "two"])
    assert renewal.of(Transaction(4, (ROWS, EMPTYING))) == (), "its rows come before the table is emptied"
    assert renewal.of(Transaction(4, (POSITION,))) == ()
    for _ in range(2):
        assert renewal.of(Transaction(5, (POSITION, EMPTYING, ROWS))) == ("one", "two")
    assert renewal.of(Transaction(6, (ROWS,))) == ()
    assert renewal.of(Transaction(7, (EMPTYING,))) == (), "the table has what the first one gave it"
    assert Renewal([]).of(Transaction(1, (EMPTYING,))) == ()


def test_the_table_is_emptied_first() -> None:
    found = clearing([ROWS, EMPTYING])
    assert (found.rows, found.operations, found.position) == ([()], bytes([Operation.REPLACE]), {"at": 3})


def fit(found: FoundTable, *, own: bool = True, append: bool = False, renews: bool = True) -> Alteration:
    types = TYPES | (dict.fromkeys(METADATA, "TEXT") if append else {})
    return fit_table(SCHEMA, found, types, table="t", own=own, widens={}, append=append, renews=renews)


def test_types_and_key_change_only_with_new_rows_and_in_an_own_table() -> None:
    table = FoundTable({"k": FoundColumn("TEXT", True), "v": FoundColumn("BLOB", True)}, ("v",))
    assert fit(table) == Alteration(retyped=("k", "v"), aside=("k (TEXT)", "v (BLOB)"), rekeyed=True)
    for given in ({"own": False}, {"renews": False}):
        with pytest.raises(SchemaConflictError, match=r"column k is TEXT.*column v is BLOB.*its key is \(v\)"):
            fit(table, **given)
    assert not fit(FoundTable({"k": FoundColumn("INTEGER", True), "v": FoundColumn("TEXT")}, ("k",))).renews


@pytest.mark.parametrize(("key", "others"), [((), ()), (("v",), (("v",), ("z",)))])
def test_the_key_stays_where_another_constraint_might_refuse_rows(
    key: tuple[str, ...], others: tuple[tuple[str, ...], ...]
) -> None:
    columns = {"k": FoundColumn("INTEGER"), "v": FoundColumn("TEXT"), "z": FoundColumn("TEXT")}
    with pytest.raises(SchemaConflictError, match=r"needed is \(k\)"):
        fit(FoundTable(columns, key, others))


def test_what_others_need_a_value_for_is_still_a_difference() -> None:
    columns = {"k": FoundColumn("TEXT", True), "v": FoundColumn("TEXT"), "mine": FoundColumn("TEXT", True)}
    with pytest.raises(SchemaConflictError, match="column mine needs a value"):
        fit(FoundTable(columns, ("k",)))


def test_columns_of_a_history_get_names_that_are_free_and_short() -> None:
    long = "ä" * 31
    schema = StreamSchema("s", (Column(long, INT64), Column("v", STRING)), ("v",))
    metadata = {name: FoundColumn("TEXT") for name in METADATA}
    columns = {long: FoundColumn("BLOB"), "v": FoundColumn("REAL"), "v (REAL)": FoundColumn("REAL"), **metadata}
    found = fit_table(
        schema, FoundTable(columns, ("_id",)), {long: "INTEGER", "v": "TEXT", **dict.fromkeys(METADATA, "TEXT")},
        table="t", own=True, widens={}, append=True, renews=True,
    )  # fmt: skip
    assert found.aside == (f"{'ä' * 28} (BLOB)", "v (REAL 2)")
    assert not found.rekeyed


def test_the_columns_of_a_history_itself_keep_their_types() -> None:
    columns = {
        "k": FoundColumn("INTEGER"),
        "v": FoundColumn("TEXT"),
        **{name: FoundColumn("BLOB") for name in METADATA},
    }
    with pytest.raises(SchemaConflictError, match="column _op is BLOB"):
        fit(FoundTable(columns, ("_id",)), append=True)
