"""The position of several tables: the position in the log once for all, and for each table only its own part. No I/O.

A table's whole position is both together. A table's own part changes rarely: rows of a large transaction that were handed over,
prepared XA transactions with rows of the table, sessions with a temporary table of its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connector_runner.sources.mysql.binlog.position import LogPosition


def own_part(position: LogPosition, shared: LogPosition) -> dict[str, Any]:
    """The part of a table's position that is not in the shared one; empty for most tables most of the time.

    Args:
        position: The table's position.
        shared: The log's position, see `LogBatch.log`.
    """
    own: dict[str, Any] = {}
    if position.rows:
        # Rows count only inside the transaction that they belong to, so that nothing has to be written when it ends. They are
        # counted for each table: their number does not change with the tables that are selected.
        own |= {"rows": position.rows, "of": _inside(shared)}
    if position.prepared:
        own["prepared"] = list(position.prepared)
    if position.shadows:
        own["shadows"] = list(position.shadows)
    return own


def join(shared: LogPosition, own: Mapping[str, Any]) -> LogPosition:
    """A table's whole position; the reverse of `own_part`."""
    prepared = tuple(own.get("prepared", ()))
    xids = (*shared.prepared, *shared.others)
    rows = own.get("rows", 0) if shared.rows and own.get("of") == _inside(shared) else 0
    return replace(
        shared,
        rows=rows,
        prepared=prepared,
        others=tuple(xid for xid in xids if xid not in prepared),
        transaction=shared.transaction if rows else "",
        shadows=tuple(own.get("shadows", ())),
    )


def _inside(shared: LogPosition) -> str:
    """Names the transaction that a position is inside of: by its id, which all servers know, else by the offset where it begins."""
    return shared.transaction or f"{shared.file}:{shared.offset}"
