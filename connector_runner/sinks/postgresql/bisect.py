"""Writes a transaction of which the database refuses some rows: halves it until the refused rows are isolated."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from connector_runner.datasets.dead_letters import RefusedError, build_letter
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.procedure import Statement
from connector_runner.datasets.write_plan import operations_of
from connector_runner.protocols.batch import Batch, Row
from connector_runner.protocols.errors import ActionRequiredError, blame_stream
from connector_runner.protocols.sink import Transaction
from connector_runner.sinks.postgresql.errors import Meaning, meaning_of
from connector_runner.sinks.postgresql.session import Session, StatementError
from connector_runner.sinks.postgresql.statements import RowSql

# Exceptions of a value that has no exact binary form.
VALUE_ERRORS = (RefusedError, UnicodeError, struct.error, OverflowError, ValueError, TypeError)
Operations = Sequence[tuple[int, Row, Batch]]

BEGIN, COMMIT, ROLLBACK = Statement("BEGIN"), Statement("COMMIT"), Statement("ROLLBACK")
SAVE, RELEASE, BACK = Statement("SAVEPOINT part"), Statement("RELEASE part"), Statement("ROLLBACK TO part")


@contextmanager
def blaming(part: Transaction) -> Iterator[None]:
    """A context in which a failure is that of the part's stream."""
    stream = part.batches[0].schema.stream
    try:
        yield
    except StatementError as error:
        error.stream = stream
        raise
    except ActionRequiredError as error:
        blame_stream(error, stream)
        raise


class BisectingWriter:
    """Bisects one transaction; `first` gives what comes before the rows of a part."""

    def __init__(
        self,
        session: Session,
        ledger: Ledger,
        rows: Mapping[str, RowSql],
        first: Callable[[Transaction], Sequence[Statement]],
        *,
        append: bool,
    ) -> None:
        self._first = first
        self._session = session
        self._ledger = ledger
        self._rows = rows
        self._append = append

    async def write(self, transaction: Transaction) -> int:
        """Writes all of it or nothing; returns how many rows were refused.

        Raises:
            StatementError: The cause is not a row; `place` 0 is the fence.
            ActionRequiredError: Too many rows were refused.
        """
        await self._session.run(BEGIN)
        try:
            await self._session.run(*self._ledger.advance(transaction))
            refused = 0
            parts = self._ledger.by_stream(transaction)
            for part in parts:
                with blaming(part):
                    if first := self._first(part):
                        await self._session.run(*first)
                    refused += await self._write(list(operations_of(part.batches)))
            for part in parts:
                if incidents := self._ledger.incidents([part]):
                    with blaming(part):
                        await self._session.run(*incidents)
            await self._session.run(COMMIT)
        except BaseException:
            if not self._session.is_lost:
                await self._session.run(ROLLBACK)
            raise
        return refused

    async def _write(self, operations: Operations) -> int:
        if not operations:
            return 0
        try:
            statements = self._statements(operations)
        except VALUE_ERRORS as error:
            return await self._split(operations, f"{type(error).__name__}: {error}")
        await self._session.run(SAVE)
        try:
            await self._session.run(*statements)
        except StatementError as error:
            await self._session.run(BACK, RELEASE)
            if meaning_of(error.sqlstate) is not Meaning.REFUSED:
                raise
            return await self._split(operations, f"{error} ({error.sqlstate})")
        await self._session.run(RELEASE)
        self._ledger.streams[operations[0][2].schema.stream].refusals.accepted()
        return 0

    async def _split(self, operations: Operations, reason: str) -> int:
        if len(operations) > 1:
            middle = len(operations) // 2
            return await self._write(operations[:middle]) + await self._write(operations[middle:])
        operation, row, batch = operations[0]
        letter = build_letter(batch.schema, operation, row, batch, reason)
        await self._session.run(self._ledger.streams[batch.schema.stream].dead_letter(letter))
        return 1

    def _statements(self, operations: Operations) -> list[Statement]:
        rows = self._rows[operations[0][2].schema.stream]
        batches = [
            Batch(batch.schema, [row], batch.position, bytes([operation])) for operation, row, batch in operations
        ]
        return rows.write(batches, append=self._append)
