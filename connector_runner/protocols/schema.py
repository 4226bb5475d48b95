"""The typed schema of a stream: the columns of a row, and which of them identify it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from connector_runner.protocols.types import LogicalType

APPEND_COLUMNS = ("_id", "_op", "_position", "_written_at", "_connector", "_stream")
"""The columns that append mode adds to a stream; in append mode no column of the stream may have one of these names."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a stream.

    Attributes:
        name: The name in the source; sinks quote it.
        type: The logical type of its values.
        nullable: False if the source guarantees a value. Key columns are never null.
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
            Empty if rows have no identity: then only append mode can store them.
        since: What made it so, for messages; "" where that is not known. Not compared.
    """

    stream: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    since: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"stream {self.stream}: a column name occurs twice in {names}")
        if missing := [name for name in self.key if name not in names]:
            raise ValueError(f"stream {self.stream}: key columns {missing} are not among its columns {names}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in row order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def key_indices(self) -> tuple[int, ...]:
        """The indexes of the key's values in a row, in the key's order."""
        return tuple(self.names.index(name) for name in self.key)

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits that change with columns, types, nullability or key (not with descriptions)."""
        columns = ",".join(f"{c.name!r}:{c.type}:{'null' if c.nullable else 'value'}" for c in self.columns)
        return hashlib.sha256(f"{columns};{self.key!r}".encode()).hexdigest()[:12]
