"""SQLite's words for the ledger. Pure."""

from __future__ import annotations

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.names import TableNames


def table_key(names: TableNames) -> str:
    """How the checkpoint names the table: SQLite takes names for the same that differ in the case of ASCII letters."""
    return names.text.encode().lower().decode()


DIALECT = Dialect(
    text="TEXT",
    whole="INTEGER",
    time="TEXT",
    json="TEXT",
    numbered="INTEGER PRIMARY KEY",
    now="strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    find="""SELECT 1 FROM sqlite_master WHERE '"' || replace(name, '"', '""') || '"' = ? COLLATE NOCASE""",
    table_key=table_key,
    is_case_sensitive=False,
    has_schemas=False,
)
