"""The ledger: who may write, the checkpoints of the streams, refused rows, and incidents that readers must know.

Every dataset has one: in the dataset itself if that is a database, else in a file beside the runner. It is written once, as
procedures over statements of any dialect; transactions, locks and connections belong to the driver. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from connector_runner.datasets.dialect import Dialect, create_missing
from connector_runner.datasets.fencing import Holder, decode_position, encode_position, explain_refused_commit
from connector_runner.datasets.ledger_statements import build_ledger_statements
from connector_runner.datasets.names import TableNames
from connector_runner.datasets.places import ANCHOR, Kept, encode_place, is_apart, whole_of
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.datasets.stream_ledger import build_stream_ledgers
from connector_runner.protocols.batch import Batch, whole_position
from connector_runner.protocols.errors import ActionRequiredError, SchemaConflictError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext, StoredCheckpoint, Transaction
from connector_runner.protocols.source import WriteMode


class Ledger:
    """The ledger of one runner: its connector, streams and tables.

    Attributes:
        streams: Stream → its part of the ledger.
        key: The key of the row that is the fence: the only stream's, or the anchor's (see `places`).
        epoch: This runner's epoch; 0 before it has claimed.
        kept: The known contents of the rows beside the anchor; empty without an anchor.

    Raises:
        InvalidConfigError, SchemaConflictError: See `build_stream_ledgers`.
    """

    def __init__(self, context: SinkContext, dialect: Dialect) -> None:
        self.dialect = dialect
        self.append = context.write_mode is WriteMode.APPEND
        self.has_anchor = context.has_anchor
        self.streams = build_stream_ledgers(context, dialect, append=self.append)
        only = next(iter(self.streams.values()))
        self.key = (context.connector, *ANCHOR) if self.has_anchor else only.key
        self.epoch = 0
        self.kept = Kept()
        self._context = context
        self._versions: dict[str, tuple[str, str]] = {}
        self._settle_home()

    @property
    def fence_name(self) -> str:
        """The table of the fence's row, as the orders spell it; "" for an anchor."""
        return "" if self.has_anchor else next(iter(self.streams.values())).names.text

    def locate(self, find: Callable[[TableNames], Procedure[TableNames]]) -> Procedure[None]:
        """Finds the schemas of all tables, if the database has schemas.

        Raises:
            ActionRequiredError: The tables are in several schemas, so there would be several ledgers.
        """
        for ledger in self.streams.values():
            ledger.locate((yield from find(ledger.names)))
        self._settle_home()

    def _settle_home(self) -> None:
        """The checkpoint table is in the same schema as the streams' tables."""
        schemas = sorted({ledger.names.schema for ledger in self.streams.values()})
        if len(schemas) > 1 and "" not in schemas:
            raise ActionRequiredError(
                f"the tables of {self._context.connector} lie in the schemas {', '.join(schemas)}; the streams of one connector "
                "share one checkpoint table, so their tables need one schema",
                reason="InvalidDataset",
            )
        self.home = next(iter(self.streams.values())).names
        self.sql = build_ledger_statements(self.home, self.dialect)

    # claiming: see `claiming`

    def create(self) -> Procedure[None]:
        """Makes sure that the checkpoint table exists."""
        yield from create_missing(self.dialect, self.home.checkpoints, self.sql.create_checkpoints)

    def read_holder(self, key: Sequence[str], lock: str = "") -> Procedure[Holder | None]:
        """A row of the checkpoint table."""
        rows = (yield Statement(self.sql.read + lock, key)).rows
        return Holder(*rows[0][:-1]) if rows else None

    def read_holders(self, table: str, lock: str = "") -> Procedure[list[Holder]]:
        """The rows of all that write into a table."""
        rows = (yield Statement(self.sql.read_table + lock, [table])).rows
        return [Holder(*row[:-1]) for row in rows]

    def read_connector(self, lock: str = "") -> Procedure[list[Holder]]:
        """All rows of this connector."""
        rows = (yield Statement(self.sql.read_connector + lock, [self._context.connector])).rows
        return [Holder(*row[:-1]) for row in rows]

    # preparing: inside one transaction of the driver

    def prepare(self, schema: StreamSchema, ensure_rows: Callable[[bool], Procedure[bool]]) -> Procedure[None]:
        """Makes all tables of the stream fit the schema.

        Args:
            schema: The schema of the rows to come.
            ensure_rows: Makes the table with the rows fit; gets whether a connector has filled it, returns whether it was created.

        Raises:
            SchemaConflictError: That table can't be made to fit, or another stream uses it with another schema.
        """
        ledger = self.streams[schema.stream]
        table = ledger.key[2]
        self._require_equal(schema, table)
        own = any(holder.schema_version for holder in (yield from self.read_holders(table)))
        is_created = yield from ensure_rows(own)
        yield from create_missing(self.dialect, ledger.names.dead_letters, ledger.sql.create_dead_letters)
        yield from create_missing(self.dialect, ledger.names.incidents, ledger.sql.create_incidents)
        if is_created:  # ours from now on, before it has rows
            yield Statement(self.sql.adopt, [schema.version, *ledger.key, self.epoch])
        self._versions[schema.stream] = (table, schema.version)

    def _require_equal(self, schema: StreamSchema, table: str) -> None:
        """Checks that all streams that share a table have the same schema."""
        for stream, known in self._versions.items():
            if stream != schema.stream and known[0] == table and known[1] != schema.version:
                raise SchemaConflictError(
                    f"streams {stream} and {schema.stream} share table {table}, but their schemas differ; give one of them "
                    "another table"
                )

    # committing: statements for the transaction that carries the rows

    def advance(self, transaction: Transaction) -> list[Statement]:
        """Updates the fence's row, if it still has our epoch and the previous number, and the rows beside it that changed.

        Each statement must change one row; `Dialect.guard` says how that is checked.
        """
        held = (*self.key, self.epoch, transaction.number - 1)
        if not transaction.batches:
            return [Statement(self.sql.touch, [transaction.number, *held])]
        last = transaction.batches[-1]
        if self.has_anchor:
            position, version, beside = last.position, "", list(self._beside(transaction))
        else:
            position, version, beside = whole_position(last.position, last.place), last.schema.version, []
        state = (transaction.identity, version, encode_position(position))
        return [Statement(self.sql.commit, [transaction.number, *state, *held]), *beside]

    def _beside(self, transaction: Transaction) -> Iterator[Statement]:
        """The rows of streams whose place or schema changed; so idle streams add nothing to the cost of a commit."""
        for stream, batch in {batch.schema.stream: batch for batch in transaction.batches}.items():
            key, version, place = self.streams[stream].key, batch.schema.version, batch.place or {}
            if self.kept.moves(stream, place, transaction.number):
                yield Statement(self.sql.place, [version, encode_place(place), *key, self.epoch])
            elif self.kept.alters(stream, version, transaction.number):
                yield Statement(self.sql.version, [version, *key, self.epoch])
            self.kept.keep(stream, place, version, transaction.number)

    def by_stream(self, transaction: Transaction) -> Sequence[Transaction]:
        """The transaction split by stream, for row writers; the order of each stream's batches is kept."""
        if len(self.streams) == 1 or not transaction.batches:
            return [transaction] if transaction.batches else []
        parts: dict[str, list[Batch]] = {}
        for batch in transaction.batches:
            parts.setdefault(batch.schema.stream, []).append(batch)
        return [replace(transaction, batches=tuple(batches)) for batches in parts.values()]

    def incidents(self, parts: Sequence[Transaction]) -> list[Statement]:
        """Statements for the incidents in the parts of a transaction (`by_stream`)."""
        return [
            statement
            for part in parts
            for statement in self.streams[part.batches[0].schema.stream].incidents(part.batches)
        ]

    def snapshot_refusals(self, parts: Sequence[Transaction]) -> Callable[[], None]:
        """Returns a function that undoes the counts made from now on; to be called if these parts are rolled back."""
        counts = [self.streams[part.batches[0].schema.stream].refusals for part in parts]
        before = [(refusals, refusals.snapshot()) for refusals in counts]

        def restore() -> None:
            for refusals, state in before:
                refusals.restore(state)

        return restore

    def why_refused(self, number: int) -> Procedure[Exception]:
        """Why `advance` changed nothing for the transaction of this number."""
        holder = yield from self.read_holder(self.key)
        context = self._context
        if self.has_anchor and holder is not None and holder.epoch == self.epoch and holder.number < number:
            keys = {ledger.key for ledger in self.streams.values()}
            for row in (yield from self.read_connector()):
                if (row.connector, row.stream, row.table) in keys and row.epoch != self.epoch:
                    holder = row
        return explain_refused_commit(holder, context.uid, context.run, self.epoch, number)

    def recover(self) -> Procedure[int]:
        """The number of the last committed transaction.

        Raises:
            FenceLostError: The epoch is no longer held.
        """
        holder = yield from self.read_holder(self.key)
        if holder is None or holder.epoch != self.epoch:
            raise explain_refused_commit(holder, self._context.uid, self._context.run, self.epoch, 0)
        return holder.number

    # for people, without a claim

    def checkpoints(self) -> Procedure[list[StoredCheckpoint]]:
        """The checkpoints of this connector's streams and tables."""
        if not (yield from self._has_checkpoints()):
            return []
        anchor, found = None, list[Sequence[object]]()
        for ledger in self.streams.values():
            found += (yield Statement(self.sql.read, ledger.key)).rows
        if any(is_apart(Holder(*row[:-1])) for row in found):  # type: ignore[arg-type]
            anchor = yield from self.read_holder((self._context.connector, *ANCHOR))
        return [_stored(row, anchor) for row in found]

    def reset(self) -> Procedure[int]:
        """Deletes the positions and fences off any runner that still writes; returns how many checkpoints there were."""
        if not (yield from self._has_checkpoints()):
            return 0
        count, is_fenced = 0, False
        for ledger in self.streams.values():
            holder = yield from self.read_holder(ledger.key)
            if holder is not None and is_apart(holder) and not is_fenced:
                yield Statement(self.sql.fence, [self._context.connector, *ANCHOR])
                is_fenced = True
            count += (yield Statement(self.sql.release, ledger.key)).count
        return count

    def _has_checkpoints(self) -> Procedure[bool]:
        """Whether a runner has ever claimed anything here; the check creates no table."""
        return bool((yield Statement(self.dialect.find, [self.home.checkpoints])).rows)


def _stored(row: Sequence[object], anchor: Holder | None) -> StoredCheckpoint:
    *values, updated = row
    holder = Holder(*values)  # type: ignore[arg-type]
    whole = whole_of(holder, anchor)
    fence = anchor if anchor is not None and is_apart(holder) else holder
    return StoredCheckpoint(
        connector=holder.connector, stream=holder.stream, table=holder.table, epoch=fence.epoch, number=fence.number,
        uid=fence.uid, run=fence.run, identity=whole.identity, schema_version=holder.schema_version,
        position=decode_position(whole.position) if whole.position else None, write_mode=holder.write_mode,
        updated=updated if isinstance(updated, str) else updated.isoformat(),  # type: ignore[attr-defined]
    )  # fmt: skip
