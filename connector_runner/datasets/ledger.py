"""The ledger: who may write, the checkpoints of the streams, refused rows, and incidents that readers must know.

Every dataset has one: in the dataset itself if that is a database, else in a file beside the runner. It is written once, as
procedures over statements of any dialect; transactions, locks and connections belong to the driver. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from connector_runner.datasets.dialect import Dialect, create_missing
from connector_runner.datasets.fence_loss import explain_loss, why_refused
from connector_runner.datasets.fencing import Holder, decode_position, encode_position
from connector_runner.datasets.ledger_schemas import create_foreign, find_home, find_problem, read_owners, statements_in
from connector_runner.datasets.ledger_statements import build_ledger_statements
from connector_runner.datasets.lost import report_lost
from connector_runner.datasets.names import TableNames
from connector_runner.datasets.places import ANCHOR, Kept, build_stored, encode_place, is_apart, whole_of
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.datasets.stream_ledger import build_stream_ledgers, find_meetings
from connector_runner.protocols.batch import Batch, Incident, whole_position
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
        tried: The epoch of the last change of the selection, which may have been stored although it was not confirmed; 0 for none.
        kept: The known contents of the rows beside the anchor; empty without an anchor.
        failures: Stream → why it is left out of the selection (`SinkContext.isolates`).
        home: The schema of the ledger, with the checkpoint table.
        foreign: Other schemas with tables of the streams → the statements on the checkpoint table there (see `ledger_schemas`).
        is_new: Whether this runner has created the checkpoint table.

    Raises:
        InvalidConfigError, SchemaConflictError: See `build_stream_ledgers`.
    """

    def __init__(self, context: SinkContext, dialect: Dialect) -> None:
        self.dialect = dialect
        self.append = context.write_mode is WriteMode.APPEND
        self.has_anchor = context.has_anchor
        self.failures: dict[str, ActionRequiredError] = {}
        self.streams = build_stream_ledgers(context, dialect, self.failures, append=self.append)
        self.epoch = self.tried = 0
        self.kept = Kept()
        self.is_new = False
        self._context = context
        self._versions: dict[str, tuple[str, str]] = {}
        schemas = {stream.names.schema for stream in self.streams.values()}
        self._settle((context.ledger_schema if dialect.has_schemas else "") or min(schemas, default=""))

    @property
    def fence_name(self) -> str:
        """The table of the fence's row, as the orders spell it; "" for an anchor."""
        return "" if self.has_anchor else next(iter(self.streams.values())).names.text

    def locate(self, find: Callable[[TableNames], Procedure[TableNames]]) -> Procedure[None]:
        """Finds the schemas of all tables and of the ledger, if the database has schemas.

        Raises:
            ActionRequiredError: A schema is missing or may not be used, or nothing says where the ledger is.
            SchemaConflictError: Two streams turn out to use the same table.
        """
        yield from self._require_schemas()
        for ledger in self.streams.values():
            if not ledger.is_located:
                ledger.locate((yield from find(ledger.names)))
        for stream, meeting in find_meetings(self.streams.values(), self.dialect, append=self.append).items():
            self._fail(stream, meeting)
        home = self.home.schema
        if not self.epoch:  # a ledger stays where it was claimed
            only = None if self.has_anchor else next(iter(self.streams.values()))
            schemas = {ledger.names.schema for ledger in self.streams.values()}
            wanted, connector = self._context.ledger_schema, self._context.connector
            home = yield from find_home(self.dialect, connector, schemas, wanted=wanted, only=only)
        self._settle(home)

    def _require_schemas(self) -> Procedure[None]:
        """Checks the schemas that are named, if there are several, so that streams in one that can't be used fail alone."""
        missing = {ledger.names.schema for ledger in self.streams.values() if not ledger.is_located} - {""}
        if self.has_anchor and missing - {self.home.schema}:
            problems = {}
            for schema in sorted(missing):
                problems[schema] = yield from find_problem(self.dialect, schema)
            for stream, ledger in list(self.streams.items()):
                if not ledger.is_located and (problem := problems.get(ledger.names.schema)) is not None:
                    self._fail(stream, ActionRequiredError(problem.message, reason=problem.reason))

    def _fail(self, stream: str, error: ActionRequiredError) -> None:
        """Leaves the stream out, or ends the run where streams are not isolated."""
        if not self._context.isolates:
            raise error
        error.stream = stream
        self.leave_out(stream, error)

    def _settle(self, home: str) -> None:
        """The ledger is in this schema."""
        self.home = TableNames(home, "")
        self.sql = build_ledger_statements(self.home, self.dialect)
        for ledger in self.streams.values():
            ledger.settle(home)
        others = {ledger.names.schema for ledger in self.streams.values()} - {home, ""}
        self.foreign = {schema: statements_in(schema, self.dialect) for schema in sorted(others)}
        self.key = (self._context.connector, *ANCHOR) if self.has_anchor else next(iter(self.streams.values())).key

    def select(self, tables: Mapping[str, str] | None) -> Sequence[str]:
        """Changes the selection (None: failed streams are tried again); streams that stay keep their counts and what is known of them.

        Returns:
            Those that do not stay in their tables, so that whatever writes there writes no more.
        """
        if tables is not None:
            self._context = replace(self._context, tables=tables)
        self.failures.clear()
        streams = build_stream_ledgers(self._context, self.dialect, self.failures, append=self.append)
        gone = []
        for stream, before in list(self.streams.items()):
            if stream in streams and streams[stream].spelled == before.spelled:
                streams[stream] = before
            else:
                gone.append(stream)
                self.leave_out(stream)
        self.streams = streams
        return gone

    def leave_out(self, stream: str, error: ActionRequiredError | None = None) -> None:
        """Forgets a stream: it failed, or it is not selected any more."""
        self.streams.pop(stream, None)
        self._versions.pop(stream, None)
        self.kept.forget(stream)
        if error is not None:
            self.failures[stream] = error

    # claiming: see `claiming`

    def create(self) -> Procedure[None]:
        """Makes sure that the checkpoint table exists, also in the other schemas with tables."""
        self.is_new = yield from create_missing(self.dialect, self.home.checkpoints, self.sql.create_checkpoints)
        yield from create_foreign(self)

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
        holders = [owner.holder for owner in (yield from read_owners(self, ledger))]
        own = any(holder.schema_version for holder in holders)
        is_created = yield from ensure_rows(own)
        yield from create_missing(self.dialect, ledger.names.dead_letters, ledger.sql.create_dead_letters)
        yield from create_missing(self.dialect, ledger.names.incidents, ledger.sql.create_incidents)
        if is_created:  # ours from now on, before it has rows
            anchor = (yield from self.read_holder(self.key)) if self.has_anchor else None
            yield from report_lost(ledger, holders, anchor, noun=self.dialect.noun)
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
        if transaction.position is None:
            return [Statement(self.sql.touch, [transaction.number, *held])]
        if self.has_anchor:
            position, version, beside = transaction.position, "", list(self._beside(transaction))
        else:
            last = transaction.batches[-1]
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
        return (yield from why_refused(self, self._context, number))

    def explain_loss(self, holder: Holder | None) -> Procedure[Exception]:
        """Why this row shows that the claim is lost."""
        return (yield from explain_loss(self, self._context, holder))

    def recover(self) -> Procedure[int]:
        """The number of the last committed transaction.

        Raises:
            FenceLostError: The epoch is no longer held.
        """
        holder = yield from self.read_holder(self.key)
        if holder is None or not self.is_held(holder):
            raise (yield from self.explain_loss(holder))
        self.epoch = holder.epoch
        return holder.number

    def is_held(self, holder: Holder) -> bool:
        """Whether this run holds the row."""
        is_own = (holder.uid, holder.run) == (self._context.uid, self._context.run)
        return holder.epoch == self.epoch or (is_own and holder.epoch == self.tried)

    def park(self, stream: str, incident: Incident) -> Procedure[None]:
        """See `Sink.park`; inside one transaction of the driver."""
        ledger = self.streams[stream]
        anchor = yield from self.read_holder(self.key, self.dialect.lock)
        holder = yield from self.read_holder(ledger.key, self.dialect.lock)
        if anchor is None or holder is None or not (self.is_held(anchor) and self.is_held(holder)):
            other = holder if anchor is not None and self.is_held(anchor) else anchor
            raise (yield from self.explain_loss(other))
        whole = whole_of(holder, anchor)
        position = decode_position(whole.position) if whole.position is not None else None
        self.kept.forget(stream)
        yield Statement(self.sql.hold, [encode_place(position), whole.identity, *ledger.key])
        if (yield Statement(self.dialect.find, [ledger.names.incidents])).rows:
            yield ledger.incident(incident, position)

    # for people, without a claim

    def checkpoints(self) -> Procedure[list[StoredCheckpoint]]:
        """The checkpoints of this connector's streams and tables."""
        if not (yield from self._has_checkpoints()):
            return []
        anchor, found = list[Sequence[object]](), list[Sequence[object]]()
        for ledger in self.streams.values():
            found += (yield Statement(self.sql.read, ledger.key)).rows
        if any(is_apart(Holder(*row[:-1])) for row in found):  # type: ignore[arg-type]
            anchor += (yield Statement(self.sql.read, (self._context.connector, *ANCHOR))).rows
        return [build_stored(row, anchor[0] if anchor else None) for row in found]

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
