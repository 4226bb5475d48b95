"""The ledger's dialect for PostgreSQL. Pure."""

from __future__ import annotations

from dataclasses import replace

from connector_runner.datasets.dialect import Dialect, SchemaQueries
from connector_runner.datasets.names import CHECKPOINTS, TableNames
from connector_runner.datasets.procedure import Procedure, Statement

FIND_SCHEMA = """SELECT coalesce((SELECT nspname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
  WHERE pg_class.oid = to_regclass($1)), current_schema())"""
FIND_LEDGERS = f"""SELECT nspname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relname = '{CHECKPOINTS}' AND relkind IN ('r', 'p') AND relpersistence <> 't'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT') ORDER BY nspname"""
FIND_RIGHTS = f"""SELECT has_schema_privilege(n.oid, 'USAGE'), has_schema_privilege(n.oid, 'CREATE'), c.oid IS NOT NULL,
  c.oid IS NOT NULL AND (SELECT bool_and(has_table_privilege(c.oid, p)) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS p)
FROM pg_namespace AS n LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = '{CHECKPOINTS}'
WHERE n.nspname = $1"""
# The SQLSTATE of the division by zero of a commit that updates no row.
NOT_MOVED = "22012"


def table_key(names: TableNames) -> str:
    """The table's name in the checkpoint table of its own schema: the bare name."""
    return names.table


def guard(update: str) -> str:
    """The division fails if no row was changed, and with it everything up to the synchronisation point."""
    return f"WITH moved AS ({update} RETURNING 1) SELECT 1 / count(*) FROM moved"


# Whole numbers and JSON are sent as texts, so that all parameters of a transaction have the same format.
DIALECT = Dialect(
    text="text",
    whole="bigint",
    time="timestamptz",
    json="json",
    numbered="bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    now="now()",
    find="SELECT 1 WHERE to_regclass($1) IS NOT NULL",
    text_parameter="${n}",
    whole_parameter="${n}::text::bigint",
    json_parameter="${n}::text::json",
    checkpoint_options=" WITH (fillfactor = 50)",
    lock=" FOR UPDATE",
    guard=guard,
    table_key=table_key,
    longest_name=63,
    schemas=SchemaQueries("SELECT current_schema()", FIND_LEDGERS, FIND_RIGHTS),
)


def find_schema(names: TableNames) -> Procedure[TableNames]:
    """The table with its schema, however it was spelled: the schema that has it, else the one where it would be created."""
    rows = (yield Statement(FIND_SCHEMA, [names.rows])).rows
    return replace(names, schema=names.schema or (rows[0][0] if rows else "") or "")
