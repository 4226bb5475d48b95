"""The ledger: who may write, where the streams stand, which rows were refused, what a reader must know.

Every dataset has one: in the dataset itself where that is a database, in a file beside the runner where it is not. Written once, as
procedures over statements of any dialect; transactions, locks and connections are the driver's. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from connector_runner.datasets.dead_letters import DeadLetter, Refusals, incident_rows
from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.fencing import (
    Holder,
    decode_position,
    encode_position,
    explain_refused_commit,
    find_taken,
    next_epoch,
    require_alone,
)
from connector_runner.datasets.ledger_statements import build_ledger_statements
from connector_runner.datasets.names import TableNames
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Claim, SinkContext, StoredCheckpoint, Transaction
from connector_runner.protocols.source import WriteMode


def create_missing(dialect: Dialect, relation: str, statement: str) -> Procedure[None]:
    """Creates a table or index unless it is there; asks first, because `IF NOT EXISTS` needs the right to create even then."""
    if not (yield Statement(dialect.find, [relation])).rows:
        yield Statement(statement)


class Ledger:
    """Of one runner: its connector, stream and table.

    Attributes:
        names: Of the dataset's tables.
        epoch: This runner's; 0 before it has claimed.
        refusals: Counts refused rows.
    """

    def __init__(self, context: SinkContext, dialect: Dialect) -> None:
        ((stream, table),) = context.tables.items()
        names = dialect.parse_table(table)
        self.dialect = dialect
        self.key = (context.connector, stream, dialect.table_key(names))
        self.epoch = 0
        self.refusals = Refusals(context.refused_rows, context.refusal_limit)
        self._context = context
        self._append = context.write_mode is WriteMode.APPEND
        self.locate(names)

    @property
    def owner(self) -> tuple[str, str]:
        """Connector and stream."""
        return self.key[:2]

    def locate(self, names: TableNames) -> None:
        """The tables lie there from now on (a schema that the database has found); the checkpoint's key stays."""
        self.names = names
        self._sql = build_ledger_statements(names, self.dialect)

    # claiming: inside one transaction of the driver, which keeps others out

    def create(self) -> Procedure[None]:
        """The checkpoint table exists afterwards."""
        yield from create_missing(self.dialect, self.names.checkpoints, self._sql.create_checkpoints)

    def check(self) -> Procedure[None]:
        """Whether this run may claim, as far as can be seen without a lock.

        Raises:
            ClaimRefusedError: It may not.
        """
        self._next_epoch((yield from self._read_holder()))

    def claim(self) -> Procedure[Claim]:
        """Takes the next epoch, and the table over from whom the orders name.

        Raises:
            ClaimRefusedError: The same connector already ran with that number or a higher one.
            SchemaConflictError: Another connector fills the table.
        """
        yield from self._take_over()
        holder = yield from self._read_holder(self.dialect.lock)
        context = self._context
        if not self._append:
            require_alone((yield from self._read_holders()), *self.key, context.take_over)
        self.epoch = self._next_epoch(holder)
        values = [*self.key, self.epoch, context.uid, context.run, context.write_mode.value]
        yield Statement(self._sql.claim, values)
        checkpoint = holder.checkpoint() if holder else None
        return Claim({self.key[1]: checkpoint}, self.epoch, holder.number if holder else 0)

    def _next_epoch(self, holder: Holder | None) -> int:
        context = self._context
        return next_epoch(holder, context.uid, context.run, tried=self.epoch, unmoved=context.unmoved)

    def _take_over(self) -> Procedure[None]:
        """Takes the table over, if it is still held as the orders name it; that is recorded as an incident."""
        if self._context.take_over is None:
            return
        others = yield from self._read_holders(self.dialect.lock)
        taken = find_taken(others, self._context.take_over, *self.owner, append=self._append)
        if taken is None:
            return
        theirs = (taken.holder.connector, taken.holder.stream, taken.holder.table)
        if taken.keeps_position:
            yield Statement(self._sql.remove, self.key)  # at most the rest of a reset
            yield Statement(self._sql.move, [*self.key, *theirs])
        else:
            yield Statement(self._sql.release, theirs)
        yield from create_missing(self.dialect, self.names.incidents, self._sql.create_incidents)
        yield Statement(self._sql.incident, [*self.owner, *taken.incident])

    def _read_holder(self, lock: str = "") -> Procedure[Holder | None]:
        rows = (yield Statement(self._sql.read + lock, self.key)).rows
        return Holder(*rows[0][:-1]) if rows else None

    def _read_holders(self, lock: str = "") -> Procedure[list[Holder]]:
        """All who write into the table."""
        rows = (yield Statement(self._sql.read_table + lock, self.key[2:])).rows
        return [Holder(*row[:-1]) for row in rows]

    # preparing: inside one transaction of the driver

    def prepare(self, schema: StreamSchema, ensure_rows: Callable[[bool], Procedure[bool]]) -> Procedure[None]:
        """All tables fit afterwards.

        Args:
            schema: Of what will come.
            ensure_rows: Makes the rows' own table fit; is given whether a connector has filled it, gives whether it was created.

        Raises:
            SchemaConflictError: The rows' table can't be made to fit.
        """
        own = any(holder.schema_version for holder in (yield from self._read_holders()))
        is_created = yield from ensure_rows(own)
        yield from create_missing(self.dialect, self.names.dead_letters, self._sql.create_dead_letters)
        yield from create_missing(self.dialect, self.names.incidents, self._sql.create_incidents)
        if is_created:  # ours from now on, before it has rows
            yield Statement(self._sql.adopt, [schema.version, *self.key, self.epoch])

    # committing: statements for the transaction that carries the rows

    def advance(self, transaction: Transaction) -> Statement:
        """Moves the checkpoint, if its row still has our epoch and the number before; see `Dialect.guard` for how that is known."""
        held = (*self.key, self.epoch, transaction.number - 1)
        if not transaction.batches:
            return Statement(self._sql.touch, [transaction.number, *held])
        last = transaction.batches[-1]
        state = (transaction.identity, last.schema.version, encode_position(last.position))
        return Statement(self._sql.commit, [transaction.number, *state, *held])

    def dead_letter(self, letter: DeadLetter, place: str = "") -> Statement:
        """Counts a refused row, and stores it.

        Args:
            letter: The row.
            place: What refused it, for messages; the table unless given.

        Raises:
            ActionRequiredError: Refused rows are to end the run, or these are too many.
        """
        self.refusals.refused(letter, place or self.names.text)
        return Statement(
            self._sql.dead_letter, [*self.owner, letter.reason, letter.operation, letter.position, letter.row]
        )

    def incidents(self, batches: Sequence[Batch]) -> list[Statement]:
        """Those that the batches carry."""
        return [Statement(self._sql.incident, [*self.owner, *row]) for row in incident_rows(batches)]

    def why_refused(self, number: int) -> Procedure[Exception]:
        """Why `advance` changed nothing for the transaction of this number."""
        holder = yield from self._read_holder()
        return explain_refused_commit(holder, self._context.uid, self._context.run, self.epoch, number)

    def recover(self) -> Procedure[int]:
        """The number of the last committed transaction.

        Raises:
            FenceLostError: The epoch is held no more.
        """
        holder = yield from self._read_holder()
        if holder is None or holder.epoch != self.epoch:
            raise explain_refused_commit(holder, self._context.uid, self._context.run, self.epoch, 0)
        return holder.number

    # for people, without a claim

    def checkpoints(self) -> Procedure[list[StoredCheckpoint]]:
        """Of this connector, stream and table."""
        if not (yield from self._has_checkpoints()):
            return []
        return [_stored(row) for row in (yield Statement(self._sql.read, self.key)).rows]

    def reset(self) -> Procedure[int]:
        """Forgets the position and fences off whoever still writes; returns how many checkpoints there were."""
        if not (yield from self._has_checkpoints()):
            return 0
        return (yield Statement(self._sql.release, self.key)).count

    def _has_checkpoints(self) -> Procedure[bool]:
        """Whether a runner has ever claimed anything here; looking makes no table."""
        return bool((yield Statement(self.dialect.find, [self.names.checkpoints])).rows)


def _stored(row: Sequence[object]) -> StoredCheckpoint:
    *values, updated = row
    holder = Holder(*values)  # type: ignore[arg-type]
    return StoredCheckpoint(
        connector=holder.connector, stream=holder.stream, table=holder.table, epoch=holder.epoch, number=holder.number,
        uid=holder.uid, run=holder.run, identity=holder.identity, schema_version=holder.schema_version,
        position=decode_position(holder.position) if holder.position else None, write_mode=holder.write_mode,
        updated=updated if isinstance(updated, str) else updated.isoformat(),  # type: ignore[attr-defined]
    )  # fmt: skip
