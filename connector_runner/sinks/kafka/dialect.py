"""The ledger's dialect: statements run on a local copy in SQLite, names are names of topics. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.names import TableNames
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.schemas.datasets.kafka import topic_problem


@dataclass(frozen=True)
class TopicDialect(Dialect):
    """Names of topics instead of names of tables."""

    def parse_table(self, text: str) -> TableNames:
        """The names of the topics.

        Raises:
            InvalidConfigError: No topic can have this name.
        """
        if problem := topic_problem(text):
            raise InvalidConfigError([f"dataset.table: {problem}"])
        return TableNames("", text)


DIALECT = TopicDialect(
    text="TEXT",
    whole="INTEGER",
    time="TEXT",
    json="TEXT",
    numbered="INTEGER PRIMARY KEY",
    now="strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    find="""SELECT 1 FROM sqlite_master WHERE '"' || replace(name, '"', '""') || '"' = ?""",
    has_schemas=False,
    noun="topic",
)
