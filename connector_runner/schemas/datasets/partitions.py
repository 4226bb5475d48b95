"""How tables of a lake are partitioned: the option `partitionBy` of a dataset's URL. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

OPTION = "partitionBy"
"""The option's name."""
EXPECTED = (
    f"{OPTION} must be columns or years(…), months(…), days(…), hours(…) of columns with commas between them, each once"
)
Partitions: TypeAlias = tuple[tuple[str, str], ...]
"""Transform (identity, year, month, day, hour) and column of each field."""
_FORM = re.compile(r"(?:(years?|months?|days?|hours?|identity)\(([^(),]+)\)|([^(),]+))")


def parse_partitions(text: str) -> Partitions | None:
    """`days(time),kind` → transform and column of each; None if it has another form."""
    fields = []
    for part in text.split(",") if text else ():
        found = _FORM.fullmatch(part.strip())
        if found is None:
            return None
        transform, column, plain = found.groups()
        fields.append((transform.rstrip("s") if transform else "identity", (column or plain).strip()))
    return tuple(fields) if len(set(fields)) == len(fields) else None


def spell_partitions(partitions: Sequence[tuple[str, str]]) -> str:
    """The reverse of `parse_partitions`."""
    return ",".join(
        column if transform == "identity" else f"{transform}s({column})" for transform, column in partitions
    )


def partition_name(transform: str, column: str) -> str:
    """The name of a field."""
    return column if transform == "identity" else f"{column}_{transform}"
