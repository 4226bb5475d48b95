"""Claiming: sets the next epoch on the fence's row and on all rows it covers, in one transaction of the driver. Pure.

A change between one stream and a selection uses one formula in both directions (`places`): a claim with an anchor treats rows of
single streams as places; a claim of one stream takes its whole position out of the selection that had it, and dissolves the selection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from connector_runner.datasets.dialect import create_missing
from connector_runner.datasets.fencing import (
    Holder,
    find_taken,
    next_epoch,
    require_alone,
)
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.ledger_schemas import bare, insert, read_all_owners, read_owners, record_tables
from connector_runner.datasets.ledger_statements import LedgerStatements
from connector_runner.datasets.places import (
    ANCHOR,
    UNPLACED,
    checkpoint_of,
    encode_place,
    is_apart,
    place_in,
    whole_of,
)
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.datasets.recorded import RECORD, record_selection, require_not_kept
from connector_runner.datasets.stream_ledger import StreamLedger
from connector_runner.protocols.batch import Position
from connector_runner.protocols.errors import ActionRequiredError, FenceLostError
from connector_runner.protocols.sink import Claim, SinkContext
from connector_runner.protocols.source import Checkpoint

Key = tuple[str, str, str]


class Claiming:
    """Takes a ledger over for one run, inside one transaction of the driver that locks out other runs.

    Attributes:
        rivals: (connector, stream, table) of the other fences that this claim replaces, as found by `check`.
    """

    def __init__(self, ledger: Ledger, context: SinkContext) -> None:
        self.rivals: Sequence[Key] = ()
        self._ledger = ledger
        self._context = context
        self._bereft: dict[str, LedgerStatements] = {}

    def check(self) -> Procedure[None]:
        """Checks whether this run may claim, as far as can be seen without a lock.

        Raises:
            ClaimRefusedError: It may not claim.
        """
        ledger = self._ledger
        if ledger.has_anchor:
            mine = _by_key((yield from ledger.read_connector()))
            self._next_epoch(self._fences(mine))
            selected = (mine.get(stream.key) for stream in ledger.streams.values())
            self.rivals = [_key(row) for row in selected if row is not None and row.uid and not is_apart(row)]
            # They may hold such a table alone, under the name that its own schema has for it.
            foreign = (stream for stream in ledger.streams.values() if stream.names.schema in ledger.foreign)
            self.rivals += [
                (*stream.owner, name) for stream in foreign for name in (stream.names.text, stream.names.table)
            ]
            return
        holder = yield from ledger.read_holder(ledger.key)
        self._next_epoch([holder] if holder is not None else [])
        self.rivals = [(self._context.connector, *ANCHOR)] if holder is not None and is_apart(holder) else []

    def claim(self) -> Procedure[Claim]:
        """Takes the next epoch, and takes tables over from the connector that the orders name.

        Raises:
            ClaimRefusedError: The same connector has already run with this number or a higher one.
            SchemaConflictError: Another connector fills a table.
            KeptElsewhereError: The only stream has another table, which it got in a selection.
        """
        ledger = self._ledger
        for stream in list(ledger.streams.values()):
            with self._isolated(stream):
                yield from self._take_over(stream)
        yield from self._fence_off_bereft()
        if ledger.has_anchor:
            return (yield from self._claim_selection())
        holder = yield from ledger.read_holder(ledger.key, ledger.dialect.lock)
        if holder is None and not ledger.is_new and self._context.take_over is None:
            yield from require_not_kept(ledger, self._context.connector)
        (stream,) = ledger.streams.values()
        others = [owner.holder for owner in (yield from read_owners(ledger, stream))]
        require_alone(others, *ledger.key, self._context.take_over, append=ledger.append)
        rows = {ledger.key: holder} if holder is not None else {}
        if (yield from record_tables(ledger, self._context, rows, [stream])):
            holder = yield from ledger.read_holder(ledger.key)
        anchor = None
        if holder is not None and is_apart(holder):
            anchor, holder = yield from self._dissolve(holder)
        else:
            ledger.epoch = self._next_epoch([holder] if holder is not None else [])
        yield self._hold(ledger.key, ledger.epoch)
        checkpoint = checkpoint_of(holder, anchor) if holder else None
        number = holder.number if holder else 0
        return Claim({ledger.key[1]: checkpoint}, ledger.epoch, number, tables={stream.stream: stream.spelled})

    def _hold(self, key: Sequence[str], epoch: int) -> Statement:
        context = self._context
        return Statement(self._ledger.sql.claim, [*key, epoch, context.uid, context.run, context.write_mode.value])

    def _next_epoch(self, fences: Sequence[Holder]) -> int:
        """An epoch above those of all rows that are taken; the run is compared with the latest run of the same connector object."""
        context = self._context
        own = [holder for holder in fences if holder.uid == context.uid] or list(fences)
        latest = max(own, key=lambda holder: (holder.run, holder.epoch, holder.stream == ANCHOR[0]), default=None)
        epoch = next_epoch(latest, context.uid, context.run, tried=self._ledger.epoch, unmoved=context.unmoved)
        return max([epoch, *(holder.epoch + 1 for holder in fences)])

    def _fences(self, rows: Mapping[Key, Holder]) -> list[Holder]:
        """The anchor and the rows of the selection, if there are any."""
        keys = [self._ledger.key, *(stream.key for stream in self._ledger.streams.values())]
        return [rows[key] for key in keys if key in rows]

    # a selection

    def _claim_selection(self) -> Procedure[Claim]:
        ledger = self._ledger
        rows = _by_key((yield from ledger.read_connector(ledger.dialect.lock)))
        yield from self._require_alone(ledger.streams)
        if (yield from record_tables(ledger, self._context, rows, list(ledger.streams.values()))):
            rows = _by_key((yield from ledger.read_connector()))
        ledger.epoch = self._next_epoch(self._fences(rows))
        yield self._hold(ledger.key, ledger.epoch)
        return (yield from self._enter(rows, ledger.streams, ledger.epoch, self._context.selection))

    def select(self, record: str) -> Procedure[Claim]:
        """Claims the streams that were added to the ledger's selection, and releases those that are missing, in the same run.

        Args:
            record: See `Sink.select`.

        Returns:
            The claim; its epoch counts from the commit on.

        Raises:
            FenceLostError: Another run holds the ledger, or a later run an added stream.
            SchemaConflictError: Another connector fills a table.
        """
        ledger, context = self._ledger, self._context
        rows = _by_key((yield from ledger.read_connector(ledger.dialect.lock)))
        anchor = rows.get(ledger.key)
        if anchor is None or not ledger.is_held(anchor):
            raise (yield from ledger.explain_loss(anchor))
        yield from self._require_alone([name for name in ledger.streams if not self._is_inside(name, rows)])
        added = [name for name in ledger.streams if not self._is_inside(name, rows)]
        if (yield from record_tables(ledger, context, rows, [ledger.streams[name] for name in added])):
            rows = _by_key((yield from ledger.read_connector()))
        found = [rows[key] for name in added if (key := ledger.streams[name].key) in rows]
        others = [row for row in found if (row.uid, row.run) != (context.uid, context.run)]
        epochs = [next_epoch(row, context.uid, context.run) for row in others]  # refuses if a later run holds one
        epoch = ledger.tried = max([anchor.epoch, *epochs])
        if epoch != anchor.epoch:  # a later epoch fences off who held an added stream
            yield self._hold(ledger.key, epoch)
            added = list(ledger.streams)
        return (yield from self._enter(rows, added, epoch, record))

    def _is_inside(self, stream: str, rows: Mapping[Key, Holder]) -> bool:
        """Whether the stream belongs to the selection that this run holds."""
        row = rows.get(self._ledger.streams[stream].key)
        return row is not None and is_apart(row) and self._ledger.is_held(row)

    def _enter(self, rows: Mapping[Key, Holder], taken: Collection[str], epoch: int, record: str) -> Procedure[Claim]:
        """Holds the rows of these streams and releases those that are not selected."""
        ledger = self._ledger
        anchor = rows.get(ledger.key)
        checkpoints: dict[str, Checkpoint | None] = {}
        places: dict[str, Position] = {}
        for name, stream in ledger.streams.items():
            holder = rows.get(stream.key)
            if name in taken:
                yield self._hold(stream.key, epoch)
            checkpoints[name] = checkpoint_of(holder, anchor) if holder is not None else None
            place = place_in(holder) if holder is not None and checkpoints[name] is not None else None
            if holder is None or not is_apart(holder):
                text = UNPLACED if place is None else encode_place(place)
                yield Statement(ledger.sql.hold, [text, holder.identity if holder is not None else "", *stream.key])
            if holder is not None and place is not None:
                places[name] = place
                ledger.kept.keep(name, place, holder.schema_version, 0)
        yield from self._let_go(rows, anchor)
        if record:
            yield self._hold((self._context.connector, *RECORD), epoch)
            yield record_selection(ledger, self._context.connector, record)
        number = anchor.number if anchor is not None else 0
        tables = {name: stream.spelled for name, stream in ledger.streams.items()}
        return Claim(checkpoints, epoch, number, places, dict(ledger.failures), tables)

    def _require_alone(self, streams: Collection[str]) -> Procedure[None]:
        """Checks that no other connector fills a table, running or not, unless both append; all rows are read at once."""
        ledger = self._ledger
        if not streams:
            return
        owners, home = (yield from read_all_owners(ledger)), ledger.home.schema
        for stream in [ledger.streams[name] for name in streams]:
            others = list(owners.get((home, stream.key[2]), ()))
            if stream.names.schema in ledger.foreign:
                others += owners.get((stream.names.schema, bare(ledger, stream)), ())
            with self._isolated(stream):
                table = stream.names.text if ledger.foreign else stream.key[2]
                require_alone(others, *stream.owner, table, self._context.take_over, append=ledger.append)

    @contextmanager
    def _isolated(self, stream: StreamLedger) -> Iterator[None]:
        """Leaves the stream out if it can't be claimed and streams are isolated."""
        try:
            yield
        except ActionRequiredError as error:
            if not self._context.isolates or isinstance(error, FenceLostError):
                raise
            error.stream = stream.stream
            self._ledger.leave_out(stream.stream, error)

    def _let_go(self, rows: Mapping[Key, Holder], anchor: Holder | None) -> Procedure[None]:
        """Streams that left the selection become independent, each at its present position."""
        selected = {stream.key for stream in self._ledger.streams.values()}
        for key, holder in rows.items():
            if key not in selected and is_apart(holder):
                whole = whole_of(holder, anchor)
                yield Statement(self._ledger.sql.hold, [whole.position, whole.identity, *key])

    # one stream of what was a selection

    def _dissolve(self, holder: Holder) -> Procedure[tuple[Holder | None, Holder]]:
        """Makes every stream of the selection independent, and fences off the writer of the selection."""
        ledger = self._ledger
        rows = _by_key((yield from ledger.read_connector(ledger.dialect.lock)))
        at = (self._context.connector, *ANCHOR)
        anchor, holder = rows.get(at), rows.get(ledger.key, holder)
        ledger.epoch = self._next_epoch([row for row in (anchor, holder) if row is not None])
        yield self._hold(at, ledger.epoch)
        yield Statement(ledger.sql.hold, [None, "", *at])
        for key, row in rows.items():
            if is_apart(row):
                whole = whole_of(row, anchor)
                yield Statement(ledger.sql.hold, [whole.position, whole.identity, *key])
        return anchor, holder

    # from another connector

    def _take_over(self, stream: StreamLedger) -> Procedure[None]:
        """Takes the table over if it is still held as the orders say; records that as an incident."""
        ledger, context = self._ledger, self._context
        if context.take_over is None:
            return
        owners = yield from read_owners(ledger, stream, ledger.dialect.lock)
        others = [owner.holder for owner in owners]
        taken = find_taken(others, context.take_over, *stream.owner, append=ledger.append)
        if taken is None:
            return
        theirs, sql = _key(taken.holder), next(owner.sql for owner in owners if owner.holder is taken.holder)
        anchor = None
        if is_apart(taken.holder):
            rows = (yield Statement(sql.read + ledger.dialect.lock, [theirs[0], *ANCHOR])).rows
            anchor = Holder(*rows[0][:-1]) if rows else None
            self._bereft[theirs[0]] = sql
        if taken.keeps_position:
            yield Statement(ledger.sql.remove, stream.key)  # at most the rest of a reset
            yield from self._move(stream, taken.holder, anchor, sql)
        else:
            yield Statement(sql.release, theirs)
        yield from create_missing(ledger.dialect, stream.names.incidents, stream.sql.create_incidents)
        yield Statement(stream.sql.incident, [*stream.owner, *taken.incident])

    def _move(
        self, stream: StreamLedger, holder: Holder, anchor: Holder | None, sql: LedgerStatements
    ) -> Procedure[None]:
        """Gives this connector the row of the other one, with the whole position."""
        ledger, theirs = self._ledger, _key(holder)
        if sql is not ledger.sql:
            yield from insert(ledger, stream, holder, anchor)
            yield Statement(sql.release, theirs)
            return
        yield Statement(ledger.sql.move, [*stream.key, *theirs])
        if anchor is not None:
            whole = whole_of(holder, anchor)
            yield Statement(ledger.sql.hold, [whole.position, whole.identity, *stream.key])

    def _fence_off_bereft(self) -> Procedure[None]:
        """Ends the claims of selections that lost a table; each may claim again, without it."""
        for connector, sql in self._bereft.items():
            for row in (yield Statement(sql.read_connector + self._ledger.dialect.lock, [connector])).rows:
                holder = Holder(*row[:-1])
                if is_apart(holder) or (holder.stream, holder.table) == ANCHOR:
                    yield Statement(sql.fence, _key(holder))
        self._bereft.clear()


def _key(holder: Holder) -> Key:
    return (holder.connector, holder.stream, holder.table)


def _by_key(holders: Iterable[Holder]) -> dict[Key, Holder]:
    return {_key(holder): holder for holder in holders}
