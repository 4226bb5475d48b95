"""Puts batches into the table inside the caller's transaction; rows that are refused become dead letters."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from connector_runner.datasets.dead_letters import DeadLetter, Refusals, RefusedError, build_letter, incident_rows
from connector_runner.datasets.fencing import encode_position
from connector_runner.datasets.names import TableNames
from connector_runner.datasets.write_plan import NAMES, History, Step, operations_of, plan_append, plan_upsert
from connector_runner.protocols.batch import Batch, Operation, Row, place_of
from connector_runner.protocols.schema import StreamSchema
from connector_runner.sinks.sqlite.connection import is_refusal
from connector_runner.sinks.sqlite.statements import (
    build_fence_sql,
    build_row_sql,
    create_history_index,
    delete_prefix,
    retract_prefix,
)
from connector_runner.sinks.sqlite.types import build_converters, convert_rows

# What a value raises that SQLite can't take: out of range, not UTF-8, no exact form.
VALUE_ERRORS = (RefusedError, OverflowError, UnicodeError, sqlite3.Error)


class TransactionWriter:
    """For one schema."""

    def __init__(
        self, connection: sqlite3.Connection, schema: StreamSchema, names: TableNames, key: tuple[str, str, str],
        refusals: Refusals, *, append: bool,
    ) -> None:  # fmt: skip
        self.connection = connection
        self._schema = schema
        self._names = names
        self._who = key[:2]
        self._refusals = refusals
        self._append = append
        self._sql = build_row_sql(schema, names)
        self._fence_sql = build_fence_sql(names)
        self._converters = build_converters(schema)
        self._key_converters = [
            (schema.key_indices.index(place), convert)
            for place, convert in self._converters
            if place in schema.key_indices
        ]

    def write(self, batches: Sequence[Batch]) -> int:
        """All batches; returns how many rows were refused."""
        refused = 0
        self.connection.execute("SAVEPOINT rows")
        try:
            self._write_sets(batches)
            if any(batch.rows for batch in batches):
                self._refusals.accepted()
        except VALUE_ERRORS as error:
            if not is_refusal(error):
                raise
            self.connection.execute("ROLLBACK TO rows")
            refused = self._write_singly(batches)
        self.connection.execute("RELEASE rows")
        if incidents := incident_rows(batches):
            self.connection.executemany(self._fence_sql.incident, [(*self._who, *row) for row in incidents])
        return refused

    def _write_sets(self, batches: Sequence[Batch]) -> None:
        if self._append:
            for history in plan_append(batches):
                self._append_history(history)
        else:
            for step in plan_upsert(self._schema, batches, unique=False):
                self._apply(step)

    def _apply(self, step: Step) -> None:
        execute = self.connection.executemany
        for prefix in step.replaced:
            sql = delete_prefix(self._schema, self._names, len(prefix))
            self.connection.execute(sql, self._key_values(prefix))
        if step.deleted:
            indices = self._schema.key_indices
            execute(self._sql.delete, [self._key_values([row[place] for place in indices]) for row in step.deleted])
        if step.upserted:
            execute(self._sql.upsert, convert_rows(step.upserted, self._converters))
        if step.inserted:
            execute(self._sql.insert, convert_rows(step.inserted, self._converters))

    def _key_values(self, prefix: Sequence[Any]) -> Sequence[Any]:
        values = list(prefix)
        for place, convert in self._key_converters:
            if place < len(values) and values[place] is not None:
                values[place] = convert(values[place])
        return values

    def _append_history(self, history: History) -> None:
        for prefix, batch in history.replaced:
            if self._schema.key:
                self.connection.execute(create_history_index(self._schema, self._names))
            self.connection.execute(
                retract_prefix(self._schema, self._names, len(prefix)),
                (encode_position(place_of(batch.position)), *self._who, *self._who, *self._key_values(prefix)),
            )
        converted = convert_rows([row for _, row, _ in history.rows], self._converters)
        connector, stream = self._who
        positions = {id(batch): encode_position(place_of(batch.position)) for _, _, batch in history.rows}
        self.connection.executemany(
            self._sql.append,
            [
                (*row, operation, positions[id(batch)], connector, stream)
                for row, (operation, _, batch) in zip(converted, history.rows, strict=True)
            ],
        )

    def _write_singly(self, batches: Sequence[Batch]) -> int:
        """One operation after the other; those that are refused leave what was there and become dead letters."""
        refused = 0
        for operation, row, batch in operations_of(batches):
            self.connection.execute("SAVEPOINT single")
            try:
                self._write_one(operation, row, batch)
                self._refusals.accepted()
            except VALUE_ERRORS as error:
                if not is_refusal(error):
                    raise
                self.connection.execute("ROLLBACK TO single")
                letter = build_letter(self._schema, operation, row, batch, f"{type(error).__name__}: {error}")
                self._refusals.refused(letter, self._names.text)
                self._store(letter)
                refused += 1
            self.connection.execute("RELEASE single")
        return refused

    def _write_one(self, operation: int, row: Row, batch: Batch) -> None:
        if self._append:
            if operation == Operation.REPLACE:
                self._append_history(History(replaced=[(row, batch)]))
            else:
                self._append_history(History(rows=[(NAMES[operation], row, batch)]))
            return
        step = Step()
        target = {Operation.DELETE: step.deleted, Operation.INSERT: step.inserted, Operation.REPLACE: step.replaced}
        if operation == Operation.UPSERT:
            step.upserted = [row]
        else:
            target[Operation(operation)].append(row)
        self._apply(step)

    def _store(self, letter: DeadLetter) -> None:
        self.connection.execute(
            self._fence_sql.dead_letter, (*self._who, letter.reason, letter.operation, letter.position, letter.row)
        )
