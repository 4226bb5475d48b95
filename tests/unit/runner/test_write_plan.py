"""Set-based steps lead where the operations one after the other lead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.datasets.write_plan import Step, plan_append, plan_upsert
from connector_runner.protocols.batch import Batch, Operation, Row
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import INT64, STRING
from tests.scripted.script import apply

SCHEMA = StreamSchema("s", (Column("a", STRING), Column("b", INT64), Column("v", INT64)), ("a", "b"))
UPSERT, DELETE, INSERT, REPLACE = Operation

PREFIXES = st.sampled_from([(), ("x",), ("y",), ("x", 1), ("y", 2)])
ROWS = st.tuples(st.sampled_from("xy"), st.integers(1, 3), st.integers(0, 99))
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from([UPSERT, UPSERT, DELETE, INSERT]), ROWS), st.tuples(st.just(REPLACE), PREFIXES)
)


def batches_of(parts: list[list[tuple[Operation, Row]]]) -> list[Batch]:
    return [
        Batch(SCHEMA, [row for _, row in part], {"n": number}, bytes(operation for operation, _ in part))
        for number, part in enumerate(parts)
    ]


def run_steps(steps: list[Step], state: dict[Any, Row]) -> dict[Any, Row]:
    for step in steps:
        for prefix in step.replaced:
            state = {key: row for key, row in state.items() if key[: len(prefix)] != prefix}
        keys = [row[:2] for rows in (step.deleted, step.upserted, step.inserted) for row in rows]
        assert len(keys) == len(set(keys)), "a key occurs twice in one step"
        for row in step.deleted:
            state.pop(row[:2], None)
        for row in step.upserted:
            state[row[:2]] = row
        for row in step.inserted:
            state.setdefault(row[:2], row)
    return state


@given(st.lists(st.lists(OPERATIONS, max_size=8), max_size=6), st.lists(ROWS, max_size=4))
def test_steps_equal_the_operations_in_order(parts: list[list[tuple[Operation, Row]]], before: list[Row]) -> None:
    start = {row[:2]: row for row in before}
    expected = apply((pair for part in parts for pair in part), dict(start))
    assert run_steps(plan_upsert(SCHEMA, batches_of(parts)), dict(start)) == expected


@given(st.lists(ROWS, max_size=20))
def test_plain_upserts_keep_the_last_of_each_key(rows: list[Row]) -> None:
    batch = Batch(SCHEMA, rows, {})
    steps = plan_upsert(SCHEMA, [batch, batch])
    assert run_steps(steps, {}) == {row[:2]: row for row in rows}
    assert len(steps) == bool(rows)
    if len({row[:2] for row in rows}) == len(rows) and rows:
        assert plan_upsert(SCHEMA, [batch])[0].upserted is rows, "nothing is copied when nothing repeats"


def test_a_replacement_is_a_barrier() -> None:
    steps = plan_upsert(
        SCHEMA, batches_of([[(UPSERT, ("x", 1, 1)), (REPLACE, ("x",)), (REPLACE, ("y",)), (UPSERT, ("x", 2, 2))]])
    )
    assert [(step.replaced, list(step.upserted)) for step in steps] == [
        ([], [("x", 1, 1)]), ([("x",), ("y",)], [("x", 2, 2)])
    ]  # fmt: skip


def test_history_keeps_everything_in_order() -> None:
    batches = batches_of([[(UPSERT, ("x", 1, 1)), (DELETE, ("x", 1, 1))], [(REPLACE, ("x",)), (INSERT, ("x", 1, 2))]])
    steps = plan_append(batches)
    assert [[(name, row) for name, row, _ in step.rows] for step in steps] == [
        [("upsert", ("x", 1, 1)), ("delete", ("x", 1, 1))], [("insert", ("x", 1, 2))]
    ]  # fmt: skip
    assert [[prefix for prefix, _ in step.replaced] for step in steps] == [[], [("x",)]]


@pytest.mark.parametrize("operations", [b"", b"\0"])
def test_operations_that_do_not_match_the_rows_are_a_bug(operations: bytes) -> None:
    rows = [("x", 1, 1), ("x", 2, 2)]
    with pytest.raises(ValueError, match="zip"):
        plan_upsert(SCHEMA, [Batch(SCHEMA, rows, {}, operations)])
