"""The types of Arrow as Delta spells them. Pure."""

from __future__ import annotations

import pyarrow as pa

_DELTA = {
    pa.bool_(): "boolean",
    pa.int64(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.binary(): "binary",
    pa.string(): "string",
    pa.date32(): "date",
    pa.timestamp("us"): "timestamp_ntz",
    pa.timestamp("us", "UTC"): "timestamp",
}


def delta_name(type_: pa.DataType) -> str:
    """A type as Delta spells it."""
    return f"decimal({type_.precision},{type_.scale})" if pa.types.is_decimal(type_) else _DELTA[type_]
