"""Tables follow their stream: columns that come, types that widen, names, keys; run against every dataset that has tables."""

from __future__ import annotations

import pytest

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import (
    SchemaConflictError,
)
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import INT64, JSON, STRING, UINT64, UUID
from connector_runner.schemas.datasets import DESCRIPTORS
from tests.kit.datasets import Dataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context, run_to_end

UPSERT, DELETE, INSERT, REPLACE = Operation


@pytest.mark.needs_tables
class TestFitting:
    async def test_columns_are_added_and_types_widened_as_the_stream_changes(self, dataset: Dataset) -> None:
        wide = StreamSchema("test", (Column("k", INT64), Column("n", UINT64), Column("late", JSON)), ("k",))
        narrow = StreamSchema("test", (Column("k", INT64), Column("n", INT64)), ("k",))
        batches = [batch(narrow, 1, (UPSERT, (1, -5))), batch(wide, 2, (UPSERT, (2, 2**64 - 1, "[]")))]
        await run_to_end(batches, context(dataset))
        assert dataset.read(wide, "rows") == [(1, -5, None), (2, 2**64 - 1, "[]")]

    async def test_a_column_that_changes_only_its_case_goes_on(self, dataset: Dataset) -> None:
        """Some databases take both for one column, some for two."""
        before = StreamSchema("test", (Column("k", INT64), Column("v", INT64), Column("w", STRING)), ("k",))
        after = StreamSchema("test", (Column("K", INT64), Column("V", UINT64), Column("w", STRING)), ("K",))
        if dataset.is_case_sensitive:
            after = StreamSchema("test", (Column("k", INT64), Column("V", UINT64), Column("w", STRING)), ("k",))
        batches = [batch(before, 1, (UPSERT, (1, -5, "x"))), batch(after, 2, (UPSERT, (2, 2**64 - 1, "y")))]
        await run_to_end(batches, context(dataset))
        first = None if dataset.is_case_sensitive else -5
        assert dataset.read(after, "rows") == [(1, first, "x"), (2, 2**64 - 1, "y")]

    async def test_a_table_of_somebody_else_that_does_not_fit_is_left_alone(self, dataset: Dataset) -> None:
        dataset.execute("CREATE TABLE rows (k text, w text)")
        dataset.execute("INSERT INTO rows VALUES ('mine', 'mine')")
        run = Run(lambda: ListSource([batch(SMALL, 1, (UPSERT, (1, "a")))]), context(dataset)).start()
        with pytest.raises(SchemaConflictError) as caught:
            await run.end()
        for part in ("column k is", "column v", "is missing", "no primary key", "needed is (k)"):
            assert part in caught.value.message
        assert dataset.query("SELECT * FROM rows") == [("mine", "mine")]

    async def test_a_table_of_somebody_else_that_fits_is_used(self, dataset: Dataset) -> None:
        dataset.execute("CREATE TABLE rows (v text, k bigint NOT NULL, note text DEFAULT 'x', UNIQUE (k))")
        await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")), (UPSERT, (1, "b")))], context(dataset))
        assert dataset.query("SELECT k, v, note FROM rows") == [(1, "b", "x")]

    async def test_a_change_that_the_table_can_not_follow_is_told(self, dataset: Dataset) -> None:
        changed = StreamSchema("test", (Column("k", INT64), Column("v", UUID)), ("k",))
        other_key = StreamSchema("test", (Column("k", INT64), Column("v", STRING)), ("v",))
        await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset))
        types = DESCRIPTORS[dataset.name].types
        if types["uuid"].type != types["string"].type:
            run = Run(lambda: ListSource([batch(changed, 1, (UPSERT, (1, "")))]), context(dataset, run=2)).start()
            with pytest.raises(SchemaConflictError, match="column v is text, needed is uuid"):
                await run.end()
        run = Run(lambda: ListSource([batch(other_key, 1, (UPSERT, (1, "")))]), context(dataset, run=3)).start()
        with pytest.raises(SchemaConflictError, match=r"its key is \(k\), needed is \(v\)"):
            await run.end()

    async def test_no_key_needs_append(self, dataset: Dataset) -> None:
        keyless = StreamSchema("test", (Column("v", STRING),))
        run = Run(lambda: ListSource([batch(keyless, 1, (UPSERT, ("a",)))]), context(dataset)).start()
        with pytest.raises(SchemaConflictError, match="writeMode: append"):
            await run.end()
        await run_to_end([batch(keyless, 1, (UPSERT, ("a",)))], context(dataset, "h", write_mode=WriteMode.APPEND))
        assert dataset.read(keyless, "h", order="_id") == [("a",)]

    async def test_metadata_columns_are_kept_free(self, dataset: Dataset) -> None:
        taken = StreamSchema("test", (Column("k", INT64), Column("_op", STRING)), ("k",))
        sink = context(dataset, write_mode=WriteMode.APPEND)
        run = Run(lambda: ListSource([batch(taken, 1, (UPSERT, (1, "")))]), sink).start()
        with pytest.raises(SchemaConflictError, match="_op"):
            await run.end()

    async def test_names_are_quoted_everywhere(self, dataset: Dataset) -> None:
        odd = StreamSchema("test", (Column('se"lect', INT64), Column("my; drop--", STRING)), ('se"lect',))
        table = 'odd "table'
        batches = [
            batch(odd, 1, (UPSERT, (1, "a")), (INSERT, (2, "b"))),
            batch(odd, 2, (DELETE, (1, None)), (REPLACE, (3,))),
        ]
        await run_to_end(batches, context(dataset, table))
        assert dataset.read(odd, table) == [(2, "b")]
