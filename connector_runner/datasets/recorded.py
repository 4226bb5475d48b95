"""What the ledger knows of a connector's streams, whichever are selected now, and the record of the selection itself. Pure.

The record is one more row of the connector in the checkpoint table, apart from the anchor, which is written with each commit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from connector_runner.datasets.fencing import Holder
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.places import ANCHOR, UNPLACED, is_apart
from connector_runner.datasets.procedure import Procedure, Statement
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


def newest_table(streams: Sequence[StoredStream]) -> str:
    """The table that a stream has written last; "" if it has a position in none."""
    held = [stream for stream in streams if stream.has_position]
    return max(held, key=lambda stream: (stream.is_member, stream.updated)).table if held else ""
