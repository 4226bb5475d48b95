"""Looks at a PostgreSQL database in transactions that may only read, so that the server itself refuses any change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from connector_runner.datasets.blocking.examiner import LedgerExaminer
from connector_runner.datasets.examining import DATASET, Fit, ReadRights, fit_rows
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.names import TableNames, quote
from connector_runner.datasets.procedure import Procedure, Statement, run
from connector_runner.protocols.check import Check, failed, ok
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.postgresql.database import PostgresDatabase
from connector_runner.sinks.postgresql.dialect import FIND_RIGHTS
from connector_runner.sinks.postgresql.rows import ROWS

T = TypeVar("T")

LEDGER = ("SELECT", "INSERT", "UPDATE")
BESIDE = ("INSERT",)
BY_KEY = ("SELECT", "INSERT", "UPDATE", "DELETE")
HISTORY = ("SELECT", "INSERT")
FIND_STATE = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on', current_user::text"
# A table: whether it exists, the privileges of the list that this user lacks, whether this user may alter it.
FIND_TABLE = """SELECT c.oid IS NOT NULL,
  ARRAY(SELECT p FROM unnest(string_to_array($2, ',')) WITH ORDINALITY AS wanted(p, place)
    WHERE NOT has_table_privilege(c.oid, p) ORDER BY place),
  pg_has_role(c.relowner, 'USAGE')
FROM (SELECT to_regclass($1)::oid AS oid) AS named LEFT JOIN pg_class AS c ON c.oid = named.oid"""


class TableExaminer(LedgerExaminer):
    """See `Examiner`."""

    def __init__(self, context: SinkContext) -> None:
        database = PostgresDatabase(context.read_url)
        append = context.write_mode is WriteMode.APPEND
        rights = table_rights(append=append)
        super().__init__(context, database, fit_rows(ROWS, append=append), rights, database.find)

    def _run(self, procedure: Procedure[T]) -> T:
        with self._database.explained():
            self._connection.execute("BEGIN TRANSACTION READ ONLY")
            try:
                return run(self._connection, procedure)
            finally:
                with suppress(Exception):  # the error that matters is on its way
                    self._connection.execute("ROLLBACK")


@dataclass(slots=True)
class _Missing:
    """What this user lacks.

    Attributes:
        grants: What to grant: privileges and on what.
        schemas: Schemas that do not exist.
        unowned: Tables that must be altered and that this user may not alter.
    """

    grants: dict[str, None] = field(default_factory=dict)
    schemas: dict[str, None] = field(default_factory=dict)
    unowned: list[str] = field(default_factory=list)


def table_rights(*, append: bool) -> ReadRights:
    """Compares what a run does with what this user may do."""

    def read_rights(ledger: Ledger, fits: Mapping[str, Fit]) -> Procedure[Sequence[Check]]:
        in_recovery, reads_only, user = (yield Statement(FIND_STATE)).rows[0]
        if in_recovery or reads_only:
            why = "it is a standby" if in_recovery else f"default_transaction_read_only is on for {user}"
            error = TransientError(
                f"the dataset takes no writes now: {why}; connect to the primary, or let this user write",
                reason="DatasetUnavailable",
            )
            return [failed(DATASET, "rights", error)]
        missing = _Missing()
        for schema in (ledger.home.schema, *ledger.foreign):
            yield from _look(missing, schema, TableNames(schema, "").checkpoints, LEDGER)
        for stream in ledger.streams.values():
            fit, names = fits.get(stream.stream), stream.names
            needed = HISTORY if append else BY_KEY
            alters = fit is not None and bool(fit.alteration.added or fit.alteration.widened)
            yield from _look(missing, names.schema, names.rows, needed, alters=alters)
            for table in (names.dead_letters, names.incidents):
                yield from _look(missing, names.schema, table, BESIDE)
        return list(_explain(missing, user)) or [ok(DATASET, "rights", f"user {user} has the rights that a run needs")]

    return read_rights


def _look(
    missing: _Missing, schema: str, table: str, needed: Sequence[str], *, alters: bool = False
) -> Procedure[None]:
    """Notes what is missing for one table; for one that does not exist, whether it may be made."""
    rights = (yield Statement(FIND_RIGHTS, [schema])).rows
    if not rights:
        missing.schemas[schema] = None
        return
    may_use, may_create = rights[0][:2]
    if not may_use:
        missing.grants[f"USAGE, CREATE ON SCHEMA {quote(schema)}"] = None
        return
    exists, lacks, may_alter = (yield Statement(FIND_TABLE, [table, ",".join(needed)])).rows[0]
    if not exists:
        if not may_create:
            missing.grants[f"CREATE ON SCHEMA {quote(schema)}"] = None
        return
    if lacks:
        missing.grants[f"{', '.join(lacks)} ON {table}"] = None
    if alters and not may_alter:
        missing.unowned.append(table)


def _explain(missing: _Missing, user: str) -> Sequence[Check]:
    found: list[ActionRequiredError] = []
    for schema in missing.schemas:
        text = f"the dataset has no schema {schema}; create it (CREATE SCHEMA {quote(schema)}), or name another table"
        found.append(ActionRequiredError(text, reason="MissingSchema"))
    if missing.grants:
        grants = "; ".join(f"GRANT {grant} TO {quote(user)}" for grant in missing.grants)
        found.append(ActionRequiredError(f"grants are missing in the dataset: {grants}", reason="MissingDatasetGrant"))
    if missing.unowned:
        text = (
            f"columns must be added to or widened in {', '.join(missing.unowned)}, which only the owner may do; make {user} a member of the "
            "owner's role, or alter the tables"
        )
        found.append(ActionRequiredError(text, reason="MissingDatasetGrant"))
    return [failed(DATASET, "rights", error) for error in found]
