"""How far the log is applied: file and offset, the set of transactions, and how far into a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from connector_runner.sources.mysql.binlog.gtid import MariaGtids, MysqlGtids

Gtids = MysqlGtids | MariaGtids
# MySQL: (uuid[:tag], number). MariaDB: (domain, server, number).
Gtid = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A point in the log at which reading can go on, between two transactions or inside one.

    Attributes:
        file: The log file's name; "" where it is not known (before the first event of a stream that starts by GTID).
        offset: Bytes into it: the end of the last whole transaction.
        gtids: All transactions up to there, as text; "" where the server has none.
        rows: How many rows of the table were already handed over from the transaction that follows.
        prepared: XA transactions with rows of the table that are prepared and neither committed nor rolled back.
        others: Prepared XA transactions without rows of the table. One that is in neither was prepared before the log was followed.
        transaction: The id of the transaction that `rows` belong to, "" where it has none; rows of another one must not be
            skipped instead.
        shadows: Sessions that have a temporary table of the table's name, as `server id-thread`.
    """

    file: str = ""
    offset: int = 4
    gtids: str = ""
    rows: int = 0
    prepared: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    transaction: str = ""
    shadows: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form for checkpoints; empty members are left out."""
        document: dict[str, Any] = {"file": self.file, "offset": self.offset}
        if self.gtids:
            document["gtids"] = self.gtids
        if self.rows:
            document["rows"] = self.rows
        if self.prepared:
            document["prepared"] = list(self.prepared)
        if self.others:
            document["others"] = list(self.others)
        if self.transaction:
            document["transaction"] = self.transaction
        if self.shadows:
            document["shadows"] = list(self.shadows)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LogPosition:
        """The reverse of `to_json`."""
        return cls(
            document["file"],
            document["offset"],
            document.get("gtids", ""),
            document.get("rows", 0),
            tuple(document.get("prepared", ())),
            tuple(document.get("others", ())),
            document.get("transaction", ""),
            tuple(document.get("shadows", ())),
        )

    @property
    def name(self) -> str:
        """The point as people find it in the log: the transaction that it is inside of, else the place."""
        return self.transaction or (f"{self.file}:{self.offset}" if self.file else self.gtids)

    @property
    def place(self) -> str:
        """Where the log goes on from here, for messages: by it people find what comes next."""
        return f"in the log from {f'{self.file}:{self.offset}' if self.file else f'the end of {self.gtids}'} on"

    def has_reached(self, target: LogPosition) -> bool:
        """Whether everything up to the target is applied: by files where both are known, else by GTIDs."""
        if self.file and target.file:
            return (file_order(self.file), self.offset) >= (file_order(target.file), target.offset)
        if ":" in target.gtids:
            return MysqlGtids.parse(self.gtids).covers(MysqlGtids.parse(target.gtids))
        return MariaGtids.parse(self.gtids).covers(MariaGtids.parse(target.gtids))


def file_order(file: str) -> tuple[int, str]:
    """A key that sorts log files by their number: `binlog.1000000` comes after `binlog.999999`."""
    number = file.rpartition(".")[2]
    return (int(number) if number.isdigit() else 0, file)


def gtid_text(gtid: Gtid | None) -> str:
    """An id as people write it; "" for none."""
    return "" if gtid is None else (":" if len(gtid) == 2 else "-").join(map(str, gtid))


def join_positions(positions: Sequence[LogPosition]) -> LogPosition:
    """The one position in the log that several tables share, with the XA transactions that any of them knows."""
    first = positions[0]
    if len(positions) == 1:
        return first
    prepared = dict.fromkeys(xid for position in positions for xid in position.prepared)
    others = dict.fromkeys(xid for position in positions for xid in position.others if xid not in prepared)
    transaction = next((position.transaction for position in positions if position.transaction), "")
    return replace(first, prepared=tuple(prepared), others=tuple(others), transaction=transaction)


class Commit(NamedTuple):
    """A transaction in a batch of the log.

    Attributes:
        rows: How many rows of the batch come before its end.
        gtid: Its id, None without one.
        file, offset: Where it ends; for an unfinished one, how far it was read.
        xid: Of an XA transaction that was prepared before, its id; "" for any other.
    """

    rows: int
    gtid: Gtid | None
    file: str
    offset: int
    xid: str = ""


class LogState:
    """The applied position while it moves.

    Args:
        position: Where it starts.
        is_mariadb: Whether the dialect is MariaDB's.
        has_gtids: Whether the server's ids make up a complete set. They don't while gtid_mode is being changed, nor after a
            position that has only file and offset: with holes in the set, old transactions would come again.
    """

    def __init__(self, position: LogPosition, *, is_mariadb: bool, has_gtids: bool = True) -> None:
        self.file, self.offset = position.file, position.offset
        self._gtids: Gtids | None = None
        if is_mariadb:
            self._gtids = MariaGtids.parse(position.gtids)
        elif has_gtids and (position.gtids or not position.file):
            self._gtids = MysqlGtids.parse(position.gtids)
        self._prepared, self._others = list(position.prepared), list(position.others)

    def rotate(self, file: str, offset: int) -> None:
        """Another file begins; when a stream starts again in the same file, the known offset stays."""
        if file != self.file:
            self.file, self.offset = file, offset

    def advance(self, offset: int) -> None:
        """Moves past an event that belongs to no transaction, or to a heartbeat's offset."""
        self.offset = max(self.offset, offset)

    def has_reached(self, target: LogPosition) -> bool:
        """Whether everything up to a known place in the log is applied."""
        if self.file == target.file:
            return self.offset >= target.offset
        return file_order(self.file) > file_order(target.file)

    def commit(self, gtid: Gtid | None, offset: int) -> None:
        """Records that a transaction has ended at this offset."""
        if gtid is not None and self._gtids is not None:
            self._gtids.add(*gtid)
        self.offset = max(self.offset, offset)

    def prepare(self, xid: str, *, has_rows: bool) -> None:
        """Records that an XA transaction is prepared; `has_rows`: whether it has rows of a followed table."""
        self.finish(xid)
        (self._prepared if has_rows else self._others).append(xid)

    def finish(self, xid: str) -> None:
        """Records that an XA transaction is committed or rolled back."""
        for xids in (self._prepared, self._others):
            if xid in xids:
                xids.remove(xid)

    @property
    def xids(self) -> tuple[str, ...]:
        """All XA transactions that are known to be prepared."""
        return (*self._prepared, *self._others)

    def position(self) -> LogPosition:
        """The position now; its `prepared` are the XA transactions with rows of any followed table."""
        gtids = "" if self._gtids is None else str(self._gtids)
        return LogPosition(self.file, self.offset, gtids, 0, tuple(self._prepared), tuple(self._others))
