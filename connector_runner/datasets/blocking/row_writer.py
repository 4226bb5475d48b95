"""Writes the batches of one stream into its table, inside the caller's transaction, over a blocking driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector_runner.datasets.blocking.database import BlockingConnection, Database
from connector_runner.datasets.dead_letters import build_letter
from connector_runner.datasets.fencing import encode_position
from connector_runner.datasets.procedure import Statement
from connector_runner.datasets.renewal import Renewal, clearing
from connector_runner.datasets.row_dialect import Conversion, RowDialect, build_conversions, convert_rows
from connector_runner.datasets.row_statements import build_delete_prefix, build_retract_prefix, build_row_statements
from connector_runner.datasets.stream_ledger import StreamLedger
from connector_runner.datasets.write_plan import NAMES, History, Step, operations_of, plan_append, plan_upsert
from connector_runner.protocols.batch import Batch, Operation, Row, place_of
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Transaction


class RowWriter:
    """Writes rows of one schema of one stream; refused rows become dead letters in the ledger.

    `later`: what `ensure_table` left to do for the transaction that renews the table.
    """

    def __init__(
        self,
        database: Database,
        ledger: StreamLedger,
        rows: RowDialect,
        schema: StreamSchema,
        *,
        append: bool,
        later: Sequence[str] = (),
    ) -> None:
        self._renewal = Renewal(later)
        self._database = database
        self._ledger = ledger
        self._schema = schema
        self._append = append
        self._sql = build_row_statements(schema, ledger.names, rows.dialect)
        self._dialect = rows.dialect
        self._conversions = build_conversions(schema, rows)
        self._key_conversions = [
            Conversion(schema.key_indices.index(conversion.place), conversion.convert)
            for conversion in self._conversions
            if conversion.place in schema.key_indices
        ]

    def write(self, connection: BlockingConnection, transaction: Transaction) -> int:
        """Writes all batches; returns how many rows were refused."""
        batches, refused = transaction.batches, 0
        if statements := self._renewal.of(transaction):
            self._write_sets(connection, [clearing(batches)])
            for statement in statements:
                connection.execute(statement)
        connection.execute("SAVEPOINT rows")
        try:
            self._write_sets(connection, batches)
            if any(batch.rows for batch in batches):
                self._ledger.refusals.accepted()
        except self._database.value_errors as error:
            if not self._database.is_refusal(error):
                raise
            connection.execute("ROLLBACK TO rows")
            refused = self._write_singly(connection, batches)
        connection.execute("RELEASE rows")
        return refused

    def _write_sets(self, connection: BlockingConnection, batches: Sequence[Batch]) -> None:
        if self._append:
            for history in plan_append(batches):
                self._append_history(connection, history)
        else:
            for step in plan_upsert(self._schema, batches, unique=False):
                self._apply(connection, step)

    def _apply(self, connection: BlockingConnection, step: Step) -> None:
        execute = connection.executemany
        for prefix in step.replaced:
            values = self._key_values(prefix)
            _do(connection, build_delete_prefix(self._schema, self._ledger.names, self._dialect, values))
        if step.deleted:
            indices = self._schema.key_indices
            execute(self._sql.delete, [self._key_values([row[place] for place in indices]) for row in step.deleted])
        if step.upserted:
            execute(self._sql.upsert, convert_rows(step.upserted, self._conversions))
        if step.inserted:
            execute(self._sql.insert, convert_rows(step.inserted, self._conversions))

    def _key_values(self, prefix: Sequence[Any]) -> Sequence[Any]:
        values = list(prefix)
        for conversion in self._key_conversions:
            place = conversion.place
            if place < len(values) and values[place] is not None:
                values[place] = conversion.convert(values[place])
        return values

    def _append_history(self, connection: BlockingConnection, history: History) -> None:
        owner = self._ledger.owner
        for prefix, batch in history.replaced:
            if self._schema.key:
                connection.execute(self._sql.index_history)
            values, position = self._key_values(prefix), encode_position(place_of(batch.position))
            names = self._ledger.names
            _do(connection, build_retract_prefix(self._schema, names, self._dialect, values, position, owner))
        converted = convert_rows([row for _, row, _ in history.rows], self._conversions)
        positions = {id(batch): encode_position(place_of(batch.position)) for _, _, batch in history.rows}
        connection.executemany(
            self._sql.append,
            [
                (*row, operation, positions[id(batch)], *owner)
                for row, (operation, _, batch) in zip(converted, history.rows, strict=True)
            ],
        )

    def _write_singly(self, connection: BlockingConnection, batches: Sequence[Batch]) -> int:
        """Applies one operation after the other; a refused one leaves the table as it was and becomes a dead letter."""
        refused = 0
        for operation, row, batch in operations_of(batches):
            connection.execute("SAVEPOINT single")
            try:
                self._write_one(connection, operation, row, batch)
                self._ledger.refusals.accepted()
            except self._database.value_errors as error:
                if not self._database.is_refusal(error):
                    raise
                connection.execute("ROLLBACK TO single")
                letter = build_letter(self._schema, operation, row, batch, f"{type(error).__name__}: {error}")
                _do(connection, self._ledger.dead_letter(letter))
                refused += 1
            connection.execute("RELEASE single")
        return refused

    def _write_one(self, connection: BlockingConnection, operation: int, row: Row, batch: Batch) -> None:
        if self._append:
            if operation == Operation.REPLACE:
                self._append_history(connection, History(replaced=[(row, batch)]))
            else:
                self._append_history(connection, History(rows=[(NAMES[operation], row, batch)]))
            return
        step = Step()
        target = {Operation.DELETE: step.deleted, Operation.INSERT: step.inserted, Operation.REPLACE: step.replaced}
        if operation == Operation.UPSERT:
            step.upserted = [row]
        else:
            target[Operation(operation)].append(row)
        self._apply(connection, step)


def _do(connection: BlockingConnection, statement: Statement) -> None:
    connection.execute(statement.sql, statement.parameters)
