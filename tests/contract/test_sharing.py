"""Several connectors, spellings and owners of one table: none changes what belongs to another."""

from __future__ import annotations

import pytest

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import ActionRequiredError, SchemaConflictError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import Sink, Transaction, WriteAgain
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import INT64, STRING
from connector_runner.registry import build_inspector, build_sink
from tests.kit.datasets import Dataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context, run_to_end

pytestmark = pytest.mark.needs_tables
UPSERT, DELETE, INSERT, REPLACE = Operation
OWNED = "SELECT _connector, _stream, k, _op FROM rows ORDER BY _id"


@pytest.mark.needs_transaction
async def test_a_replacement_takes_back_the_connectors_own_rows_only(dataset: Dataset) -> None:
    def sink(name: str, run: int, stream: str = "test"):  # type: ignore[no-untyped-def]
        return context(dataset, connector=f"default/{name}", run=run, stream=stream, write_mode=WriteMode.APPEND)

    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], sink("one", 1))
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "b")), (UPSERT, (2, "b")))], sink("two", 1))
    await run_to_end([batch(SMALL, 1, (UPSERT, (3, "c")))], sink("one", 2, "another"))
    again = [batch(SMALL, 1), batch(SMALL, 2, (REPLACE, ()), (UPSERT, (5, "a")), (REPLACE, (2,)))]
    await run_to_end(again, sink("one", 3))
    assert dataset.query(OWNED) == [
        ("default/one", "test", 1, "upsert"),
        ("default/two", "test", 1, "upsert"), ("default/two", "test", 2, "upsert"),
        ("default/one", "another", 3, "upsert"),
        ("default/one", "test", 1, "delete"), ("default/one", "test", 5, "upsert"),
    ]  # fmt: skip


async def test_a_history_from_before_rows_had_owners_gets_the_columns(dataset: Dataset) -> None:
    sink = context(dataset, write_mode=WriteMode.APPEND)
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], sink)
    for column in ("_connector", "_stream"):
        dataset.execute(f"ALTER TABLE rows DROP COLUMN {column}")
    later = [batch(SMALL, 1), batch(SMALL, 2, (REPLACE, (1,)), (UPSERT, (2, "b")))]
    await run_to_end(later, context(dataset, run=2, write_mode=WriteMode.APPEND))
    ours = ("default/test", "test")
    assert dataset.query(OWNED) == [(None, None, 1, "upsert"), (*ours, 1, "delete"), (*ours, 2, "upsert")]


@pytest.mark.parametrize("turn", [1, -1])
async def test_a_table_is_the_same_however_it_is_spelled(dataset: Dataset, turn: int) -> None:
    first, second = ("rows", dataset.other_spelling)[::turn]
    batches = [batch(SMALL, 1, (UPSERT, (1, "a"))), batch(SMALL, 2, (UPSERT, (2, "b")))]
    await run_to_end(batches[:1], context(dataset, first))
    other = Run(lambda: ListSource(batches), context(dataset, second, connector="default/other"))
    with pytest.raises(SchemaConflictError, match="default/test"):
        await other.start().end()
    inspector = build_inspector(context(dataset, second))
    assert [stored.position for stored in inspector.checkpoints()] == [{"next": 1}]
    inspector.close()
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "WRONG"))), batches[1]], context(dataset, second, run=2))
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "b")]
    assert dataset.query("SELECT count(*) FROM _connector_checkpoints") == [(1,)]


LAYOUTS = {
    "no metadata": ("k bigint, v text", "column _id (", "column _op (", "column _position (", "column _connector ("),
    "no number": (
        "k bigint, v text, _id bigint, _op text, _position text, _written_at timestamp with time zone, _connector text, "
        "_stream text", "no primary key, needed is (_id)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_table_of_somebody_else_can_hold_history_only_with_the_metadata(dataset: Dataset, layout: str) -> None:
    columns, *told = LAYOUTS[layout]
    dataset.execute(f"CREATE TABLE rows ({columns})")
    run = Run(lambda: ListSource([batch(SMALL, 1)]), context(dataset, write_mode=WriteMode.APPEND)).start()
    with pytest.raises(SchemaConflictError) as caught:
        await run.end()
    for part in told:
        assert part in caught.value.message
    assert dataset.query("SELECT count(*) FROM rows") == [(0,)]


@pytest.mark.needs_transaction
async def test_the_state_by_key_is_not_continued_as_history(dataset: Dataset) -> None:
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset))
    run = Run(lambda: ListSource([batch(SMALL, 1)]), context(dataset, run=2, write_mode=WriteMode.APPEND)).start()
    with pytest.raises(SchemaConflictError, match="column _op"):
        await run.end()


@pytest.mark.needs_transaction
@pytest.mark.parametrize("mode", list(WriteMode))
async def test_a_table_that_was_just_made_may_be_altered_before_its_first_row(
    dataset: Dataset, mode: WriteMode
) -> None:
    wider = StreamSchema("test", (*SMALL.columns, Column("late", STRING)), ("k",))
    sink = build_sink(context(dataset, write_mode=mode))
    await sink.claim()
    await sink.prepare(SMALL)
    await sink.prepare(wider)
    await sink.close()
    assert dataset.read(wider, "rows") == []


async def test_a_table_of_somebody_else_is_not_altered_before_it_was_filled(dataset: Dataset) -> None:
    wider = StreamSchema("test", (*SMALL.columns, Column("late", INT64)), ("k",))
    dataset.execute("CREATE TABLE rows (k bigint PRIMARY KEY, v text)")
    sink = build_sink(context(dataset))
    await sink.claim()
    await sink.prepare(SMALL)
    with pytest.raises(SchemaConflictError, match="column late"):
        await sink.prepare(wider)
    await sink.close()


async def commit(sink: Sink, transaction: Transaction) -> None:
    """As the pipeline does it."""
    try:
        await sink.write(transaction)
    except WriteAgain:
        await sink.recover()
        await sink.write(transaction)


@pytest.mark.needs_transaction
async def test_commits_without_rows_do_not_end_a_series_of_refusals(dataset: Dataset) -> None:
    sink = build_sink(context(dataset, refusal_limit=10))
    number = (await sink.claim()).number
    await sink.prepare(SMALL)
    bad = [(UPSERT, (k, "\ud800")) for k in range(12)]
    await commit(sink, Transaction(number + 1, (batch(SMALL, 1, *bad[:6]),), "list"))
    await commit(sink, Transaction(number + 2, (batch(SMALL, 2),), "list"))
    await commit(sink, Transaction(number + 3))
    with pytest.raises(ActionRequiredError, match="refused 10 rows in a row"):
        await commit(sink, Transaction(number + 4, (batch(SMALL, 3, *bad[6:]),), "list"))
    await sink.close()
