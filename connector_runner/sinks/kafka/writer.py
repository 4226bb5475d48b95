"""Writes the rows of one stream as records, inside the connection's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from connector_runner.datasets.blocking.database import BlockingConnection
from connector_runner.datasets.dead_letters import RefusedError, build_letter
from connector_runner.datasets.stream_ledger import StreamLedger
from connector_runner.datasets.write_plan import NAMES
from connector_runner.protocols.batch import Batch, Operation, Row
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Transaction
from connector_runner.sinks.kafka.avro import AvroValues
from connector_runner.sinks.kafka.connection import KafkaConnection
from connector_runner.sinks.kafka.records import VALUE_ERRORS, BatchHeaders, Encoder, Headers, with_operation

UPSERT, DELETE, INSERT, REPLACE = Operation
ERRORS = (RefusedError, *VALUE_ERRORS)
NEED_STATE = {True: bytes([REPLACE]), False: bytes([INSERT, REPLACE])}
"""By append mode: the operations that need to know what the topic holds."""


def needs_state(batches: Iterable[Batch], *, append: bool) -> bool:
    """Whether one of the operations needs to know what the topic holds."""
    wanted = NEED_STATE[append]
    return any(batch.operations is not None and any(code in batch.operations for code in wanted) for batch in batches)


def load_state(connection: KafkaConnection, ledger: StreamLedger, *, append: bool) -> None:
    """Reads what a stream's topic holds, if it is not known yet; outside of a transaction."""
    connection.load_state(ledger.stream, ledger.names.table, ledger.owner if append else None)


class TopicWriter:
    """A `StreamWriter`; refused rows become dead letters.

    Args:
        connected: Returns the present connection.
        ledger: The stream's ledger.
        schema: The schema of the rows.
        append: Whether the topic is a history.
        avro: Encodes the values, if they are not JSON.
    """

    def __init__(
        self, connected: Callable[[], KafkaConnection], ledger: StreamLedger, schema: StreamSchema, *, append: bool,
        avro: AvroValues | None = None,
    ) -> None:  # fmt: skip
        self._connected = connected
        self._ledger = ledger
        self._append = append
        self._topic = ledger.names.table
        self._stream = ledger.stream
        self._schema = schema
        self._encoder = Encoder(schema, avro)
        # Records without a key keep their order in one partition.
        self._partition = -1 if schema.key else 0

    def load_state(self) -> None:
        """Reads what the topic holds, if it is not known yet; outside of a transaction."""
        connection = self._connected()
        if connection.topic(self._topic) is None:  # deleted, or not known to this broker: a new connection tells
            raise TransientError(f"the brokers do not show the topic {self._topic}", reason="DatasetUnavailable")
        load_state(connection, self._ledger, append=self._append)

    def write(self, connection: BlockingConnection, transaction: Transaction) -> int:
        """See `StreamWriter.write`."""
        del connection
        connected, longest = self._connected(), self._connected().longest(self._topic)
        refused = 0
        for batch in transaction.batches:
            headers = BatchHeaders(batch, self._ledger.owner if self._append else None)
            writing = _Writing(connected, longest - headers.size)
            if not self._write_whole(writing, batch, headers):
                refused += self._write_singly(writing, batch, headers)
        return refused

    def _write_whole(self, writing: _Writing, batch: Batch, headers: BatchHeaders) -> bool:
        """Writes a batch of upserts; False if it is none, or if one of its rows must be refused."""
        rows = batch.rows
        if not rows:
            return True
        if batch.operations is not None and any(batch.operations):
            return False
        try:
            keys, values = self._encoder.keys(rows), self._encoder.values(rows)
        except ERRORS:
            return False
        if max(map(len, values)) + max(len(key or b"") for key in keys) > writing.longest:
            return False
        self._send_all(writing, keys, values, headers.of(UPSERT))
        self._ledger.refusals.accepted()
        return True

    def _send_all(
        self, writing: _Writing, keys: Sequence[bytes | None], values: Sequence[bytes], headers: Headers
    ) -> None:
        connection = writing.connection
        if connection.keys.is_loaded(self._stream):
            self._keep(writing, keys, values)
        if self._append:
            values = [with_operation(value, NAMES[UPSERT]) for value in values]
        connection.send_all(self._topic, keys, values, headers, self._partition)

    def _keep(self, writing: _Writing, keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> None:
        """Notes what the topic holds now."""
        state = writing.connection.keys
        state.change(
            self._stream,
            [
                (
                    key if key is not None else state.number(self._stream),
                    value if self._append or value is None else b"",
                )
                for key, value in zip(keys, values, strict=True)
            ],
        )

    def _write_singly(self, writing: _Writing, batch: Batch, headers: BatchHeaders) -> int:
        refused = 0
        operations = batch.operations if batch.operations is not None else bytes(len(batch.rows))
        for operation, row in zip(operations, batch.rows, strict=True):
            try:
                self._write_one(writing, operation, row, headers.of(operation))
                self._ledger.refusals.accepted()
            except ERRORS as error:
                letter = build_letter(self._schema, operation, row, batch, f"{type(error).__name__}: {error}")
                statement = self._ledger.dead_letter(letter, f"topic {self._topic}")
                writing.connection.execute(statement.sql, statement.parameters)
                refused += 1
        return refused

    def _write_one(self, writing: _Writing, operation: int, row: Row, headers: Headers) -> None:
        connection, state = writing.connection, writing.connection.keys
        if operation == REPLACE:
            for taken, was in state.take(self._stream, self._encoder.prefix(row)):
                self._take_back(connection, taken, was, headers)
            return
        (key,) = self._encoder.keys([row])
        is_tombstone = operation == DELETE and not self._append
        value = None if is_tombstone else self._encoder.values([row])[0]
        if len(key or b"") + len(value or b"") > writing.longest:
            raise RefusedError(
                f"the record is longer than the {writing.longest} bytes that the topic takes beside its headers"
            )
        if operation == INSERT and not self._append and key is not None and state.has(self._stream, key):
            return
        if state.is_loaded(self._stream) and not (operation == DELETE and key is None):
            self._keep(writing, [key], [None if operation == DELETE else value])
        if self._append and value is not None:
            value = with_operation(value, NAMES[operation])
        connection.send(self._topic, key, value, headers, self._partition)

    def _take_back(self, connection: KafkaConnection, key: bytes, value: bytes, headers: Headers) -> None:
        """A tombstone for what was replaced; in a history a row that says so."""
        if not self._append:
            connection.send(self._topic, key, None, headers)
            return
        name = key if self._schema.key else None
        connection.send(self._topic, name, with_operation(value, NAMES[DELETE]), headers, self._partition)


class _Writing:
    """The transaction that is being written."""

    def __init__(self, connection: KafkaConnection, longest: int) -> None:
        self.connection = connection
        self.longest = longest
