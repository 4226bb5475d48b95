"""The SQLite sink: the embedded default, nothing to install; rows, position and fence in one transaction."""

from __future__ import annotations

from connector_runner.protocols.sink import Inspector, Sink, SinkContext


def build_sink(context: SinkContext) -> Sink:
    """A sink for `sqlite:///relative.db` (from the data directory) or `sqlite:////absolute.db`; option `?synchronous=NORMAL`."""
    from connector_runner.sinks.sqlite.sink import SqliteSink

    return SqliteSink(context)


def build_inspector(context: SinkContext) -> Inspector:
    """Looks at such a file without claiming it."""
    from connector_runner.sinks.sqlite.inspector import SqliteInspector

    return SqliteInspector(context)
