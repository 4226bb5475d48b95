"""The newest rows as the console shows them: columns and texts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

LONGEST_TEXT = 2000
"""Characters of one value that are shown."""


def build_table(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows for a page: `columns`, and `rows` as lists of texts; None for NULL.

    Numbers are texts, since a browser would round large ones.
    """
    listed = list(rows)
    columns = list(dict.fromkeys(name for row in listed for name in row))
    return {"columns": columns, "rows": [[_show(row.get(name)) for name in columns] for row in listed]}


def _show(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text):,} characters)"
