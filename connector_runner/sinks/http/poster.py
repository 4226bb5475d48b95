"""Rows by POST, sent inside the ledger's transaction, so that its position is never ahead of a response."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from connector_runner.datasets.blocking.database import BlockingConnection
from connector_runner.datasets.blocking.sink import BlockingSink
from connector_runner.datasets.dead_letters import RefusedError, build_letter
from connector_runner.datasets.fencing import encode_position
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.procedure import Procedure
from connector_runner.datasets.write_plan import NAMES, operations_of
from connector_runner.protocols.batch import Batch, Operation, Row, place_of
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.http.client import Client, ConflictError
from connector_runner.sinks.http.ledger_files import ledger_file, move_rows
from connector_runner.sinks.http.records import build_record

RECORDS_A_POST = 1000
BYTES_A_POST = 1 << 20
# Seconds between the attempts of one POST; if the server asks for more than LONGEST_PAUSE, the pipeline waits and is not ready.
PAUSES = (0.05, 0.2, 0.8)
LONGEST_PAUSE = 5.0
STILL_WORKED_ON = 120.0
"""Seconds for which the server may still work on a request whose answer was lost: twice as long as an answer is waited for."""
VALUE_ERRORS = (RefusedError, UnicodeError, OverflowError, ValueError, TypeError)


def build_posting_sink(context: SinkContext) -> BlockingSink:
    """At least once, in order; the fence works among runners that share the data directory."""
    return BlockingSink(context, ledger_file(context), lambda ledger: PostedRows(context, ledger))


class PostedRows:
    """`Rows` stored by the server behind a URL."""

    def __init__(self, context: SinkContext, ledger: Ledger) -> None:
        self.context = context
        self.ledger = ledger
        self._client: Client | None = None
        self._leaving = threading.Event()

    def check(self) -> None:
        """See `Rows.check`."""
        folder = self.context.directory
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ActionRequiredError(
                f"the position of what goes out by HTTP is kept in a file, but {folder.absolute()} can't be written; "
                "give the Dataset a volumeClaim",
                reason="InvalidDataset",
            )
        move_rows(self.context, self.ledger)

    def ensure(self, schema: StreamSchema, own: bool, renews: bool) -> Procedure[bool]:
        """Creates nothing: the server has the rows."""
        del schema, own, renews
        yield from ()
        return False

    def build_writer(self, schema: StreamSchema) -> Poster:
        """See `Rows.build_writer`."""
        _ = self.client  # an invalid URL is reported now, not at the first row
        return Poster(self, schema)

    @property
    def client(self) -> Client:
        """The connection; opened again after each loss, with the URL read again (a token may have been rotated)."""
        if self._client is None:
            self._client = Client(self.context.read_url(), self._leaving)
        return self._client

    def leave(self) -> None:
        """Aborts the request in progress, since nobody waits for its response any more."""
        self._leaving.set()
        if (client := self._client) is not None:
            client.abort()

    def disconnect(self) -> None:
        """See `Rows.disconnect`."""
        if self._client is not None:
            self._client.close()
            self._client = None


@dataclass(slots=True)
class _Record:
    ordinal: int  # index of the operation in its transaction
    operation: int
    row: Row
    batch: Batch
    body: bytes


class Poster:
    """A `StreamWriter` that sends rows by POST and stores refused rows in the ledger."""

    def __init__(self, rows: PostedRows, schema: StreamSchema) -> None:
        self._rows = rows
        self._ledger = rows.ledger.streams[schema.stream]
        self._schema = schema
        self._append = rows.context.write_mode is WriteMode.APPEND
        self._parameters = {"wait": "true" if rows.context.wait else "false"}
        self._unheard: dict[
            str, float
        ] = {}  # keys of the present transaction that were sent without an answer, and since when
        self._number = 0

    def write(self, connection: BlockingConnection, transaction: Transaction) -> int:
        """See `StreamWriter.write`."""
        sending = _Sending(connection, transaction.number)
        if transaction.number != self._number:
            self._number = transaction.number
            self._unheard.clear()
        refused = 0
        for handling, part in _parts(self._records(transaction.batches)):
            if handling:
                refused += self._post(sending, part, handling)
            else:
                refused += self._refuse(sending, part[0], part[0].body.decode())
        return refused

    def _records(self, batches: Sequence[Batch]) -> Iterator[tuple[str, _Record]]:
        """Each operation with its `duplicateKeyHandling`; "" for one that JSON can't represent, with the reason as its body."""
        for ordinal, (operation, row, batch) in enumerate(operations_of(batches)):
            record = _Record(ordinal, operation, row, batch, b"")
            try:
                record.body = self._body(operation, row, batch)
            except VALUE_ERRORS as error:
                record.body = f"{type(error).__name__}: {error}".encode(errors="replace")
                yield "", record
                continue
            yield "ignore" if operation == Operation.INSERT and not self._append else "replace", record

    def _body(self, operation: int, row: Row, batch: Batch) -> bytes:
        extra: dict[str, Any] = {}
        if self._append:
            extra = {"_op": NAMES[operation], "_position": encode_position(place_of(batch.position))}
        elif operation in {Operation.DELETE, Operation.REPLACE}:
            extra = {"_op": NAMES[operation]}
        only_key = operation == Operation.DELETE and not self._append
        if self._rows.ledger.has_anchor:
            extra["_stream"] = self._schema.stream
        return build_record(self._schema, row, extra, only_key=only_key)

    def _post(self, sending: _Sending, records: Sequence[_Record], handling: str) -> int:
        body = b"[" + b",".join(record.body for record in records) + b"]"
        # The same if this runner sends the same rows of the same transaction again, never for others: equal rows
        # elsewhere in the transaction have another ordinal, halves of a refused POST another digest.
        digest = hashlib.sha256("\0".join(self._ledger.key).encode() + body).hexdigest()[:32]
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{self._rows.ledger.epoch}-{sending.number}-{records[0].ordinal}-{digest}",
        }
        try:
            self._post_patiently(body, {"duplicateKeyHandling": handling, **self._parameters}, headers)
        except RefusedError as error:
            if len(records) == 1:
                return self._refuse(sending, records[0], str(error))
            middle = len(records) // 2
            return self._post(sending, records[:middle], handling) + self._post(sending, records[middle:], handling)
        self._ledger.refusals.accepted()
        return 0

    def _post_patiently(self, body: bytes, parameters: dict[str, str], headers: dict[str, str]) -> None:
        """Makes a few attempts with the same key; after that the whole transaction is aborted and sent again."""
        client = self._rows.client
        for pause in PAUSES:
            try:
                return self._post_once(client, body, parameters, headers)
            except TransientError as error:
                asked = error.retry_after or 0.0
                if asked > LONGEST_PAUSE:
                    raise
                client.pause(max(pause, asked))
        return self._post_once(client, body, parameters, headers)

    def _post_once(self, client: Client, body: bytes, parameters: dict[str, str], headers: dict[str, str]) -> None:
        """One attempt. A conflict with an earlier one whose answer was lost refuses no row: the server may still work on it."""
        unheard, key, now = self._unheard, headers["Idempotency-Key"], time.monotonic()
        try:
            client.post(body, parameters, headers)
        except TransientError:
            unheard.setdefault(key, now)
            raise
        except ConflictError as error:
            if now - unheard.get(key, float("-inf")) > STILL_WORKED_ON:
                raise
            text = (
                f"dataset {client.where} answers {error}; it may still work on the same request, whose answer was lost"
            )
            raise TransientError(text, reason="DatasetUnavailable") from None
        unheard.pop(key, None)

    def _refuse(self, sending: _Sending, record: _Record, reason: str) -> int:
        letter = build_letter(self._schema, record.operation, record.row, record.batch, reason)
        statement = self._ledger.dead_letter(letter, self._rows.client.where)
        sending.connection.execute(statement.sql, statement.parameters)
        return 1


@dataclass(frozen=True, slots=True)
class _Sending:
    """The transaction that is being sent."""

    connection: BlockingConnection
    number: int


def _parts(records: Iterator[tuple[str, _Record]]) -> Iterator[tuple[str, list[_Record]]]:
    """Groups of consecutive records with the same handling, none larger than a POST may be; each refused record is a group."""
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
