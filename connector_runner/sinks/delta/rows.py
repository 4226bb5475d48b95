"""Which rows are meant, as conditions in SQL that deltalake's engine (DataFusion) reads. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.columnar.types import VALUE_ERRORS
from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.datasets.names import OWNER, ROW_NUMBER
from connector_runner.protocols.batch import Row


def quoted(name: str) -> str:
    """The name of a column."""
    return '"' + name.replace('"', '""') + '"'


def key_begins(columns: Columns, prefixes: Iterable[Row], alias: str = "") -> str:
    """True for the rows whose key begins with one of these: lists of values, since ten thousand ORs are too deep for the engine's stack.

    Raises:
        `types.VALUE_ERRORS`: A value has no exact form.
    """
    quote, lists = "`" if alias else '"', dict[str, dict[str, None]]()
    for prefix in prefixes:
        names = columns.schema.key[: len(prefix)]
        if not names:
            return "true"
        marked = [f"{alias}{quote}{name}{quote}" for name in names]
        values = list(map(literal, columns.stored(prefix, names)))
        before = [f"{column} = {value}" for column, value in zip(marked[:-1], values, strict=False)]
        lists.setdefault(" AND ".join([*before, marked[-1]]), {})[values[-1]] = None
    return _any([f"({column} IN ({', '.join(values)}))" for column, values in lists.items()])


def _any(conditions: Sequence[str]) -> str:
    """True where one of them is; halved again and again, and so never deep."""
    if len(conditions) < 2:
        return "".join(conditions)
    half = len(conditions) // 2
    return f"({_any(conditions[:half])} OR {_any(conditions[half:])})"


MOST_VALUES = 1000
"""With more values than these a condition costs more than it saves."""
MOST_PREFIXES = 5000
"""With a hundred thousand the engine leaves its stack, and the process dies."""


def one_of(values: Mapping[str, Sequence[Any]], alias: str) -> list[str]:
    """Conditions by which deltalake leaves out the files of other partitions: it sees constants alone, not what a join will find.

    Args:
        values: The values that each partition column has.
        alias: The table's.
    """
    return [
        f"{alias}`{name}` IN ({', '.join(map(literal, each))})"
        for name, each in values.items()
        if 0 < len(each) <= MOST_VALUES and None not in each
    ]


def between(ranges: Mapping[str, Sequence[Any]], alias: str) -> list[str]:
    """Conditions that columns are not outside of these ranges: the least and the greatest value; None for no range."""
    return [
        f"{alias}`{name}` >= {literal(least)} AND {alias}`{name}` <= {literal(greatest)}"
        for name, (least, greatest) in ranges.items()
        if least is not None
    ]


def literal(value: Any) -> str:
    """A stored value.

    Raises:
        RefusedError: There is none.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        digits = max(len(value.as_tuple().digits), 1)
        scale = max(0, -int(value.as_tuple().exponent))
        return f"CAST('{value:f}' AS DECIMAL({max(digits, scale)},{scale}))"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, float):
        return f"CAST('{value!r}' AS DOUBLE)"
    if isinstance(value, dt.datetime):
        zone = "TIMESTAMP WITH TIME ZONE" if value.tzinfo is not None else "TIMESTAMP"
        return f"CAST('{value.isoformat()}' AS {zone})"
    if isinstance(value, dt.date):
        return f"CAST('{value.isoformat()}' AS DATE)"
    raise RefusedError(f"a value of type {type(value).__name__} in a key's prefix")


def few(prefixes: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The same in parts, each of which the engine can take in one statement."""
    for first in range(0, len(prefixes), MOST_PREFIXES):
        yield prefixes[first : first + MOST_PREFIXES]


def select_entries(columns: Columns, owner: Sequence[str], prefixes: Sequence[Row]) -> str:
    """Selects from the history `t` the operation and the stream's columns, as `columnar.tables.Table.entries` says."""
    schema = columns.schema
    wanted = [f"{quoted(name)} = {literal(value)}" for name, value in zip(OWNER, owner, strict=True)]
    own = " AND ".join(wanted)
    if not schema.key:
        last = f"SELECT coalesce(max({quoted(ROW_NUMBER)}), 0) FROM t WHERE _op = 'delete' AND {own}"
        wanted.append(f"{quoted(ROW_NUMBER)} > ({last})")
    elif () not in prefixes:
        wanted.append(key_begins(columns, _exact(columns, prefixes)) or "false")
    names = ", ".join(map(quoted, schema.names))
    return f"SELECT _op, {names} FROM t WHERE {' AND '.join(wanted)} ORDER BY {quoted(ROW_NUMBER)}"


def _exact(columns: Columns, prefixes: Sequence[Row]) -> list[Row]:
    exact = []
    for prefix in prefixes:
        with suppress(*VALUE_ERRORS):  # refused when its turn comes
            key_begins(columns, [prefix])
            exact.append(prefix)
    return exact
