"""The ledger's dialect: statements run on a local copy in SQLite, names are names of folders. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.names import TableNames
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.schemas.datasets.delta import table_problem


@dataclass(frozen=True)
class FolderDialect(Dialect):
    """Names of folders instead of names of tables."""

    def parse_table(self, text: str) -> TableNames:
        """The names of the tables' folders.

        Raises:
            InvalidConfigError: No folder of a table can have this name.
        """
        if problem := table_problem(text):
            raise InvalidConfigError([f"dataset.table: {problem}"])
        return TableNames("", text)


DIALECT = FolderDialect(
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
