"""Tables follow their stream: columns that come, types that widen, names, keys; run against every dataset that has tables."""

from __future__ import annotations

from typing import Any

import pytest

from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import (
    SchemaConflictError,
)
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import BYTES, FLOAT64, INT64, JSON, STRING, UINT64, UUID
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
        other_key = StreamSchema(
            "test", (Column("k", INT64), Column("v", STRING)), ("v",), since="ALTER TABLE on purpose"
        )
        await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset))
        types = DESCRIPTORS[dataset.name].types
        if types["uuid"].type != types["string"].type:
            run = Run(lambda: ListSource([batch(changed, 1, (UPSERT, (1, "")))]), context(dataset, run=2)).start()
            with pytest.raises(SchemaConflictError, match="column v is text, needed is uuid"):
                await run.end()
        run = Run(lambda: ListSource([batch(other_key, 1, (UPSERT, (1, "")))]), context(dataset, run=3)).start()
        with pytest.raises(
            SchemaConflictError, match=r"its key is \(k\), needed is \(v\).*since: ALTER TABLE on purpose"
        ):
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


OLD = StreamSchema("test", (Column("k", INT64), Column("v", STRING), Column("w", FLOAT64)), ("k",))
NEW = StreamSchema("test", (Column("k", STRING), Column("v", INT64), Column("w", BYTES), Column("x", INT64)), ("k",))
ALL = (REPLACE, ())


class Life:
    """A connector that is started again and again: its source has the batches of before, too, and opens with the schema of the last one."""

    def __init__(self, dataset: Dataset, **changes: Any) -> None:
        self._dataset, self._changes = dataset, changes
        self._batches: list[Batch] = []
        self._run = 0

    async def go_on(self, *batches: Batch, table: str = "rows") -> None:
        self._run += 1
        known = self._batches[-1:]
        self._batches += [batch(last.schema, 1000 + self._run) for last in known] + [*batches]
        await run_to_end([*self._batches], context(self._dataset, table, run=self._run, **self._changes))


