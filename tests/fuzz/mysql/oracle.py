"""What the server itself says its rows are, and what the dataset holds, in one form; nothing of connector_runner has a part in it."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from tests.fuzz.mysql.draw import quoted
from tests.fuzz.mysql.shapes import Column, Shape, read_shape
from tests.fuzz.mysql.values import GEOMETRIES, INTEGER_BITS

Row = tuple[str | None, ...]
SETTINGS = (
    # The primary keys that MySQL makes by itself are shown.
    "SET SESSION sql_mode = '' /*!80030 , show_gipk_in_create_table_and_information_schema = 1 */",
    "SET SESSION time_zone = '+00:00'",
    "SET NAMES utf8mb4",
    "SET SESSION group_concat_max_len = 1000000",
)
_TEXT = "HEX(CONVERT({c} USING utf8mb4))"
_PLAIN = "CAST({c} AS CHAR)"
_FRACTION = re.compile(r"(\.\d*?)0+(?=Z?$)")


def _expression(column: Column) -> str:
    """SQL that gives the value as text without any client's conversion."""
    base = column.base
    if (
        base in {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector"}
        or column.charset == "binary"
    ):
        return "HEX({c})"
    if base in GEOMETRIES or base in {"geometry", "geomcollection"}:
        return "SUBSTRING(HEX({c}), 9)"  # after the SRID
    if base == "bit":
        return "CAST(CAST({c} AS UNSIGNED) AS CHAR)"
    if base in {"float", "double"}:
        return "CAST({c} AS DOUBLE)"  # as a number: as text the server cuts it at 22 characters
    if base == "year":
        return "CAST({c} + 0 AS CHAR)"
    if base in {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json"}:
        return _TEXT
    return _PLAIN


def _time(text: str) -> str:
    """One form of a date and a time: fractions without trailing zeros, a space between, no zone."""
    plain = text.replace("T", " ").removesuffix("Z")
    if "." in plain:
        plain = plain.rstrip("0").removesuffix(".")
    return plain


def _decimal(text: str) -> str:
    try:
        return str(Decimal(text).normalize() + 0)
    except InvalidOperation:
        return text


def _number(text: str) -> str:
    try:
        return str(int(text))
    except ValueError:
        return text


def _float(text: str) -> str:
    try:
        return repr(float(text) + 0.0)
    except ValueError:
        return text


def _canonical(column: Column, *, is_key: bool) -> Callable[[str], str]:
    """For both sides: differences of form that mean nothing."""
    if column.base in INTEGER_BITS or column.base in {"bit", "year"}:
        return _number
    if column.base == "decimal":
        return _decimal if is_key else str
    if column.base in {"float", "double"}:
        return _float
    if column.base in {"datetime", "timestamp"}:
        return _time
    if column.base in {"uuid", "inet6", "inet4"}:
        return str.lower
    return str


def _stored(column: Column, value: Any) -> str:
    """What the dataset's value is as text, in the form that the server's expression has."""
    if isinstance(value, bytes):
        # A label is text, whatever its character set: bytes in its place are another value.
        return f"{'bytes ' if column.base in {'enum', 'set'} else ''}{value.hex().upper()}"
    if isinstance(value, str) and _expression(column) == _TEXT:
        return value.encode("utf-8", "surrogatepass").hex().upper()
    if isinstance(value, str) and column.charset == "binary":
        return value.encode("utf-8", "surrogatepass").hex().upper()
    return str(value)


@dataclass(frozen=True)
class Truth:
    """The server's rows, columns in order."""

    shape: Shape
    rows: Counter[Row]


def read_truth(cursor: Any, database: str, table: str) -> Truth | None:
    """By a session with `SETTINGS`; None when the table is not there."""
    shape = read_shape(cursor, database, table)
    if not shape.exists:
        return None
    expressions = ", ".join(_expression(column).replace("{c}", quoted(column.name)) for column in shape.columns)
    cursor.execute(f"SELECT {expressions} FROM {quoted(database)}.{quoted(table)}")
    forms = [_canonical(column, is_key=column.name in shape.identity) for column in shape.columns]
    rows: Counter[Row] = Counter()
    for values in cursor.fetchall():
        rows[
            tuple(None if value is None else form(_text(value)) for form, value in zip(forms, values, strict=True))
        ] += 1
    return Truth(shape, rows)


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def read_dataset(path: Path, table: str, shape: Shape, mode: str) -> Counter[Row] | str:
    """The dataset's rows in the server's columns (in append mode the last state by key), or why there are none."""
    if not path.exists():
        return "there is no dataset"
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)
    try:
        found = connection.execute(f'SELECT * FROM "{table}"' + (" ORDER BY _id" if mode == "append" else ""))
        names = [entry[0] for entry in found.description]
        places = []
        for column in shape.columns:
            place = _place(column.name, names)
            if place is None:
                return f"the dataset has no column {column.name}"
            places.append(place)
        forms = [_canonical(column, is_key=column.name in shape.identity) for column in shape.columns]
        kinds = [*zip(places, shape.columns, forms, strict=True)]
        rows = [(dict(zip(names, row, strict=True)).get("_op"), _row(row, kinds)) for row in found.fetchall()]
    except sqlite3.OperationalError as error:
        return f"the dataset can't be read: {error}"
    finally:
        connection.close()
    if mode != "append":
        return Counter(row for _, row in rows)
    if not shape.identity:
        return Counter(row for operation, row in rows if operation not in {"replace", "truncate"})
    return Counter(_last_states(rows, shape))


def _place(name: str, names: Sequence[str]) -> int | None:
    """Where the dataset has a column: SQLite takes names for the same that differ in the case of ASCII letters."""
    folded = [known.encode().lower() for known in names]
    if name in names:
        return names.index(name)
    return folded.index(name.encode().lower()) if name.encode().lower() in folded else None


def _row(row: Sequence[Any], kinds: Sequence[tuple[int, Column, Callable[[str], str]]]) -> Row:
    return tuple(None if row[place] is None else form(_stored(column, row[place])) for place, column, form in kinds)


def _last_states(rows: Sequence[tuple[str | None, Row]], shape: Shape) -> list[Row]:
    places = [index for index, column in enumerate(shape.columns) if column.name in shape.identity]
    states: dict[Row, Row] = {}
    for operation, row in rows:
        key = tuple(row[place] for place in places)
        if operation == "delete":
            states.pop(key, None)
        else:
            states[key] = row
    return [*states.values()]


def has_stray_bytes(cursor: Any, database: str, table: str, shape: Shape) -> bool:
    """Whether the server itself holds a text with bytes that are no character of its set: by its conversion to and fro they are others."""
    for column in shape.columns:
        if _expression(column) != _TEXT or not column.charset:
            continue
        name = quoted(column.name)
        there_and_back = f"HEX(CONVERT(CONVERT({name} USING utf8mb4) USING {column.charset}))"
        cursor.execute(f"SELECT COUNT(*) FROM {quoted(database)}.{quoted(table)} WHERE {there_and_back} <> HEX({name})")
        if cursor.fetchall()[0][0]:
            return True
    return False


def only_keys(truth: Truth) -> Truth:
    """The same rows as if the table had its key alone."""
    places = [place for place, column in enumerate(truth.shape.columns) if column.name in truth.shape.identity]
    shape = replace(truth.shape, columns=tuple(truth.shape.columns[place] for place in places))
    return Truth(shape, Counter(tuple(row[place] for place in places) for row in truth.rows.elements()))


def read_side_tables(path: Path, table: str) -> tuple[list[str], list[str]]:
    """Reasons of dead letters, and the messages of incidents."""
    if not path.exists():
        return [], []
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)
    try:
        letters = [
            f"{reason}: {row}"
            for reason, row in connection.execute(f'SELECT reason, "row" FROM "{table}_dead_letters"')
        ]
        incidents = [
            f"{kind}: {message}"
            for kind, message in connection.execute(f'SELECT kind, message FROM "{table}_incidents"')
        ]
    except sqlite3.OperationalError:
        return [], []
    finally:
        connection.close()
    return letters, incidents


