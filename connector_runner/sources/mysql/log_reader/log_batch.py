"""What the log reader hands over: rows of a table between two positions, and what the copy must do because of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from connector_runner.protocols.batch import Incident, Row
from connector_runner.sources.mysql.binlog.position import Commit, LogPosition
from connector_runner.sources.mysql.binlog.table_map import TableMap
from connector_runner.sources.mysql.ddl.alterations import UNKNOWN, Alteration
from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.types.names import TableName
from connector_runner.sources.mysql.types.table import TableDefinition


class Again(Enum):
    """What the copy must do after a batch."""

    REFRESH = "refresh"
    """Read all rows again and overwrite those in the dataset: values changed, no row is missing in the log."""
    CLEAR = "clear"
    """Remove all rows; the log has everything that follows."""
    RESTART = "restart"
    """Remove all rows and read the table from its start: the log does not show what happened."""
    RENEW = "renew"
    """As RESTART; the dataset's table may get other types and another key then (`Batch.renews`)."""


@dataclass(slots=True)
class LogBatch:
    """Rows of the log between two positions.

    Attributes:
        definition: The definition of the rows.
        rows, operations: As in `Batch`.
        position: The position after them.
        commits: The transactions whose rows are in it, in order.
        size: Their size in the log in bytes.
        event_time: When the newest row was written, in seconds since the epoch, None without rows.
        incidents: The incidents to report with it.
        again: What the copy must do from here on.
        is_at_end: Whether nothing more has arrived: the log is read up to now.
        has_more: Whether the next batch, of another table, belongs to the same position: this one is complete only with it.
        log: How far the log is applied for all tables, see `shared_position`; its `rows` counts the rows of the open transaction
            that were handed over, of all tables.
        failure: Why the table is not followed any further; it stays at `position`.
        appeared: Tables by (database, name) that are not followed, and that statements up to there brought into being.
    """

    definition: TableDefinition
    rows: list[Row]
    operations: bytes
    position: LogPosition
    commits: tuple[Commit, ...] = ()
    size: int = 1
    event_time: float | None = None
    incidents: tuple[Incident, ...] = ()
    again: Again | None = None
    is_at_end: bool = False
    has_more: bool = False
    log: LogPosition = field(default_factory=LogPosition)
    failure: Exception | None = None
    appeared: tuple[TableName, ...] = ()


@dataclass(frozen=True, slots=True)
class Interruption:
    """What stops the rows of the log until it is decided how to continue.

    Attributes:
        effect: The effect of a statement on the table; `ALTERED` also for a table map that does not match (without statement).
        statement: Its text, shortened.
        table_map: The map that does not match.
        alteration: An `ALTERED` statement, parsed.
        xid: Of an XA transaction that commits, its id.
    """

    effect: Effect
    statement: str = ""
    table_map: TableMap | None = None
    alteration: Alteration = UNKNOWN
    xid: str = ""
