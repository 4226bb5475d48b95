"""A stream's whole position, as checkpoints hold it: the position in the log, the definition there, and how far the copy is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connector_runner.protocols.batch import Position
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.binlog.shared_position import join
from connector_runner.sources.mysql.types.table import TableDefinition


@dataclass(frozen=True)
class Progress:
    """How far the copy of a table is.

    Attributes:
        last: The key of the last row as literals; None before the first.
        done: Rows copied.
        is_cleared: Whether the table must be emptied first (a copy that was started again).
    """

    last: tuple[str, ...] | None = None
    done: int = 0
    is_cleared: bool = True


@dataclass(frozen=True)
class Parked:
    """Why a stream stands aside while others of the same reader continue, and since when (Unix time in seconds).

    `is_expiring`: whether it was told that the log from its position on may soon be gone.
    """

    reason: str
    since: int
    is_expiring: bool = False


@dataclass(frozen=True)
class StreamPosition:
    """A whole position: log, definition, and copy (None when it is complete).

    `parked` is only known of a stream that shares its reader with others, and was parked.
    """

    log: LogPosition
    definition: TableDefinition
    copy: Progress | None
    parked: Parked | None = None

    def to_json(self) -> Position:
        """The form for checkpoints."""
        return {"log": self.log.to_json(), **build_place(self.definition, self.copy)}

    @classmethod
    def from_json(cls, stream: str, document: Mapping[str, Any]) -> StreamPosition:
        """The reverse of `to_json`; in older positions the definition is named `table`."""
        copy = document.get("copy")
        progress = None
        if copy is not None:
            last = copy["last"]
            progress = Progress(None if last is None else tuple(last), copy["done"], not copy.get("clear"))
        definition = TableDefinition.from_json(stream, document.get("_table") or document["table"])
        log = LogPosition.from_json(document["log"])
        if "_own" in document:
            log = join(log, document["_own"])
        parked = document.get("_parked")
        return cls(
            log, definition, progress, parked and Parked(parked["reason"], parked["since"], "expiring" in parked)
        )


def build_place(
    definition: TableDefinition, copy: Progress | None, own: Mapping[str, Any] | None = None, log: LogPosition | None = None,
    parked: Parked | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A stream's place: what its position has besides the position in the log.

    Args:
        definition: The definition at the position.
        copy: How far the copy is; None when it is complete.
        own: The table's own part of a position in the log that it shares with other tables, see `shared_position`.
        log: The position in the log of a stream that stands behind, which hides the shared one; else None.
        parked: Why it stands behind; None when it was never parked, only left behind.
    """
    document: dict[str, Any] = {"_table": definition.to_json()}
    if copy is not None:
        document["copy"] = {"last": copy.last and list(copy.last), "done": copy.done}
        if not copy.is_cleared:
            document["copy"]["clear"] = True
    if log is not None:
        document["log"] = log.to_json()
        if parked is not None:
            document["_parked"] = {"reason": parked.reason, "since": parked.since}
            if parked.is_expiring:
                document["_parked"]["expiring"] = True
    elif own:
        document["_own"] = own
    return document
