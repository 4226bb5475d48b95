"""The HTTP sink: JSON arrays by POST to a dataset's URL, as the Connectors API's own datasets accept them; at least once.

The server has no transaction that could hold our position. So the ledger (position, fence, dead letters, incidents) is kept in a
small SQLite file in the data directory, committed after the response: after a kill in between, the same rows are sent again.
"""

from __future__ import annotations

from connector_runner.datasets.dialect import Dialect
from connector_runner.protocols.check import Examiner
from connector_runner.protocols.sink import Inspector, Sink, SinkContext


def build_dialect() -> Dialect:
    """How it distinguishes the names of tables."""
    from connector_runner.datasets.sqlite.dialect import DIALECT

    return DIALECT


def build_sink(context: SinkContext) -> Sink:
    """A sink for `http://…` and `https://…`; see docs/guarantees.md for what the server must do."""
    from connector_runner.sinks.http.poster import build_posting_sink

    return build_posting_sink(context)


def build_inspector(context: SinkContext, *, create: bool = False) -> Inspector:
    """Inspects the ledger; rows can't be read back."""
    from connector_runner.sinks.http.inspector import PostedInspector

    return PostedInspector(context, create=create)


def build_examiner(context: SinkContext) -> Examiner:
    """Looks at the ledger's file, and whether the server answers; posts nothing."""
    from connector_runner.sinks.http.examiner import PostedExaminer

    return PostedExaminer(context)
