"""The one map of types: how each MySQL and MariaDB column type is named and parsed, and the logical type of its values.

Everything that depends on a column's type starts here: the stream's schema, the decoders of both paths (`fields`), the
literals in which the copy resumes (`literals`), and the generated table in the documentation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from connector_runner.protocols.types import (
    BYTES,
    DATE,
    FLOAT32,
    FLOAT64,
    INT64,
    JSON,
    STRING,
    TIMESTAMP,
    TIMESTAMPTZ,
    UINT64,
    UUID,
    Kind,
    LogicalType,
)

INTEGER_BYTES = {"tinyint": 1, "smallint": 2, "mediumint": 3, "int": 4, "bigint": 8}
BLOB_PREFIX = {"tiny": 1, "": 2, "medium": 3, "long": 4}
TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
BINARIES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
GEOMETRIES = frozenset(
    [
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geometrycollection",
        "geomcollection",
    ]
)
_TYPE = re.compile(
    r"^(?P<base>[a-z0-9]+)(?: precision)?(?:\((?P<arguments>.*)\))?(?P<rest>[^)]*)$", re.IGNORECASE | re.DOTALL
)
# MySQL shows a label that is not text as x'…'.
_LABEL = re.compile(r"(x?)'((?:[^']|'')*)'", re.DOTALL)
_SYNONYMS = {"integer": "int", "dec": "decimal", "numeric": "decimal", "real": "double", "bool": "tinyint"}


@dataclass(frozen=True, slots=True)
class SqlType:
    """A parsed COLUMN_TYPE.

    Attributes:
        base: `int`, `varchar`, `enum`, …
        numbers: Lengths, precision and scale, fractional digits: `(10, 2)`.
        labels: The labels of an enum or set, in order.
        is_unsigned: Whether a number is UNSIGNED or ZEROFILL.
        is_compressed: Whether it is one of MariaDB's COMPRESSED columns.
    """

    base: str
    numbers: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    is_unsigned: bool = False
    is_compressed: bool = False


# What the server writes for these characters in a label (`append_unescaped`).
_ESCAPES = {"''": "'", "\\\\": "\\", "\\0": "\0", "\\n": "\n", "\\r": "\r"}
_ESCAPED = re.compile(r"''|\\[\\0nr]")


def _unquote(form: str, label: str) -> str:
    if form:  # bytes without a character become lone surrogates, as everywhere
        return bytes.fromhex(label).decode("utf-8", "surrogateescape")
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], label)


def quote_label(label: str) -> str:
    """A label of an enum or set as COLUMN_TYPE shows it, in quotes."""
    back = {value: key for key, value in _ESCAPES.items()}
    return "'" + "".join(back.get(character, character) for character in label) + "'"


@lru_cache(maxsize=4096)
def parse_sql_type(text: str) -> SqlType:
    """Reads a COLUMN_TYPE as information_schema gives it.

    Raises:
        ValueError: It is not a column type.
    """
    found = _TYPE.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a column type")
    base = found["base"].lower()
    base = _SYNONYMS.get(base, base)
    arguments, rest = found["arguments"] or "", found["rest"].lower()
    if base in {"enum", "set"}:
        return SqlType(base, labels=tuple(_unquote(*found) for found in _LABEL.findall(arguments)))
    numbers = tuple(int(part) for part in arguments.split(",")) if arguments else ()
    unsigned = "unsigned" in rest or "zerofill" in rest
    return SqlType(base, numbers, is_unsigned=unsigned, is_compressed="compressed" in rest)


@dataclass(frozen=True)
class SourceColumn:
    """A column as the source defines it.

    Attributes:
        name: Its name.
        sql_type: COLUMN_TYPE of information_schema.
        charset: The character set of text, enum and set; "" for all others.
        nullable: Whether NULL is allowed.
        is_json: Whether it is a MariaDB column with a JSON_VALID check (MariaDB's JSON type is such a text).
        default: COLUMN_DEFAULT, None without one; only compared, never interpreted.
        is_generated: Whether it is computed from other columns.
        expression: The expression that computes it, as the server shows it; "" where it is not known.
        is_auto: Whether it is AUTO_INCREMENT; not compared, since older checkpoints do not have it.
    """

    name: str
    sql_type: str
    charset: str = ""
    nullable: bool = True
    is_json: bool = False
    default: str | None = None
    is_generated: bool = False
    expression: str = ""
    is_auto: bool = field(default=False, compare=False)

    @cached_property
    def type(self) -> SqlType:
        """The parsed type."""
        return parse_sql_type(self.sql_type)

    @cached_property
    def logical(self) -> LogicalType:
        """The logical type of its values in the stream.

        Raises:
            LookupError: Values of this type can't be read; the message says why.
        """
        return logical_type(self)


def is_short_year(column: SourceColumn) -> bool:
    """MariaDB's YEAR(2): the server shows two digits of what it stores."""
    return column.type.base == "year" and column.type.numbers == (2,)


def fractional_digits(column: SqlType) -> int:
    """The number of fractional digits of a time type: 0 … 6."""
    return column.numbers[0] if column.numbers else 0


def logical_type(column: SourceColumn) -> LogicalType:
    """Maps a column's type to its logical type.

    TIME is text, since its range (±838:59:59) is not a time of day. BIT(64) is unsigned. A geometry is its WKB without the SRID.
    TIMESTAMP is an instant (UTC), DATETIME has no zone. Zero and impossible dates are ISO text.

    Raises:
        LookupError: The type is not known, or stored in a way that can't be read.
    """
    kind = column.type
    if kind.is_compressed:
        raise LookupError(f"column {column.name}: COMPRESSED columns can't be read from the binary log")
    if kind.base in INTEGER_BYTES:
        return UINT64 if kind.is_unsigned and kind.base == "bigint" else INT64
    if kind.base == "decimal":
        precision, scale = (*kind.numbers, 10, 0)[:2] if len(kind.numbers) != 1 else (kind.numbers[0], 0)
        return LogicalType(Kind.DECIMAL, precision=precision, scale=scale)
    if kind.base in TEXTS:
        if column.is_json:
            return JSON
        return LogicalType(Kind.STRING, length=kind.numbers[0]) if kind.numbers else STRING
    if kind.base in {"binary", "varbinary"}:
        return LogicalType(Kind.BYTES, length=kind.numbers[0] if kind.numbers else 1)
    if kind.base in BINARIES or kind.base in GEOMETRIES:
        return BYTES
    if kind.base == "bit":
        return UINT64 if kind.numbers == (64,) else INT64
    try:
        return _PLAIN[kind.base]
    except KeyError:
        raise LookupError(f"column {column.name}: the type {column.sql_type} is not known") from None


_PLAIN = {
    "float": FLOAT32,
    "double": FLOAT64,
    "year": INT64,
    "date": DATE,
    "time": STRING,
    "datetime": TIMESTAMP,
    "timestamp": TIMESTAMPTZ,
    "enum": STRING,
    "set": STRING,
    "json": JSON,
    "vector": BYTES,
    "uuid": UUID,
    "inet6": STRING,
    "inet4": STRING,
}