def differences(truth: Truth, stored: Counter[Row]) -> str:
    """What is missing and what is too much, a few of each; "" when both are the same."""
    missing, extra = truth.rows - stored, stored - truth.rows
    if not missing and not extra:
        return ""
    names = [column.name for column in truth.shape.columns]
    parts = [
        f"{sum(missing.values())} rows differ or are missing, {sum(extra.values())} are too many, of {sum(truth.rows.values())}"
    ]
    pairs = _closest(missing, extra)
    for wanted, held in pairs[:3]:
        if wanted is not None and held is not None:
            unequal = [
                f"{name}: {one!r} is stored as {two!r}"
                for name, one, two in zip(names, wanted, held, strict=True)
                if one != two
            ]
            parts.append(f"[{', '.join(unequal)}]")
        else:
            parts.append(
                f"{'missing' if held is None else 'too much'}: {dict(zip(names, wanted or held or (), strict=True))}"
            )
    return "; ".join(parts)[:1500]


def _closest(missing: Counter[Row], extra: Counter[Row]) -> list[tuple[Row | None, Row | None]]:
    pairs: list[tuple[Row | None, Row | None]] = []
    rest = [*extra.elements()]
    for wanted in missing.elements():
        best = max(rest, key=lambda held: sum(one == two for one, two in zip(wanted, held, strict=True)), default=None)
        if best is not None:
            rest.remove(best)
        pairs.append((wanted, best))
        if len(pairs) > 20:
            break
    return pairs + [(None, held) for held in rest[:3]]
