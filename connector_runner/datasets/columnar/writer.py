"""Writes the rows of one stream, inside the connection's transaction; refused rows become dead letters."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import pyarrow as pa

from connector_runner.datasets.blocking.database import BlockingConnection
from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.columnar.connection import LakeConnection
from connector_runner.datasets.columnar.rows import LiveRows, Stored, build_history, operations, segments
from connector_runner.datasets.columnar.types import VALUE_ERRORS
from connector_runner.datasets.dead_letters import build_letter
from connector_runner.datasets.names import ROW_NUMBER
from connector_runner.datasets.stream_ledger import StreamLedger
from connector_runner.datasets.write_plan import NAMES
from connector_runner.protocols.batch import Batch, Operation, Row
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Transaction

UPSERT, DELETE, INSERT, REPLACE = Operation


class _Writer:
    """What both write modes need.

    Args:
        connected: Returns the present connection.
        ledger: The stream's ledger.
        schema: The schema of the rows.
    """

    def __init__(self, connected: Callable[[], LakeConnection], ledger: StreamLedger, schema: StreamSchema) -> None:
        self._connected = connected
        self._ledger = ledger
        self._schema = schema
        self._table = ledger.names.table
        self._columns = Columns(schema)

    def _convert(self, rows: Sequence[Row]) -> list[pa.Array]:
        """Full rows as one array a column.

        Raises:
            `VALUE_ERRORS`: The table can't hold one of the values.
        """
        arrays = self._columns.convert(rows)
        table = self._connected().table(self._table)
        table.require_storable(dict(zip(self._schema.names, arrays, strict=True)))
        return arrays

    def _refuse(self, operation: int, row: Row, batch: Batch, error: Exception) -> None:
        letter = build_letter(self._schema, operation, row, batch, f"{type(error).__name__}: {error}")
        statement = self._ledger.dead_letter(letter, f"table {self._table}")
        self._connected().execute(statement.sql, statement.parameters)


class MergeWriter(_Writer):
    """A `StreamWriter` of the state by key."""

    def write(self, connection: BlockingConnection, transaction: Transaction) -> int:
        """See `StreamWriter.write`."""
        del connection
        refused = 0
        for batch in transaction.batches:
            codes, rows = operations(batch), batch.rows
            if not any(codes) and self._is_whole(rows):
                accepted: Sequence[tuple[int, Row]] = [(UPSERT, row) for row in rows]
                if rows:
                    self._ledger.refusals.accepted()
            else:
                accepted = self._accept_singly(batch)
                refused += len(rows) - len(accepted)
            if accepted:
                self._connected().write(self._columns, self._table, accepted)
        return refused

    def _is_whole(self, rows: Sequence[Row]) -> bool:
        try:
            self._convert(rows)
        except VALUE_ERRORS:
            return False
        return True

    def _accept_singly(self, batch: Batch) -> list[tuple[int, Row]]:
        accepted = []
        for operation, row in zip(operations(batch), batch.rows, strict=True):
            try:
                self._check(operation, row)
            except VALUE_ERRORS as error:
                self._refuse(operation, row, batch, error)
            else:
                self._ledger.refusals.accepted()
                accepted.append((operation, row))
        return accepted

    def _check(self, operation: int, row: Row) -> None:
        if operation == REPLACE:
            self._connected().table(self._table).removal(self._columns, [row])
        elif operation == DELETE:
            self._columns.stored([row[place] for place in self._schema.key_indices], self._schema.key)
        else:
            self._convert([row])


class HistoryWriter(_Writer):
    """A `StreamWriter` of a history."""

    def write(self, connection: BlockingConnection, transaction: Transaction) -> int:
        """See `StreamWriter.write`."""
        del connection
        prefixes = {
            row: None
            for batch in transaction.batches
            for code, row in zip(batch.operations or (), batch.rows, strict=False)
            if code == REPLACE
        }
        live = self._live_rows(list(prefixes)) if prefixes else None
        refused = 0
        at = dt.datetime.now(dt.UTC)
        for batch in transaction.batches:
            for prefix, part in segments(batch):
                if prefix is not None and live is not None:
                    refused += self._take_back(live, prefix, batch, at)
                refused += self._append(batch, part, live, at)
        return refused

    def _append(self, batch: Batch, part: slice, live: LiveRows | None, at: dt.datetime) -> int:
        rows, codes = batch.rows[part], operations(batch)[part]
        if not rows:
            return 0
        refused = 0
        try:
            arrays = self._convert(rows)
        except VALUE_ERRORS:
            good = [pair for pair in zip(codes, rows, strict=True) if self._is_good(*pair, batch)]
            refused = len(rows) - len(good)
            if not good:
                return refused
            codes, rows = [code for code, _ in good], [row for _, row in good]
            arrays = self._convert(rows)
        else:
            self._ledger.refusals.accepted()
        self._add(arrays, [NAMES[code] for code in codes], batch, live, at)
        return refused

    def _is_good(self, operation: int, row: Row, batch: Batch) -> bool:
        try:
            self._convert([row])
        except VALUE_ERRORS as error:
            self._refuse(operation, row, batch, error)
            return False
        self._ledger.refusals.accepted()
        return True

    def _add(
        self, arrays: Sequence[pa.Array], names: Sequence[str], batch: Batch, live: LiveRows | None, at: dt.datetime
    ) -> None:
        connection = self._connected()
        first = connection.table(self._table).take_numbers(ROW_NUMBER, len(names))
        rows = build_history(self._columns, arrays, names, batch, self._ledger.owner, first, at)
        connection.write(self._columns, self._table, rows)
        if live is not None:
            for operation, row in zip(names, _tuples(arrays), strict=True):
                live.note(operation, row)

    def _take_back(self, live: LiveRows, prefix: Row, batch: Batch, at: dt.datetime) -> int:
        try:
            start = self._columns.stored(prefix, self._schema.key[: len(prefix)])
        except VALUE_ERRORS as error:
            self._refuse(REPLACE, prefix, batch, error)
            return 1
        taken = live.take(start)
        if taken:
            values = zip(*taken, strict=True)
            arrays = [pa.array(list(each), field.type) for each, field in zip(values, self._columns.arrow, strict=True)]
            self._add(arrays, [NAMES[DELETE]] * len(taken), batch, None, at)
        return 0

    def _live_rows(self, prefixes: Sequence[Row]) -> LiveRows:
        """The live rows of these prefixes, read from the table; nothing may be staged."""
        table = self._connected().table(self._table)
        table.refresh()
        return LiveRows(self._schema, table.entries(self._columns, self._ledger.owner, prefixes))


def _tuples(columns: Sequence[pa.Array]) -> list[Stored]:
    return list(zip(*(column.to_pylist() for column in columns), strict=True))
