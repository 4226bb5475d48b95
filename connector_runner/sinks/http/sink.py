"""The HTTP sink: sends inside the local file's transaction, so that its position never runs ahead of an answer."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connector_runner.datasets.dead_letters import Refusals, RefusedError, build_letter, incident_rows
from connector_runner.datasets.fencing import encode_position
from connector_runner.datasets.write_plan import NAMES, operations_of
from connector_runner.protocols.batch import Batch, Operation, Row, place_of
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Claim, Receipt, SinkContext, Transaction
from connector_runner.sinks.http.client import Client
from connector_runner.sinks.http.records import build_record
from connector_runner.sinks.sqlite.inspector import SqliteInspector
from connector_runner.sinks.sqlite.sink import BatchWriter, SqliteSink
from connector_runner.sinks.sqlite.statements import CREATE_DEAD_LETTERS, CREATE_INCIDENTS, build_fence_sql

RECORDS_A_POST = 1000
BYTES_A_POST = 1 << 20
# Seconds between the tries of one POST; when the other side asks for more than LONGEST_PAUSE, the pipeline waits, not ready.
PAUSES = (0.05, 0.2, 0.8)
LONGEST_PAUSE = 5.0
VALUE_ERRORS = (RefusedError, UnicodeError, OverflowError, ValueError, TypeError)


def _local(context: SinkContext) -> SinkContext:
    digest = hashlib.sha256("\0".join([context.connector, context.stream, context.table]).encode()).hexdigest()[:16]
    return replace(context, read_url=lambda: f"sqlite:///connector-{digest}.checkpoint.db")


@dataclass(slots=True)
class _Record:
    ordinal: int  # of the operation in its transaction
    operation: int
    row: Row
    batch: Batch
    body: bytes


class HttpSink(SqliteSink):
    """At least once, in order; the fence holds among runners that share the data directory."""

    def __init__(self, context: SinkContext) -> None:
        super().__init__(_local(context))
        self._remote = context
        self._client: Client | None = None
        self._leaving = threading.Event()
        self.number = 0

    def _claim(self) -> Claim:
        folder = self._remote.directory
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ActionRequiredError(
                f"the position of what goes out by HTTP is kept in a file, but {folder.absolute()} can't be written; "
                "give the Dataset a volumeClaim",
                reason="InvalidDataset",
            )
        return super()._claim()

    async def close(self) -> None:
        """See `Sink.close`; what is being sent is given up, since nobody waits for its answer any more."""
        self._leaving.set()
        if (client := self._client) is not None:
            client.abort()
        await super().close()

    def _write(self, transaction: Transaction) -> Receipt:
        self.number = transaction.number
        return super()._write(transaction)

    def _ensure_tables(self, connection: sqlite3.Connection, schema: StreamSchema, *, own: bool) -> None:
        del schema, own  # the rows' own table is on the other side
        connection.execute(CREATE_DEAD_LETTERS.format(table=self._names.dead_letters))
        connection.execute(CREATE_INCIDENTS.format(table=self._names.incidents))

    def _build_writer(self, connection: sqlite3.Connection, schema: StreamSchema) -> BatchWriter:
        _ = self.client  # a URL that is none is told now, not with the first row
        return _Poster(connection, self, schema, self._refusals)

    @property
    def client(self) -> Client:
        """The connection; made anew after each loss, with the URL as it is then (a token may have been rotated)."""
        if self._client is None:
            self._client = Client(self._remote.read_url(), self._leaving)
        return self._client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        super()._disconnect()

    @property
    def parameters(self) -> dict[str, str]:
        """Of every POST."""
        return {"wait": "true" if self._remote.wait else "false"}

    @property
    def is_append(self) -> bool:
        """Whether history is sent."""
        return self._append

    @property
    def key(self) -> tuple[str, str, str]:
        """(connector, stream, table)."""
        return self._key

    @property
    def epoch(self) -> int:
        """Ours."""
        return self._epoch

    def dead_letter_sql(self) -> tuple[str, str]:
        """Statements for dead letters and incidents."""
        sql = build_fence_sql(self._names)
        return sql.dead_letter, sql.incident


class _Poster:
    """Implements `BatchWriter`: rows go out by POST, what is refused into the local file."""

    def __init__(
        self, connection: sqlite3.Connection, sink: HttpSink, schema: StreamSchema, refusals: Refusals
    ) -> None:
        self.connection = connection
        self._sink = sink
        self._schema = schema
        self._refusals = refusals
        self._letter_sql, self._incident_sql = sink.dead_letter_sql()

    def write(self, batches: Sequence[Batch]) -> int:
        refused = 0
        for handling, part in _parts(self._records(batches)):
            if handling:
                refused += self._post(part, handling)
            else:
                refused += self._refuse(part[0], part[0].body.decode())
        if incidents := incident_rows(batches):
            self.connection.executemany(self._incident_sql, [(*self._sink.key[:2], *row) for row in incidents])
        return refused

    def _records(self, batches: Sequence[Batch]) -> Iterator[tuple[str, _Record]]:
        """Each operation with its `duplicateKeyHandling`; "" for one that JSON can't hold, the reason in its body."""
        for ordinal, (operation, row, batch) in enumerate(operations_of(batches)):
            extra: dict[str, Any] = {}
            if self._sink.is_append:
                extra = {"_op": NAMES[operation], "_position": encode_position(place_of(batch.position))}
            elif operation in {Operation.DELETE, Operation.REPLACE}:
                extra = {"_op": NAMES[operation]}
            only_key = operation == Operation.DELETE and not self._sink.is_append
            try:
                body = build_record(self._schema, row, extra, only_key=only_key)
            except VALUE_ERRORS as error:
                reason = f"{type(error).__name__}: {error}".encode(errors="replace")
                yield "", _Record(ordinal, operation, row, batch, reason)
                continue
            handling = "ignore" if operation == Operation.INSERT and not self._sink.is_append else "replace"
            yield handling, _Record(ordinal, operation, row, batch, body)

    def _post(self, records: Sequence[_Record], handling: str) -> int:
        body = b"[" + b",".join(record.body for record in records) + b"]"
        # The same when this runner sends the same rows of the same transaction again, never for others: equal rows
        # elsewhere in the transaction have another ordinal, halves of a refused POST another digest.
        digest = hashlib.sha256("\0".join(self._sink.key).encode() + body).hexdigest()[:32]
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{self._sink.epoch}-{self._sink.number}-{records[0].ordinal}-{digest}",
        }
        try:
            self._post_patiently(body, {"duplicateKeyHandling": handling, **self._sink.parameters}, headers)
        except RefusedError as error:
            if len(records) == 1:
                return self._refuse(records[0], str(error))
            middle = len(records) // 2
            return self._post(records[:middle], handling) + self._post(records[middle:], handling)
        self._refusals.accepted()
        return 0

    def _post_patiently(self, body: bytes, parameters: dict[str, str], headers: dict[str, str]) -> None:
        """A few tries with the same key, before the whole transaction is given up and sent again."""
        client = self._sink.client
        for pause in PAUSES:
            try:
                return client.post(body, parameters, headers)
            except TransientError as error:
                asked = error.retry_after or 0.0
                if asked > LONGEST_PAUSE:
                    raise
                client.pause(max(pause, asked))
        return client.post(body, parameters, headers)

    def _refuse(self, record: _Record, reason: str) -> int:
        letter = build_letter(self._schema, record.operation, record.row, record.batch, reason)
        self._refusals.refused(letter, self._sink.client.where)
        self.connection.execute(
            self._letter_sql, (*self._sink.key[:2], letter.reason, letter.operation, letter.position, letter.row)
        )
        return 1


def _parts(records: Iterator[tuple[str, _Record]]) -> Iterator[tuple[str, list[_Record]]]:
    """Runs of records with one handling, in order, none larger than a POST may be; refused ones stand alone."""
    current, part, size = "", list[_Record](), 0
    for handling, record in records:
        is_full = len(part) >= RECORDS_A_POST or size + len(record.body) > BYTES_A_POST
        if part and (handling != current or is_full or not handling):
            yield current, part
            part, size = [], 0
        current = handling
        part.append(record)
        size += len(record.body) + 1
    if part:
        yield current, part


class HttpInspector(SqliteInspector):
    """The local file's checkpoint; the rows are on the other side."""

    def __init__(self, context: SinkContext) -> None:
        super().__init__(_local(context))

    def newest_rows(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Not possible.

        Raises:
            ActionRequiredError: Always.
        """
        raise ActionRequiredError("rows can't be read back over HTTP; look at the dataset itself", reason="NotPossible")
