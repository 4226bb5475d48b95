"""The ledger's dialect for SQLite. Pure."""

from __future__ import annotations

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.names import TableNames


def table_key(names: TableNames) -> str:
    """The table's name in the checkpoint: for SQLite, names that differ only in the case of ASCII letters are the same."""
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
