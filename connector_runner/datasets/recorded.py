"""What the ledger knows of a connector's streams, whichever are selected now, and the record of the selection itself. Pure.

The record is one more row of the connector in the checkpoint table, apart from the anchor, which is written with each commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from connector_runner.datasets.fencing import Holder
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.ledger_schemas import pointed_schema, statements_in
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
    """All streams that have a row for the connector in this ledger, or in that of another schema; changes nothing.

    Returns:
        The streams, and the record of the last selection.
    """
    stored = StoredStreams()
    for schema in (yield from _schemas(ledger)):
        sql = ledger.sql if schema == ledger.home.schema else statements_in(schema, ledger.dialect)
        rows = (yield Statement(sql.read_connector, [connector])).rows
        holders = [(Holder(*row[:-1]), row[-1]) for row in rows]
        keys = {(holder.stream, holder.table): holder for holder, _ in holders}
        record, names = keys.get(RECORD), _Names(ledger, schema)
        streams = [
            _stored(holder, updated, names.spell(holder.table))
            for holder, updated in holders
            if (holder.stream, holder.table) not in (ANCHOR, RECORD) and not pointed_schema(holder)
        ]
        stored = StoredStreams(
            (*stored.streams, *streams),
            stored.selection or (_selection_in(record) if record is not None else ""),
            stored.had_selection or ANCHOR in keys,
        )
    return stored


def _schemas(ledger: Ledger) -> Procedure[list[str]]:
    """The schemas with a checkpoint table, that of the ledger first."""
    home = ledger.home.schema
    found = []
    if (yield Statement(ledger.dialect.find, [ledger.home.checkpoints])).rows:
        found.append(home)
    if home:  # the database has schemas
        others = (yield Statement(ledger.dialect.schemas.ledgers)).rows
        found += [schema for (schema,) in others if schema != home]
    return found


class _Names:
    """Spells the tables of a checkpoint table as the context of the ledger spells theirs."""

    def __init__(self, ledger: Ledger, schema: str) -> None:
        self._schema = schema
        self._has_schemas = bool(schema)
        self._spelled = {
            stream.names.schema: ledger.dialect.parse_table(stream.spelled).schema for stream in ledger.streams.values()
        }

    def spell(self, table: str) -> str:
        """The name by which a table of the checkpoint table is found."""
        if not self._has_schemas:
            return table
        schema, _, name = table.rpartition(".")
        found = schema or self._schema
        return TableNames(self._spelled.get(found, found), name).text


def _selection_in(holder: Holder) -> str:
    text = holder.position or ""
    return json.dumps(json.loads(text)["selection"]) if text.startswith(_PREFIX) else ""


def _stored(holder: Holder, updated: object, table: str) -> StoredStream:
    is_member = is_apart(holder)
    has_position = holder.position is not None and holder.position != UNPLACED
    text = updated if isinstance(updated, str) else updated.isoformat()  # type: ignore[attr-defined]
    return StoredStream(holder.stream, table, has_position, is_member, text)


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
    _, stream, key = ledger.key
    table = _Names(ledger, ledger.home.schema).spell(key)
    stored = yield from read_stored(ledger, connector)
    if kept := kept_elsewhere(stored, stream, table):
        raise KeptElsewhereError(
            f"stream {stream} has its rows in table {kept} since it belonged to a selection, not in {table}", kept
        )
