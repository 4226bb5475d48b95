"""The typed schema of a stream: what columns a row has and which of them identify it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from connector_runner.protocols.types import LogicalType

APPEND_COLUMNS = ("_id", "_op", "_position", "_written_at", "_connector", "_stream")
"""The columns that append mode adds to those of a stream; none of a stream's own may have such a name there."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a stream.

    Attributes:
        name: As the source calls it; sinks quote it.
        type: The logical type of its values.
        nullable: False where the source guarantees a value. Columns of the key are never null.
        description: One sentence for documentation and catalogues.
    """

    name: str
    type: LogicalType
    nullable: bool = True
    description: str = ""


@dataclass(frozen=True)
class StreamSchema:
    """Columns in row order, and the key.

    Attributes:
        stream: The stream's id in its source.
        columns: In the order of the values in a row.
        key: Names of the columns that identify a row, most significant first; a prefix of it can be replaced as a whole.
            Empty: rows have no identity, only append mode can store them.
    """

    stream: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"stream {self.stream}: a column name occurs twice in {names}")
        if missing := [name for name in self.key if name not in names]:
            raise ValueError(f"stream {self.stream}: key columns {missing} are not among its columns {names}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names in row order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def key_indices(self) -> tuple[int, ...]:
        """Where in a row the key's values stand, in the key's order."""
        return tuple(self.names.index(name) for name in self.key)

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits that change with columns, types, nullability or key (not with descriptions)."""
        columns = ",".join(f"{c.name!r}:{c.type}:{'null' if c.nullable else 'value'}" for c in self.columns)
        return hashlib.sha256(f"{columns};{self.key!r}".encode()).hexdigest()[:12]
