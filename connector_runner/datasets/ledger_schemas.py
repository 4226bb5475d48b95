"""Where the ledger lies when a connector's tables are in several schemas, and what the other schemas record. Pure.

The ledger is one checkpoint table in one schema, its *home*. Each other schema with tables of the connector has a checkpoint table with
a *pointer* for each of them: a row like any other, whose position says only in which schema the ledger is. So whoever claims a table
finds its owner beside it, and a runner of an earlier version neither takes such a table nor starts from such a row.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.fencing import Holder
from connector_runner.datasets.ledger_statements import LedgerStatements, build_ledger_statements
from connector_runner.datasets.names import TableNames, quote
from connector_runner.datasets.places import ANCHOR, is_apart, whole_of
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.sink import SinkContext

if TYPE_CHECKING:
    from connector_runner.datasets.ledger import Ledger
    from connector_runner.datasets.stream_ledger import StreamLedger

Key = tuple[str, str, str]

_PREFIX = '{"ledger":'


def encode_pointer(schema: str) -> str:
    """The position of a pointer to the ledger in this schema."""
    return f"{_PREFIX}{json.dumps(schema)}}}"


def pointed_schema(holder: Holder) -> str:
    """The schema that a pointer names; "" for any other row."""
    if holder.position is None or not holder.position.startswith(_PREFIX):
        return ""
    schema: str = json.loads(holder.position)["ledger"]
    return schema


def statements_in(schema: str, dialect: Dialect) -> LedgerStatements:
    """The statements on the checkpoint table of a schema."""
    return build_ledger_statements(TableNames(schema, ""), dialect)


# where the ledger is


def find_home(
    dialect: Dialect, connector: str, schemas: Collection[str], *, wanted: str, only: StreamLedger | None
) -> Procedure[str]:
    """The schema of the connector's ledger.

    Args:
        dialect: Of a database that has schemas.
        connector: The connector.
        schemas: The schemas of its tables.
        wanted: The schema that the Dataset names for the ledger; "" for none.
        only: The only stream, of a connector that has no selection.

    Returns:
        The one that was named; else the one where the connector's ledger is; else that of all its tables; else the connection's own.

    Raises:
        ActionRequiredError: The ledger is not where the Dataset says, or nothing says where it should be.
    """
    there = ""
    if only is not None:
        there = yield from _read_pointer(dialect, only)
    if only is None or (wanted and not there):
        there = yield from _find_anchor(dialect, connector, is_held=bool(wanted))
    if wanted and there and there != wanted:
        raise ActionRequiredError(
            f"dataset.ledgerSchema: {wanted!r}, but the ledger of {connector}, with the positions of its streams, is in schema {there}; "
            f"set ledgerSchema: {there}, or use another name for the connector, which then starts from the beginning in other tables",
            reason="InvalidDataset",
        )
    if wanted or there:
        return wanted or there
    if len(schemas) == 1:
        return next(iter(schemas))
    rows = (yield Statement(dialect.schemas.current)).rows
    if not rows or not rows[0][0]:
        raise ActionRequiredError(
            f"the tables of {connector} are in the schemas {', '.join(sorted(schemas))}, and this connection has no schema of its own "
            "(search_path) for the ledger; set ledgerSchema on the Dataset",
            reason="InvalidDataset",
        )
    return str(rows[0][0])


def _read_pointer(dialect: Dialect, only: StreamLedger) -> Procedure[str]:
    """The schema that the only stream's row beside its table points to; "" if it is no pointer."""
    sql, names = statements_in(only.names.schema, dialect), only.names
    if not (yield Statement(dialect.find, [names.checkpoints])).rows:
        return ""
    rows = (yield Statement(sql.read, [*only.owner, dialect.table_key(names)])).rows
    return pointed_schema(Holder(*rows[0][:-1])) if rows else ""


def _find_anchor(dialect: Dialect, connector: str, *, is_held: bool) -> Procedure[str]:
    """The schema with the connector's selection, of all checkpoint tables that can be read; "" if it has none.

    Args:
        dialect: Of the database.
        connector: The connector.
        is_held: Whether a selection that was dissolved (by a claim of one stream) does not count.
    """
    found: list[tuple[bool, object, str]] = []
    for (schema,) in (yield Statement(dialect.schemas.ledgers)).rows:
        for row in (yield Statement(statements_in(schema, dialect).read, [connector, *ANCHOR])).rows:
            has_position = Holder(*row[:-1]).position is not None
            if has_position or not is_held:
                found.append((has_position, row[-1], schema))
    return max(found)[2] if found else ""


