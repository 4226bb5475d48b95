"""The PostgreSQL sink: rows, position and fence in one transaction; with `wait: false` several transactions in flight."""

from __future__ import annotations

from connector_runner.datasets.dialect import Dialect
from connector_runner.protocols.check import Examiner
from connector_runner.protocols.sink import Inspector, Sink, SinkContext


def build_dialect() -> Dialect:
    """How it distinguishes the names of tables."""
    from connector_runner.sinks.postgresql.dialect import DIALECT

    return DIALECT


def build_sink(context: SinkContext) -> Sink:
    """A sink for `postgresql://user:password@host:port/database?…` with all options of libpq."""
    from connector_runner.sinks.postgresql.sink import PostgresSink

    return PostgresSink(context)


def build_inspector(context: SinkContext, *, create: bool = False) -> Inspector:
    """Inspects such a database without claiming it."""
    from connector_runner.datasets.blocking.inspector import LedgerInspector
    from connector_runner.sinks.postgresql.database import PostgresDatabase
    from connector_runner.sinks.postgresql.rows import ROWS

    database = PostgresDatabase(context.read_url)
    return LedgerInspector(context, database, ROWS.newest, database.find, create=create)


def build_examiner(context: SinkContext) -> Examiner:
    """Looks at such a database in transactions that may only read."""
    from connector_runner.sinks.postgresql.examiner import TableExaminer

    return TableExaminer(context)
