"""Names of tables and columns: always quoted, and derived from the dataset's table in this module only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from connector_runner.protocols.errors import InvalidConfigError, SchemaConflictError
from connector_runner.protocols.schema import APPEND_COLUMNS, StreamSchema
from connector_runner.protocols.types import Kind

CHECKPOINTS = "_connector_checkpoints"
# The columns that append mode adds to those of the stream; the database numbers the rows by the first.
ROW_NUMBER = APPEND_COLUMNS[0]
# The owner of a row: several connectors may share a table, and each retracts only its own rows.
OWNER = APPEND_COLUMNS[-2:]
METADATA = {**dict.fromkeys(APPEND_COLUMNS, Kind.STRING), ROW_NUMBER: Kind.INT64, "_written_at": Kind.TIMESTAMPTZ}


def quote(name: str) -> str:
    """An SQL identifier, as standard SQL, PostgreSQL and SQLite quote it."""
    return '"' + name.replace('"', '""') + '"'


def quote_all(names: Iterable[str]) -> str:
    """The names quoted and separated by commas."""
    return ", ".join(quote(name) for name in names)


@dataclass(frozen=True, slots=True)
class TableNames:
    """The dataset's tables.

    Attributes:
        schema: The schema of all of them; "" for the database's default.
        table: The table with the rows.
    """

    schema: str
    table: str

    @property
    def text(self) -> str:
        """The table's name as people write it and as the checkpoint stores it."""
        return f"{self.schema}.{self.table}" if self.schema else self.table

    def quoted(self, name: str) -> str:
        """Quoted name of a table beside the dataset's."""
        return f"{quote(self.schema)}.{quote(name)}" if self.schema else quote(name)

    @property
    def rows(self) -> str:
        """Quoted name of the table with the rows."""
        return self.quoted(self.table)

    @property
    def dead_letters(self) -> str:
        """Quoted name of the table for refused rows."""
        return self.quoted(f"{self.table}_dead_letters")

    @property
    def incidents(self) -> str:
        """Quoted name of the table for incidents."""
        return self.quoted(f"{self.table}_incidents")

    @property
    def checkpoints(self) -> str:
        """Quoted name of the checkpoint table."""
        return self.quoted(CHECKPOINTS)


def parse_table(text: str, *, longest: int | None = None, schemas: bool = True) -> TableNames:
    """Splits a possibly schema-qualified name.

    Args:
        text: `table` or `schema.table`.
        longest: The database's limit for a name in bytes; it applies to the derived names too.
        schemas: Whether the database has schemas; if not, a dot is part of the name.

    Raises:
        InvalidConfigError: Empty parts, NUL, or too long.
    """
    schema, _, table = text.rpartition(".") if schemas else ("", "", text)
    if not table or (schemas and "." in text and not schema) or "\0" in text or "." in schema:
        raise InvalidConfigError([f"dataset.table: {text!r} is not a table name; write `table` or `schema.table`"])
    if longest is not None and len(f"{table}_dead_letters".encode()) > longest:
        limit = longest - len("_dead_letters")
        raise InvalidConfigError(
            [f"dataset.table: {table!r} is too long; at most {limit} bytes, so that {table}_dead_letters still fits"]
        )
    return TableNames(schema, table)


def check_column_names(schema: StreamSchema, *, append: bool, case_sensitive: bool = True) -> None:
    """Refuses column names that the dataset can't distinguish.

    Raises:
        SchemaConflictError: A column has the name of a metadata column (append mode), or names differ only in case.
    """
    if append and (taken := [name for name in schema.names if name in METADATA]):
        raise SchemaConflictError(
            f"stream {schema.stream} has columns named {', '.join(taken)}, which append mode needs for itself; "
            "use writeMode: upsert, or rename them at the source"
        )
    if not case_sensitive:
        seen: dict[str, str] = {}
        for name in schema.names:
            if (other := seen.setdefault(name.lower(), name)) != name:
                raise SchemaConflictError(
                    f"stream {schema.stream} has columns {other} and {name}, which this database takes for the same name"
                )


def require_key(schema: StreamSchema) -> None:
    """Checks that there is a key, which upsert mode needs.

    Raises:
        SchemaConflictError: There is none.
    """
    if not schema.key:
        raise SchemaConflictError(
            f"stream {schema.stream} has no key, so its rows can't be stored by key; set writeMode: append on the Dataset"
        )
