"""Finds in the dataset which streams a connector has there and in which tables, without asking the source."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import replace

from connector_runner.commands.selection import read_stored
from connector_runner.commands.session import build_sink_context
from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.recorded import kept_elsewhere, newest_table
from connector_runner.datasets.table_choice import strip_quotes
from connector_runner.orders import Orders
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.protocols.sink import SinkContext, StoredStream
from connector_runner.redaction import Redactor
from connector_runner.registry import build_dialect, build_inspector

NAMED = 10
"""Streams that a message names."""
_NOWHERE = "_connector_checkpoints_beside"
"""A table that is nowhere, so that the ledger is looked for where a new table would be made."""


def find_streams(orders: Orders, redactor: Redactor) -> SinkContext:
    """The context of the orders' dataset, with the tables that their streams have there.

    Raises:
        InvalidConfigError: The dataset does not have the stream that was named.
        TransientError, ActionRequiredError: The dataset can't be read.
    """
    if orders.manifest.streams is None:
        return _find_one(orders, redactor)
    context = build_sink_context(orders, redactor, {})
    dialect = build_dialect(context.read_url())
    schemas = _schemas(orders, dialect)
    stored = read_stored(context, {f"*{schema}": _in(schema, _NOWHERE) for schema in schemas}, create=False)
    by_stream: dict[str, list[StoredStream]] = {}
    for known in stored.streams:
        by_stream.setdefault(known.stream, []).append(known)
    tables = {stream: newest_table(rows) or rows[0].table for stream, rows in sorted(by_stream.items())}
    if orders.only:
        if orders.only not in tables:
            near = difflib.get_close_matches(orders.only, tables, n=NAMED, cutoff=0.5) or list(tables)
            raise InvalidConfigError(
                [
                    f"--stream: the dataset has no stream {orders.only!r} of {orders.connector}; it has {name_some(near)}"
                ],
                reason="NoCheckpoint",
            )
        tables = {orders.only: tables[orders.only]}
    return replace(context, tables=tables)


def _find_one(orders: Orders, redactor: Redactor) -> SinkContext:
    """The selected stream's table: that of the orders, or the one that it has had in a selection."""
    context = build_sink_context(orders, redactor)
    ((stream, table),) = context.tables.items()
    inspector = build_inspector(context)
    try:
        stored = inspector.stored_streams()
    finally:
        inspector.close()
    dialect = build_dialect(context.read_url())
    names = dialect.parse_table(table)
    kept = kept_elsewhere(stored, stream, names.text if dialect.has_schemas else dialect.table_key(names))
    return replace(context, tables={stream: kept}) if kept else context


def _schemas(orders: Orders, dialect: Dialect) -> Collection[str]:
    """The schemas that the manifest names; "" for the one where a new table would be made."""
    streams = orders.manifest.streams
    if not dialect.has_schemas or streams is None:
        return [""]
    tables = [strip_quotes(orders.target().table), *streams.tables.values()]
    found = [table.rpartition(".")[0] for table in tables]
    return dict.fromkeys(schema for schema in found if "{" not in schema) or [""]


def _in(schema: str, table: str) -> str:
    return f"{schema}.{table}" if schema else table


def name_some(streams: Collection[str] | Sequence[str]) -> str:
    """Some of the streams, for a message."""
    names = list(streams)
    more = len(names) - NAMED
    return (", ".join(names[:NAMED]) or "none") + (f" and {more} more" if more > 0 else "")
