"""The ledger's dialect: statements run on a local copy in SQLite, names are names of tables in the catalogue. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.names import TableNames
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.schemas.datasets.iceberg import table_problem


@dataclass(frozen=True)
class CatalogDialect(Dialect):
    """Names in a namespace of a catalogue."""

    def parse_table(self, text: str) -> TableNames:
        """The names of the tables.

        Raises:
            InvalidConfigError: No table can have this name.
        """
        if problem := table_problem(text):
            raise InvalidConfigError([f"dataset.table: {problem}"])
        return TableNames("", text)


DIALECT = CatalogDialect(
    text="TEXT",
    whole="INTEGER",
    time="TEXT",
    json="TEXT",
    numbered="INTEGER PRIMARY KEY",
    now="strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    find="""SELECT 1 FROM sqlite_master WHERE '"' || replace(name, '"', '""') || '"' = ?""",
    has_schemas=False,
    is_case_sensitive=False,
)
