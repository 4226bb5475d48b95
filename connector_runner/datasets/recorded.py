"""What the ledger knows of a connector's streams, whichever are selected now, and the record of the selection itself. Pure.

The record is one more row of the connector in the checkpoint table, apart from the anchor, which is written with each commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from connector_runner.datasets.fencing import Holder
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.names import TableNames
from connector_runner.datasets.places import ANCHOR, UNPLACED, is_apart
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.protocols.errors import KeptElsewhereError
from connector_runner.protocols.sink import StoredStream, StoredStreams

# Stream and table in the record's key.
RECORD = ("*", "*")
_PREFIX = '{"selection":'


def record_selection(ledger: Ledger, connector: str, record: str) -> Statement:
    """Stores the record of the selection in its row; within the transaction that claims it."""
    return Statement(ledger.sql.hold, [f"{_PREFIX}{record}}}", "", connector, *RECORD])


def read_stored(ledger: Ledger, connector: str) -> Procedure[StoredStreams]:
    """All streams that have a row in this ledger for the connector, and the record of its last selection; changes nothing."""
    if not (yield Statement(ledger.dialect.find, [ledger.home.checkpoints])).rows:
        return StoredStreams()
    streams, selection, had_selection = [], "", False
    for row in (yield Statement(ledger.sql.read_connector, [connector])).rows:
        holder = Holder(*row[:-1])
        if (holder.stream, holder.table) == ANCHOR:
            had_selection = True
        elif (holder.stream, holder.table) == RECORD:
            selection = _selection_in(holder)
        else:
            streams.append(_stored(holder, row[-1]))
    return StoredStreams(tuple(streams), selection, had_selection)


def _selection_in(holder: Holder) -> str:
    text = holder.position or ""
    return json.dumps(json.loads(text)["selection"]) if text.startswith(_PREFIX) else ""


def _stored(holder: Holder, updated: object) -> StoredStream:
    is_member = is_apart(holder)
    has_position = holder.position is not None and holder.position != UNPLACED
    text = updated if isinstance(updated, str) else updated.isoformat()  # type: ignore[attr-defined]
    return StoredStream(holder.stream, holder.table, has_position, is_member, text)


def newest_table(streams: Iterable[StoredStream]) -> str:
    """The table that a stream has written last; "" if it has a position in none."""
    held = [stream for stream in streams if stream.has_position]
    return max(held, key=lambda stream: (stream.is_member, stream.updated)).table if held else ""


def kept_elsewhere(stored: StoredStreams, stream: str, table: str) -> str:
    """The table that a single stream keeps from a time when it belonged to a selection; "" if it has none or is known in `table`."""
    rows = [known for known in stored.streams if known.stream == stream]
    if not stored.had_selection or any(known.table == table for known in rows):
        return ""
    return newest_table(rows)


def require_not_kept(ledger: Ledger, connector: str) -> Procedure[None]:
    """Checks that the only stream does not begin anew in one table while it has another from a selection.

    Raises:
        KeptElsewhereError: It has one.
    """
    _, stream, table = ledger.key
    stored = yield from read_stored(ledger, connector)
    if kept := kept_elsewhere(stored, stream, table):
        text = TableNames(ledger.home.schema, kept).text
        raise KeptElsewhereError(
            f"stream {stream} has its rows in table {text} since it belonged to a selection, not in {table}", text
        )
