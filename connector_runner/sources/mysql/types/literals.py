"""Keys as SQL literals: the copy resumes after a key by a comparison in the server, in the server's own order.

Python can't order keys by a collation, so a position has the last key as text that the server compares exactly: texts as UTF-8
with an introducer (the column's collation takes precedence), enums and sets by number, as they are sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from connector_runner.sources.mysql.types.charsets import encode_raw
from connector_runner.sources.mysql.types.columns import SourceColumn, is_short_year
from connector_runner.sources.mysql.types.labels import bits_of, has_hidden_labels

# Types whose literals don't compare or sort exactly; a table with such a key is read in one piece.
_INEXACT = frozenset({"float", "double", "json", "vector"})


# What MariaDB names its collations without padding. The second are MySQL's names, which it has since 11.4.
_NO_PAD = ("_nopad_", "_0900_")


def can_resume_after(columns: Sequence[SourceColumn], order: Sequence[str] = (), *, is_mariadb: bool = False) -> bool:
    """Whether a key of these columns can be compared exactly; `order` as in the table's definition."""
    return (
        bool(columns)
        and not (is_mariadb and padded_keys(columns, order))
        and all(
            column.type.base not in _INEXACT and not is_short_year(column) and not has_hidden_labels(column)
            for column in columns
        )
    )


def padded_keys(columns: Sequence[SourceColumn], order: Sequence[str]) -> list[str]:
    """Columns of a key that MariaDB's index sorts in another order than its comparisons have.

    These indexes pad CHAR with blanks, which its comparisons by a NO PAD collation do not: 'a' and a tab sort before 'a' in the one
    and after it in the other, so that rows lie on the wrong side of a key.
    """
    pairs = zip(columns, order, strict=False)  # the order of old checkpoints is not known
    return [column.name for column, collation in pairs if column.type.base == "char" and is_no_pad(collation)]


def is_no_pad(collation: str) -> bool:
    """Whether one of MariaDB's collations compares blanks at the end, by its name: the server lists no such property."""
    return any(part in collation for part in _NO_PAD)


def quote_name(name: str) -> str:
    """An identifier in backticks."""
    return f"`{name.replace('`', '``')}`"


def literal(column: SourceColumn, value: Any) -> str:
    """A key's value as the text of an SQL expression that equals it."""
    base = column.type.base
    if base == "enum":
        labels = column.type.labels
        return str(labels.index(value) + 1 if value in labels else 0)
    if base == "set":
        return str(bits_of(column.type.labels, value))
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, datetime):
        return f"'{value.replace(tzinfo=None).isoformat(' ')}'"
    if isinstance(value, date):
        return f"'{value.isoformat()}'"
    if isinstance(value, str):
        if base in {"date", "datetime", "timestamp"}:  # a zero or impossible date
            return f"'{value.replace('T', ' ').removesuffix('Z')}'"
        if raw := encode_raw(column.charset, value):
            return f"_{column.charset} X'{raw.hex()}'"
        if column.charset:
            return f"_utf8mb4 X'{value.encode('utf-8', 'surrogateescape').hex()}'"
        return f"'{value}'"
    if isinstance(value, Decimal):
        return f"{value:f}"  # never with an exponent: that would be a double
    return str(value)


def after_condition(names: Sequence[str], literals: Sequence[str], descending: Sequence[bool] = ()) -> str:
    """The condition for keys that sort after this one: written out, since servers do not use an index for (a, b) > (x, y).

    Args:
        names: The names of the key's columns.
        literals: Their values.
        descending: Which of them sort from high to low; none when empty.
    """
    quoted = [quote_name(name) for name in names]
    signs = ["<" if is_down else ">" for is_down in descending] or [">"] * len(quoted)
    options = []
    for place, (name, value) in enumerate(zip(quoted, literals, strict=True)):
        equal = [f"{quoted[before]} = {literals[before]}" for before in range(place)]
        options.append(" AND ".join([*equal, f"{name} {signs[place]} {value}"]))
    condition = " OR ".join(f"({option})" for option in options)
    # The first bound by itself lets the server start at the right position in the index.
    return f"{quoted[0]} {signs[0]}= {literals[0]} AND ({condition})" if len(quoted) > 1 else options[0]
