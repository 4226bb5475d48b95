"""The one suite that every sink must pass, driven by the pipeline over the scripted source and over lists of batches."""

from __future__ import annotations

import contextlib
import json

import pytest

from connector_runner.protocols.batch import Incident, Operation
from connector_runner.protocols.errors import (
    ActionRequiredError,
)
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import RefusedRows
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import STRING
from connector_runner.registry import build_inspector
from connector_runner.schemas.datasets import DESCRIPTORS
from connector_runner.schemas.outcome import ExitCode
from tests.kit.datasets import DATASETS, Dataset
from tests.kit.pipeline import PAIR, SMALL, ListSource, Run, batch, context, run_to_end
from tests.kit.waiting import until
from tests.scripted.script import SCHEMA, WIDER, Script
from tests.scripted.source import scripted

UPSERT, DELETE, INSERT, REPLACE = Operation


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("stream", ["mixed", "upserts", "widening"])
async def test_all_operations_lead_to_the_state_of_the_model(dataset: Dataset, wait: bool, stream: str) -> None:
    script = Script(seed=7, batches=300, rows=12, stream=stream)
    run = Run(scripted(script), context(dataset, stream=stream), wait=wait).start()
    assert await run.end() is ExitCode.END_OF_STREAM
    wide = stream == "widening"
    expected = [row if len(row) > 10 or not wide else (*row, None) for row in script.state().values()]
    found = dataset.read(WIDER if wide else SCHEMA, "rows")
    assert (
        sorted(found) == sorted(expected)
        if not wide
        else {row[:2]: row for row in found} == {r[:2]: r for r in expected}
    )
    assert dataset.query("SELECT count(*) FROM rows_incidents") == [(script.incidents(),)]


@pytest.mark.parametrize("wait", [True, False])
async def test_a_source_that_breaks_again_and_again_loses_and_repeats_nothing(dataset: Dataset, wait: bool) -> None:
    script = Script(seed=8, batches=120, rows=5)
    sink = context(dataset, stream="upserts", write_mode=WriteMode.APPEND)
    run = Run(scripted(script, breakEvery=9), sink, wait=wait).start()
    await run.end()
    rows = [row for _, row in Script(seed=8, batches=120, rows=5, stream="upserts").operations()]
    assert dataset.read(SCHEMA, "rows", order="_id") == rows
    assert run.meters.counts["reconnects"] >= 12


async def test_a_second_run_goes_on_after_the_first(dataset: Dataset) -> None:
    script = Script(seed=9, batches=100_000)
    first = Run(scripted(script, pauseMs=2), context(dataset, stream="mixed")).start()
    await until(lambda: first.telemetry.totals.rows > 20, "some rows")
    assert await first.stop() is ExitCode.TERMINATED
    inspector = build_inspector(context(dataset, stream="mixed"))
    position = inspector.checkpoints()[0].position
    inspector.close()
    assert position is not None
    assert dataset.read(SCHEMA, "rows") == sorted(script.state(position["next"]).values())
    assert 0 < position["next"] < script.batches
    script = Script(seed=9, batches=position["next"] + 100)
    second = Run(scripted(script), context(dataset, stream="mixed", run=2)).start()
    assert await second.end() is ExitCode.END_OF_STREAM
    assert sorted(dataset.read(SCHEMA, "rows")) == sorted(script.state().values())


@pytest.mark.needs_transaction
async def test_append_keeps_the_history_and_retracts_what_is_replaced(dataset: Dataset) -> None:
    await run_to_end(
        [
            batch(PAIR, 1, (UPSERT, ("x", 1, "one")), (UPSERT, ("x", 2, "two")), (UPSERT, ("y", 1, "other"))),
            batch(PAIR, 2, (UPSERT, ("x", 1, "uno")), (DELETE, ("x", 2, None))),
            batch(PAIR, 3, (REPLACE, ("x",)), (UPSERT, ("x", 3, "three"))),
            batch(PAIR, 4, (REPLACE, ()), (INSERT, ("z", 1, "new"))),
        ],
        context(dataset, write_mode=WriteMode.APPEND),
    )
    found = dataset.read(PAIR, "rows", extra=["_op", "_position"], order="_id")
    assert [(*row[:4], json.loads(row[4])["next"]) for row in found[:7]] == [
        ("x", 1, "one", "upsert", 1), ("x", 2, "two", "upsert", 1), ("y", 1, "other", "upsert", 1),
        ("x", 1, "uno", "upsert", 2), ("x", 2, None, "delete", 2),
        ("x", 1, "uno", "delete", 3), ("x", 3, "three", "upsert", 3),
    ]  # fmt: skip
    assert sorted((*row[:4], json.loads(row[4])["next"]) for row in found[7:9]) == [
        ("x", 3, "three", "delete", 4), ("y", 1, "other", "delete", 4)
    ]  # fmt: skip
    assert (*found[9][:4], json.loads(found[9][4])["next"]) == ("z", 1, "new", "insert", 4)
    assert len(found) == 10


