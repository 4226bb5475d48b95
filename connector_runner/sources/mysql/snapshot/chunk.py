"""A chunk of a table: its rows with their position in the log, and the statement that reads it. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connector_runner.protocols.batch import Row
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.decode.fields import Field, is_read_as_number, result_field
from connector_runner.sources.mysql.snapshot.watermark import Bounds
from connector_runner.sources.mysql.types.literals import after_condition, literal, quote_name
from connector_runner.sources.mysql.types.table import TableDefinition


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of a table in the order of its key.

    Attributes:
        definition: The definition of the rows.
        rows: The rows in order.
        bounds: Its position in the log, as far as it is known.
        last: The last row's key as literals; None when the chunk is empty.
        is_end: Whether it is the table's last chunk.
        target: How far the log should be applied before the next chunk is read.
        size: Its size on the wire in bytes.
    """

    definition: TableDefinition
    rows: list[Row]
    bounds: Bounds
    last: tuple[str, ...] | None
    is_end: bool
    target: LogPosition | None = None
    size: int = 1


def key_literals(definition: TableDefinition, row: Row) -> tuple[str, ...]:
    """A row's key as literals."""
    return tuple(literal(definition.columns[place], row[place]) for place in definition.key_places)


def select_list(definition: TableDefinition) -> str:
    """The select list of all columns, in the form that `result_fields` decodes."""
    return ", ".join(
        f"CAST(CAST({quote_name(column.name)} AS UNSIGNED) AS CHAR)"  # a number's width is the server's choice, a text's is not
        if is_read_as_number(column, in_key=column.name in definition.key)
        else quote_name(column.name)
        for column in definition.columns
    )


def result_fields(definition: TableDefinition) -> list[Field]:
    """The layouts of `select_list`."""
    return [result_field(column, in_key=column.name in definition.key) for column in definition.columns]


def build_select(definition: TableDefinition, last: Sequence[str] | None, limit: int, *, locks: bool) -> str:
    """The statement that reads a chunk."""
    columns = select_list(definition)
    table = f"{quote_name(definition.database)}.{quote_name(definition.name)}"
    ways = [definition.descends(place) for place in range(len(definition.key))]
    where = f" WHERE {after_condition(definition.key, last, ways)}" if last else ""
    order = ", ".join(
        f"{quote_name(name)}{' DESC' if way else ''}" for name, way in zip(definition.key, ways, strict=True)
    )
    index = f" FORCE INDEX ({quote_name(definition.index)})" if definition.index else ""
    lock = " LOCK IN SHARE MODE" if locks else ""
    return f"SELECT {columns} FROM {table}{index}{where} ORDER BY {order} LIMIT {limit}{lock}"  # noqa: S608 - names are quoted