@pytest.mark.needs_tables
class TestRenewing:
    """Batches that remove all rows, after which all come again (`Batch.renews`)."""

    async def test_the_table_gets_other_types_and_keeps_what_others_made_of_it(self, dataset: Dataset) -> None:
        life = Life(dataset)
        await life.go_on(batch(OLD, 1, (UPSERT, (1, "007", 1.5)), (UPSERT, (2, "b", None))))
        dataset.execute("ALTER TABLE rows ADD COLUMN note text DEFAULT 'x'")
        dataset.execute("CREATE INDEX by_v ON rows (v)")
        batches = [
            batch(NEW, 2, (UPSERT, ("gone", 1, b"", 1)), ALL, (UPSERT, ("a", 7, b"\0", None)), renews=True),
            batch(NEW, 3, (UPSERT, ("a", 8, b"1", 9)), (UPSERT, ("b", -1, None, 2))),
        ]
        await life.go_on(*batches)
        assert dataset.read(NEW, "rows") == [("a", 8, b"1", 9), ("b", -1, None, 2)]
        assert dataset.query("SELECT note FROM rows ORDER BY k") == [("x",), ("x",)]
        await life.go_on(batch(NEW, 4, ALL, (UPSERT, ("c", 1, None, None)), renews=True))
        assert dataset.read(NEW, "rows") == [("c", 1, None, None)]
        with pytest.raises(Exception, match="already exists"):
            dataset.execute("CREATE INDEX by_v ON rows (v)")

    async def test_the_table_gets_another_key(self, dataset: Dataset) -> None:
        pair = StreamSchema("test", (Column("k", INT64), Column("n", INT64), Column("v", STRING)), ("n", "v"))
        life = Life(dataset)
        await life.go_on(batch(SMALL, 1, (UPSERT, (1, "a"))))
        batches = [batch(pair, 2, ALL, renews=True), batch(pair, 3, (UPSERT, (None, 1, "a")), (UPSERT, (None, 1, "b")))]
        await life.go_on(*batches, batch(pair, 4, (UPSERT, (5, 1, "a"))))
        assert dataset.read(pair, "rows") == [(5, 1, "a"), (None, 1, "b")]
        await life.go_on(batch(SMALL, 5, ALL, (UPSERT, (1, None)), renews=True))
        assert dataset.read(SMALL, "rows") == [(1, None)]

    async def test_a_history_keeps_the_old_values_beside_the_new_ones(self, dataset: Dataset) -> None:
        texts, numbers = (
            StreamSchema("test", (Column("k", INT64), Column("v", kind)), ("k",)) for kind in (STRING, FLOAT64)
        )
        life = Life(dataset, write_mode=WriteMode.APPEND)
        await life.go_on(batch(texts, 1, (UPSERT, (1, "007"))))
        await life.go_on(batch(numbers, 2, ALL, renews=True), batch(numbers, 3, (UPSERT, (1, 7.5))))
        await life.go_on(batch(texts, 4, ALL, (UPSERT, (2, "x")), renews=True))
        await life.go_on(batch(numbers, 5, ALL, renews=True))
        text, number = (DESCRIPTORS[dataset.name].types[kind].type for kind in ("string", "float64"))
        found = dataset.query(f'SELECT _op, "v ({text})", "v ({number})", "v ({text} 2)", v FROM rows ORDER BY _id')
        assert found == [
            ("upsert", "007", None, None, None), ("delete", "007", None, None, None),
            ("upsert", None, 7.5, None, None), ("delete", None, 7.5, None, None),
            ("upsert", None, None, "x", None), ("delete", None, None, "x", None),
        ]  # fmt: skip

    async def test_a_refused_row_in_the_same_transaction_is_a_dead_letter(self, dataset: Dataset) -> None:
        life = Life(dataset)
        await life.go_on(batch(OLD, 1, (UPSERT, (1, "007", 1.5))))
        rows = [(UPSERT, (key, 7, None, None)) for key in ("a", "\ud800", "c")]
        await life.go_on(batch(NEW, 2, ALL, *rows, renews=True))
        assert dataset.read(NEW, "rows") == [("a", 7, None, None), ("c", 7, None, None)]
        assert len(dataset.query("SELECT * FROM rows_dead_letters")) == 1

    async def test_it_is_an_error_where_rows_stay_or_somebody_else_made_the_table(self, dataset: Dataset) -> None:
        life = Life(dataset)
        await life.go_on(batch(OLD, 1, (UPSERT, (1, "007", 1.5))))
        with pytest.raises(SchemaConflictError, match="can't hold stream"):
            await life.go_on(batch(NEW, 2, (UPSERT, ("a", 7, None, None))), batch(NEW, 3, ALL, renews=True))
        dataset.execute("CREATE TABLE other (k bigint PRIMARY KEY, v text)")
        with pytest.raises(SchemaConflictError, match="can't hold stream"):
            await Life(dataset, connector="default/other").go_on(batch(NEW, 1, ALL, renews=True), table="other")
        assert dataset.read(OLD, "rows") == [(1, "007", 1.5)]

    async def test_what_others_depend_on_is_not_altered(self, dataset: Dataset) -> None:
        life = Life(dataset)
        await life.go_on(batch(OLD, 1, (UPSERT, (1, "007", 1.5))))
        dataset.execute(DEPENDING[dataset.name])
        with pytest.raises(SchemaConflictError):
            await life.go_on(batch(NEW, 2, ALL, renews=True))
        assert dataset.read(OLD, "rows") == [(1, "007", 1.5)]


DEPENDING = {
    "sqlite": "ALTER TABLE rows ADD COLUMN mine int CHECK (mine > 0)",
    "postgresql": "CREATE VIEW of_v AS SELECT v FROM rows",
}
