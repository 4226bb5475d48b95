"""The MYSQL source: a table of MySQL or MariaDB, copied exactly and followed through the binary log."""

from connector_runner.protocols.source import Source, SourceContext


def build_source(context: SourceContext) -> Source:
    """Makes the source for one stream; does no I/O."""
    from connector_runner.sources.mysql.source import MysqlSource  # late: the schema alone needs no client

    return MysqlSource(context)