def find_problem(dialect: Dialect, schema: str) -> Procedure[ActionRequiredError | None]:
    """Why tables in this schema can't be claimed; None if they can, as far as the schema and its checkpoint table are concerned."""
    rows = (yield Statement(dialect.schemas.rights, [schema])).rows
    if not rows:
        return ActionRequiredError(
            f"the dataset has no schema {schema}; create it (CREATE SCHEMA {quote(schema)}), or name another table",
            reason="MissingSchema",
        )
    may_use, may_create, has_ledger, may_write = rows[0]
    if may_use and (may_write if has_ledger else may_create):
        return None
    grant = f"USAGE, CREATE ON SCHEMA {quote(schema)}"
    if may_use and has_ledger:
        grant = f"SELECT, INSERT, UPDATE, DELETE ON {TableNames(schema, '').checkpoints}"
    return ActionRequiredError(
        f"schema {schema} records who fills its tables in its own checkpoint table; a grant is missing: GRANT {grant} TO this user",
        reason="MissingDatasetGrant",
    )


# who fills a table


@dataclass(frozen=True, slots=True)
class Owner:
    """Who fills a table.

    Attributes:
        holder: The row with the position, in whichever ledger it is; its `table` is the name there.
        sql: The statements on that ledger.
        table: The table's name in the checkpoint table where it was found.
    """

    holder: Holder
    sql: LedgerStatements
    table: str


def resolve(ledger: Ledger, holders: Iterable[Holder], schema: str) -> Procedure[list[Owner]]:
    """The rows of a checkpoint table, with those that pointers stand for instead of the pointers.

    A pointer to a row that is gone or was reset counts for nothing; one whose ledger can't be read counts as it is.

    Args:
        ledger: The ledger of who asks.
        holders: Rows of the checkpoint table in `schema`.
        schema: The schema.
    """
    owners = []
    sql = ledger.sql if schema == ledger.home.schema else ledger.foreign[schema]
    for holder in holders:
        at = pointed_schema(holder)
        if not at:
            owners.append(Owner(holder, sql, holder.table))
        elif at != ledger.home.schema:
            owners += yield from _follow(ledger.dialect, holder, schema, at)
    return owners


def _follow(dialect: Dialect, pointer: Holder, schema: str, at: str) -> Procedure[list[Owner]]:
    sql = statements_in(at, dialect)
    rights = (yield Statement(dialect.schemas.rights, [at])).rows
    may_read = bool(rights) and rights[0][0] and rights[0][3]
    if not may_read:
        is_gone = not rights or not rights[0][2]
        return [] if is_gone else [Owner(pointer, sql, pointer.table)]
    key = [pointer.connector, pointer.stream, TableNames(schema, pointer.table).text]
    rows = (yield Statement(sql.read, key)).rows
    return [Owner(Holder(*row[:-1]), sql, pointer.table) for row in rows]


def read_all_owners(
    ledger: Ledger, present: Mapping[str, LedgerStatements] | None = None
) -> Procedure[dict[tuple[str, str], list[Holder]]]:
    """(Schema, table in the checkpoint table there) → all that fill the table, for all tables of the ledger's streams; read at once.

    Args:
        ledger: The ledger of who asks.
        present: Schema → the statements on its checkpoint table, of those that exist; None: all of the ledger's exist.
    """
    home = ledger.home.schema
    wanted = {(home, stream.key[2]) for stream in ledger.streams.values()}
    wanted |= {(stream.names.schema, bare(ledger, stream)) for stream in ledger.streams.values()}
    found: dict[tuple[str, str], list[Holder]] = {}
    for schema, sql in (present if present is not None else {home: ledger.sql, **ledger.foreign}).items():
        rows = [Holder(*row[:-1]) for row in (yield Statement(sql.read_all)).rows]
        for owner in (yield from resolve(ledger, (row for row in rows if (schema, row.table) in wanted), schema)):
            found.setdefault((schema, owner.table), []).append(owner.holder)
    return found


