"""A whole position of a stream, as checkpoints hold it: place in the log, definition there, and how far the copy is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connector_runner.protocols.batch import Position
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.types.table import TableDefinition


@dataclass(frozen=True)
class Progress:
    """How far the copy is.

    Attributes:
        last: The key of the last row as literals; None before the first.
        done: Rows copied.
        is_cleared: Whether the table must be emptied first (a copy that was started again).
    """

    last: tuple[str, ...] | None = None
    done: int = 0
    is_cleared: bool = True


@dataclass(frozen=True)
class StreamPosition:
    """A whole position: log, definition, and copy (None when it is complete)."""

    log: LogPosition
    definition: TableDefinition
    copy: Progress | None

    def to_json(self) -> Position:
        """For checkpoints."""
        document: dict[str, Any] = {"log": self.log.to_json(), "_table": self.definition.to_json()}
        if self.copy is not None:
            document["copy"] = {"last": self.copy.last and list(self.copy.last), "done": self.copy.done}
            if not self.copy.is_cleared:
                document["copy"]["clear"] = True
        return document

    @classmethod
    def from_json(cls, stream: str, document: Mapping[str, Any]) -> StreamPosition:
        """The reverse; older positions name the definition `table`."""
        copy = document.get("copy")
        progress = None
        if copy is not None:
            last = copy["last"]
            progress = Progress(None if last is None else tuple(last), copy["done"], not copy.get("clear"))
        definition = TableDefinition.from_json(stream, document.get("_table") or document["table"])
        return cls(LogPosition.from_json(document["log"]), definition, progress)