@pytest.mark.needs_transaction
async def test_rows_without_a_key_are_taken_back_all_at_once(dataset: Dataset) -> None:
    """A table without a key, or a view, that is copied as a whole again and again."""
    keyless = StreamSchema("test", (Column("v", STRING),))
    copies = [["a", "a", "b"], ["c"], [], ["d"]]
    operations = [((REPLACE, ()), *((UPSERT, (value,)) for value in values)) for values in copies]
    batches = [batch(keyless, number, *each) for number, each in enumerate(operations, 1)]
    await run_to_end(batches, context(dataset, write_mode=WriteMode.APPEND))
    found = dataset.read(keyless, "rows", extra=["_op"], order="_id")
    assert found == [
        ("a", "upsert"), ("a", "upsert"), ("b", "upsert"), ("a", "delete"), ("a", "delete"), ("b", "delete"),
        ("c", "upsert"), ("c", "delete"), ("d", "upsert"),
    ]  # fmt: skip


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.needs_transaction
async def test_refused_rows_become_dead_letters_and_the_others_are_stored(dataset: Dataset, wait: bool) -> None:
    too_long, surrogate = 2**63, "\ud800"
    run = await run_to_end(
        [
            batch(SMALL, 1, (UPSERT, (1, "a")), (UPSERT, (2, "old"))),
            batch(
                SMALL, 2, (UPSERT, (too_long, "b")), (UPSERT, (2, surrogate)), (UPSERT, (3, "c")), (DELETE, (1, None))
            ),
            batch(SMALL, 3, (UPSERT, (4, "d")), (UPSERT, (4, surrogate))),
        ],
        context(dataset),
        wait=wait,
    )
    assert dataset.read(SMALL, "rows") == [(2, "old"), (3, "c"), (4, "d")]
    letters = dataset.query('SELECT operation, position, "row", reason FROM rows_dead_letters ORDER BY id')
    rows = [row if isinstance(row, dict) else json.loads(row) for _, _, row, _ in letters]
    assert rows == [{"k": too_long, "v": "b"}, {"k": 2, "v": surrogate}, {"k": 4, "v": surrogate}]
    assert [(operation, json.loads(position)["next"]) for operation, position, _, _ in letters] == [
        ("upsert", 2), ("upsert", 2), ("upsert", 3)
    ]  # fmt: skip
    assert all(reason for *_, reason in letters)
    assert run.telemetry.totals.refused == 3


@pytest.mark.parametrize("mode", list(WriteMode))
@pytest.mark.needs_tables
async def test_what_a_constraint_of_the_table_refuses_is_a_dead_letter_too(dataset: Dataset, mode: WriteMode) -> None:
    await run_to_end([batch(SMALL, 0, (UPSERT, (0, "fine")))], context(dataset, write_mode=mode))
    dataset.execute("CREATE UNIQUE INDEX only_once ON rows (v)")
    rows = [(UPSERT, (k, f"value {k % 40}")) for k in range(1, 61)]
    more = [batch(SMALL, 0, (UPSERT, (0, "fine"))), batch(SMALL, 1, *rows)]
    await run_to_end(more, context(dataset, run=2, write_mode=mode))
    found = dataset.read(SMALL, "rows", order="k")
    assert found == [(0, "fine"), *[(k, f"value {k % 40}") for k in range(1, 41)]]
    assert dataset.query("SELECT count(*) FROM rows_dead_letters") == [(20,)]


@pytest.mark.needs_transaction
async def test_refused_rows_stop_the_run_when_the_dataset_says_so(dataset: Dataset) -> None:
    sink = context(dataset, refused_rows=RefusedRows.STOP)
    run = Run(lambda: ListSource([batch(SMALL, 1, (UPSERT, (1, "a")), (UPSERT, (2, "\ud800")))]), sink).start()
    with pytest.raises(ActionRequiredError, match="refuses a row") as caught:
        await run.end()
    assert caught.value.reason == "RowRefused"
    assert dataset.read(SMALL, "rows") == []
    assert dataset.query("SELECT position FROM _connector_checkpoints") == [(None,)]


async def test_too_many_refused_rows_in_a_row_end_the_run(dataset: Dataset) -> None:
    bad = [(UPSERT, (k, "\ud800")) for k in range(30)]
    batches = [batch(SMALL, 1, *bad[:9], (UPSERT, (100, "fine")), *bad[9:18]), batch(SMALL, 2, *bad[18:])]
    run = Run(lambda: ListSource(batches), context(dataset, refusal_limit=10)).start()
    with pytest.raises(ActionRequiredError, match="refused 10 rows in a row"):
        await run.end()
    assert dataset.query("SELECT position FROM _connector_checkpoints") == [(None,)]