def read_owners(ledger: Ledger, stream: StreamLedger, lock: str = "") -> Procedure[list[Owner]]:
    """All that fill the table of a stream."""
    home, names = ledger.home.schema, stream.names
    owners = yield from resolve(ledger, (yield from ledger.read_holders(stream.key[2], lock)), home)
    if names.schema in ledger.foreign:
        rows = (yield Statement(ledger.foreign[names.schema].read_table + lock, [bare(ledger, stream)])).rows
        owners += yield from resolve(ledger, (Holder(*row[:-1]) for row in rows), names.schema)
    return owners


def bare(ledger: Ledger, stream: StreamLedger) -> str:
    """The name of a stream's table in the checkpoint table of its own schema."""
    return ledger.dialect.table_key(stream.names)


# recording the tables of a claim


def create_foreign(ledger: Ledger) -> Procedure[None]:
    """Makes sure that each other schema with tables has its checkpoint table."""
    for schema, sql in ledger.foreign.items():
        checkpoints = TableNames(schema, "").checkpoints
        if not (yield Statement(ledger.dialect.find, [checkpoints])).rows:
            yield Statement(sql.create_checkpoints)


def record_tables(
    ledger: Ledger, context: SinkContext, rows: Mapping[Key, Holder], streams: Iterable[StreamLedger]
) -> Procedure[bool]:
    """Leaves a pointer to this ledger beside each table in another schema, and enters what the streams have in other ledgers here.

    Who held an entered row is fenced off.

    Args:
        ledger: The ledger.
        context: Of who claims.
        rows: The connector's rows in this ledger.
        streams: The streams that are claimed.

    Returns:
        Whether rows were entered.
    """
    is_changed, home = False, ledger.home.schema
    foreign = yield from _read_foreign(ledger, context.connector)
    for stream in streams:
        schema = stream.names.schema
        key = (context.connector, stream.stream, bare(ledger, stream))
        own = rows.get(stream.key) if schema == home else foreign.get((schema, key))
        at = schema if own is None else pointed_schema(own) or schema
        if at != home and own is not None:
            is_changed = True
            yield from _enter(ledger, context, stream, at, rows.get(stream.key))
        if schema != home and (own is None or pointed_schema(own) != home):
            sql, epoch = ledger.foreign[schema], 1 if own is None else own.epoch + 1
            yield Statement(sql.claim, [*key, epoch, context.uid, context.run, context.write_mode.value])
            yield Statement(sql.hold, [encode_pointer(home), "", *key])
    return is_changed


def _read_foreign(ledger: Ledger, connector: str) -> Procedure[Mapping[tuple[str, Key], Holder]]:
    """The connector's own rows beside its tables in other schemas, by schema and key."""
    found: dict[tuple[str, Key], Holder] = {}
    for schema, sql in ledger.foreign.items():
        for row in (yield Statement(sql.read_connector + ledger.dialect.lock, [connector])).rows:
            holder = Holder(*row[:-1])
            found[schema, (holder.connector, holder.stream, holder.table)] = holder
    return found


def _enter(
    ledger: Ledger, context: SinkContext, stream: StreamLedger, at: str, present: Holder | None
) -> Procedure[None]:
    """Enters a stream's row of the ledger in schema `at`, unless this one has a position for it already."""
    sql, lock = statements_in(at, ledger.dialect), ledger.dialect.lock
    table = bare(ledger, stream) if at == stream.names.schema else stream.names.text
    key = [context.connector, stream.stream, table]
    found = [Holder(*row[:-1]) for row in (yield Statement(sql.read + lock, key)).rows]
    for holder in found:
        anchor = None
        if is_apart(holder):
            anchors = (yield Statement(sql.read + lock, [context.connector, *ANCHOR])).rows
            anchor = Holder(*anchors[0][:-1]) if anchors else None
            yield Statement(sql.fence, [context.connector, *ANCHOR])
        if present is None or present.position is None or pointed_schema(present):
            yield from insert(ledger, stream, holder, anchor)
        yield Statement(sql.release, key)
    if not found and present is not None:
        yield Statement(ledger.sql.hold, [None, "", *stream.key])


def insert(ledger: Ledger, stream: StreamLedger, holder: Holder, anchor: Holder | None) -> Procedure[None]:
    """Enters a row of another ledger, with its whole position."""
    whole = whole_of(holder, anchor)
    held = [holder.epoch, holder.uid, holder.run, holder.write_mode]
    yield Statement(ledger.sql.claim, [*stream.key, *held])
    yield Statement(ledger.sql.hold, [whole.position, whole.identity, *stream.key])
    yield Statement(ledger.sql.version, [holder.schema_version, *stream.key, holder.epoch])
