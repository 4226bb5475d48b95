"""How far the log is applied: file and offset, the set of transactions, and how far into a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from connector_runner.sources.mysql.gtid import MariaGtids, MysqlGtids

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
        rows: Rows of the table that were already handed over of the transaction that follows.
        prepared: XA transactions with rows of the table that are prepared and neither committed nor rolled back.
    """

    file: str = ""
    offset: int = 4
    gtids: str = ""
    rows: int = 0
    prepared: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For checkpoints; what is empty is left out."""
        document: dict[str, Any] = {"file": self.file, "offset": self.offset}
        if self.gtids:
            document["gtids"] = self.gtids
        if self.rows:
            document["rows"] = self.rows
        if self.prepared:
            document["prepared"] = list(self.prepared)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LogPosition:
        """The reverse."""
        return cls(
            document["file"],
            document["offset"],
            document.get("gtids", ""),
            document.get("rows", 0),
            tuple(document.get("prepared", ())),
        )


def file_order(file: str) -> tuple[int, str]:
    """Sorts log files by their number: `binlog.1000000` comes after `binlog.999999`."""
    number = file.rpartition(".")[2]
    return (int(number) if number.isdigit() else 0, file)


class Commit(NamedTuple):
    """A transaction in a batch of the log.

    Attributes:
        rows: How many rows of the batch lie before its end.
        gtid: Its id, None without.
        file, offset: Where it ends (of an unfinished one: where it was left).
    """

    rows: int
    gtid: Gtid | None
    file: str
    offset: int


class LogState:
    """The applied position while it moves."""

    def __init__(self, position: LogPosition, *, is_mariadb: bool) -> None:
        self.file, self.offset = position.file, position.offset
        self.gtids: Gtids | None = None
        if is_mariadb:
            self.gtids = MariaGtids.parse(position.gtids)
        elif position.gtids:
            self.gtids = MysqlGtids.parse(position.gtids)
        self.prepared = list(position.prepared)

    def rotate(self, file: str, offset: int) -> None:
        """Another file begins; when a stream starts anew in the same file, what is known stays."""
        if file != self.file:
            self.file, self.offset = file, offset

    def advance(self, offset: int) -> None:
        """An event that belongs to no transaction, or a heartbeat."""
        self.offset = max(self.offset, offset)

    def commit(self, gtid: Gtid | None, offset: int) -> None:
        """A transaction has ended at this offset."""
        if gtid is not None:
            if self.gtids is None:
                self.gtids = MysqlGtids()
            self.gtids.add(*gtid)
        self.offset = max(self.offset, offset)

    def position(self, rows: int = 0) -> LogPosition:
        """The position now, `rows` into the transaction that follows."""
        return LogPosition(
            self.file, self.offset, "" if self.gtids is None else str(self.gtids), rows, tuple(self.prepared)
        )