async def test_a_quiet_stream_moves_its_checkpoint_now_and_then(dataset: Dataset) -> None:
    quiet = [batch(SMALL, number) for number in range(2, 300)]
    batches = [batch(SMALL, 1, (UPSERT, (1, "a"))), *quiet]
    run = Run(lambda: ListSource(batches, endless=True), context(dataset)).start()
    newest = "SELECT position FROM _connector_checkpoints"
    await until(
        lambda: run.telemetry.totals.commits and json.loads(dataset.query(newest)[0][0] or "{}") == {"next": 299},
        "the last heartbeat's position",
    )
    assert run.telemetry.totals.commits < 20
    await run.stop()


async def test_incidents_lie_beside_the_rows(dataset: Dataset) -> None:
    incident = Incident("gap", "BTC-USD", "trades 5 to 9 can't be had", {"first": 5})
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")), incidents=(incident,)), batch(SMALL, 2)], context(dataset))
    row = dataset.query("SELECT connector, stream, kind, subject, message, detail, position FROM rows_incidents")[0]
    detail = row[5] if isinstance(row[5], dict) else json.loads(row[5])
    assert (row[:5], detail, json.loads(row[6])) == (
        ("default/test", "test", "gap", "BTC-USD", incident.message), {"first": 5}, {"next": 1}
    )  # fmt: skip


@pytest.mark.needs_transaction
@pytest.mark.parametrize("mode", list(WriteMode))
async def test_a_table_that_somebody_deleted_is_made_again_and_told(dataset: Dataset, mode: WriteMode) -> None:
    """Its rows up to the position are gone, and whoever reads the new table must know."""
    batches = [batch(SMALL, k, (UPSERT, (k, "a"))) for k in (1, 2, 3)]
    await run_to_end(batches[:2], context(dataset, write_mode=mode))
    dataset.drop("rows")
    await run_to_end(batches, context(dataset, run=2, write_mode=mode))
    await run_to_end(batches, context(dataset, run=3, write_mode=mode))
    assert dataset.read(SMALL, "rows") == [(3, "a")]
    ((kind, subject, message, position),) = dataset.query("SELECT kind, subject, message, position FROM rows_incidents")
    assert (kind, subject.rpartition(".")[2], json.loads(position)) == ("table_lost", "rows", {"next": 2})
    assert "was made again" in message


@pytest.mark.needs_transaction
@pytest.mark.parametrize("mode", list(WriteMode))
async def test_a_table_that_is_deleted_while_a_run_writes_ends_the_run(dataset: Dataset, mode: WriteMode) -> None:
    """Nobody waits for a table that no one will bring back; the next start makes it and tells of it."""
    source = ListSource([batch(SMALL, 1, (UPSERT, (1, "a")))], endless=True)
    run = Run(lambda: source, context(dataset, write_mode=mode)).start()
    await until(lambda: run.telemetry.totals.rows == 1, "a row")
    dataset.drop("rows")
    source.add(batch(SMALL, 2, (UPSERT, (2, "a"))))
    with pytest.raises(ActionRequiredError):
        await run.end()
    await run_to_end([batch(SMALL, k, (UPSERT, (k, "a"))) for k in (1, 2, 3)], context(dataset, run=2, write_mode=mode))
    assert dataset.read(SMALL, "rows", order="k")[-1:] == [(3, "a")]
    assert dataset.query("SELECT kind FROM rows_incidents") == [("table_lost",)]


@pytest.mark.needs_transaction
async def test_a_table_that_is_deleted_after_a_reset_is_no_incident(dataset: Dataset) -> None:
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset))
    with contextlib.closing(build_inspector(context(dataset))) as inspector:
        assert inspector.reset_checkpoints() == 1
    dataset.drop("rows")
    await run_to_end([batch(SMALL, 1, (UPSERT, (2, "b")))], context(dataset, run=2))
    assert dataset.read(SMALL, "rows") == [(2, "b")]
    assert dataset.query("SELECT count(*) FROM rows_incidents") == [(0,)]


async def test_rows_are_read_back_where_the_descriptor_says_so(dataset: Dataset) -> None:
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")), (UPSERT, (2, "b")))], context(dataset))
    inspector = build_inspector(context(dataset))
    if DESCRIPTORS[dataset.name].reads_rows:
        names, rows = inspector.newest_rows(5)
        assert (list(names), [tuple(row) for row in rows]) == (["k", "v"], [(1, "a"), (2, "b")])
    else:
        with pytest.raises(ActionRequiredError) as caught:
            inspector.newest_rows(5)
        assert caught.value.reason in DESCRIPTORS[dataset.name].reasons
    inspector.close()


def test_every_dataset_is_in_this_suite() -> None:
    assert set(DATASETS) == set(DESCRIPTORS)
