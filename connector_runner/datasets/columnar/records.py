"""What a table's commit says of itself, as JSON in the commit's information. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connector_runner.datasets.fencing import COLUMNS

_SAID = ("stream", "epoch", "number", "uid", "run", "position")


def record_of(connector: str, rows: Mapping[tuple[str, str, str], tuple[Any, ...] | None]) -> str:
    """Who commits, and the positions after it: of each row of the ledger that the same transaction changes."""
    said = []
    for key, row in rows.items():
        if row is not None and key[0] == connector:
            members = dict(zip(COLUMNS, row, strict=True))
            said.append({name: members[name] for name in _SAID})
    return json.dumps({"connector": connector, "rows": said}, separators=(",", ":"))
