"""The SQLite sink: the embedded default, without installation; rows, position and fence in one transaction."""

from __future__ import annotations

from connector_runner.datasets.dialect import Dialect
from connector_runner.protocols.check import Examiner
from connector_runner.protocols.sink import Inspector, Sink, SinkContext


def build_dialect() -> Dialect:
    """How it distinguishes the names of tables."""
    from connector_runner.datasets.sqlite.dialect import DIALECT

    return DIALECT


def build_sink(context: SinkContext) -> Sink:
    """A sink for `sqlite:///relative.db` (from the data directory) or `sqlite:////absolute.db`; option `?synchronous=NORMAL`."""
    from connector_runner.datasets.blocking.sink import build_table_sink
    from connector_runner.datasets.sqlite.connection import SqliteFile
    from connector_runner.sinks.sqlite.rows import ROWS

    return build_table_sink(context, SqliteFile(context.read_url, context.directory), ROWS)


def build_inspector(context: SinkContext, *, create: bool = False) -> Inspector:
    """Inspects such a file without claiming it."""
    from connector_runner.datasets.blocking.inspector import LedgerInspector
    from connector_runner.datasets.sqlite.connection import SqliteFile
    from connector_runner.sinks.sqlite.rows import ROWS

    return LedgerInspector(context, SqliteFile(context.read_url, context.directory), ROWS.newest, create=create)


def build_examiner(context: SinkContext) -> Examiner:
    """Looks at such a file and changes nothing in its folder."""
    from connector_runner.datasets.blocking.examiner import LedgerExaminer
    from connector_runner.datasets.examining import fit_rows
    from connector_runner.datasets.sqlite.connection import SqliteFile
    from connector_runner.datasets.sqlite.examining import file_rights
    from connector_runner.protocols.source import WriteMode
    from connector_runner.sinks.sqlite.rows import ROWS

    file = SqliteFile(context.read_url, context.directory, observes=True)
    return LedgerExaminer(
        context, file, fit_rows(ROWS, append=context.write_mode is WriteMode.APPEND), file_rights(file)
    )
