"""The logical types that every source emits and every sink stores: their shared vocabulary.

A value of a nullable column may always be `None`. Each kind has exactly one Python representation, listed in
`PYTHON_FORM`; a sink may rely on it, and a source must follow it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The canonical kinds of values."""

    BOOL = "bool"
    INT64 = "int64"
    UINT64 = "uint64"
    INT256 = "int256"
    DECIMAL = "decimal"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    BYTES = "bytes"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    JSON = "json"
    UUID = "uuid"


# Times outside of Python's range: Python's date types cover the years 1 to 9999; databases cover more. Such a value is carried as
# ISO text ("294276-01-01T00:00:00"); a sink stores it if it can, else refuses it (dead letter).
PYTHON_FORM: dict[Kind, str] = {
    Kind.BOOL: "bool",
    Kind.INT64: "int, -2**63 … 2**63-1",
    Kind.UINT64: "int, 0 … 2**64-1",
    Kind.INT256: "int, -2**255 … 2**256-1 (signed or unsigned 256-bit integers)",
    Kind.DECIMAL: "decimal.Decimal, every digit kept, trailing zeros included",
    Kind.FLOAT32: "float that is exactly representable in 32 bits; NaN and infinities are legal values",
    Kind.FLOAT64: "float; NaN and infinities are legal values",
    Kind.STRING: "str, any code points (NUL and lone surrogates may occur)",
    Kind.BYTES: "bytes",
    Kind.DATE: "datetime.date, or ISO text outside the years 1 … 9999",
    Kind.TIME: "datetime.time without zone",
    Kind.TIMESTAMP: "naive datetime.datetime, microseconds, or ISO text outside the years 1 … 9999",
    Kind.TIMESTAMPTZ: "aware datetime.datetime in UTC, microseconds, or ISO text with Z outside the years 1 … 9999",
    Kind.JSON: "str holding one JSON text, kept unchanged",
    Kind.UUID: "str, 36 characters, lower case",
}


@dataclass(frozen=True, slots=True)
class LogicalType:
    """A kind with its parameters.

    Attributes:
        kind: The kind of value.
        precision: For `decimal`: the total number of digits, or None if the source sets no limit.
        scale: For `decimal`: digits after the point, or None.
        length: For `string` and `bytes`: the source's limit in characters or bytes, or None for no limit.
    """

    kind: Kind
    precision: int | None = None
    scale: int | None = None
    length: int | None = None

    def __str__(self) -> str:
        """The text in catalogues, schema versions and messages: `decimal(65,30)`, `string(40)`, `int64`."""
        if self.precision is not None:
            return f"{self.kind.value}({self.precision},{self.scale or 0})"
        return f"{self.kind.value}({self.length})" if self.length is not None else self.kind.value


BOOL = LogicalType(Kind.BOOL)
INT64 = LogicalType(Kind.INT64)
UINT64 = LogicalType(Kind.UINT64)
INT256 = LogicalType(Kind.INT256)
DECIMAL = LogicalType(Kind.DECIMAL)
FLOAT32 = LogicalType(Kind.FLOAT32)
FLOAT64 = LogicalType(Kind.FLOAT64)
STRING = LogicalType(Kind.STRING)
BYTES = LogicalType(Kind.BYTES)
DATE = LogicalType(Kind.DATE)
TIME = LogicalType(Kind.TIME)
TIMESTAMP = LogicalType(Kind.TIMESTAMP)
TIMESTAMPTZ = LogicalType(Kind.TIMESTAMPTZ)
JSON = LogicalType(Kind.JSON)
UUID = LogicalType(Kind.UUID)
