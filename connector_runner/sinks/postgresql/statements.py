"""The SQL of the PostgreSQL sink; every set of rows is one statement over arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from connector_runner.datasets.dead_letters import DeadLetter
from connector_runner.datasets.fencing import COLUMNS, encode_position
from connector_runner.datasets.names import ROW_NUMBER, TableNames, quote, quote_all
from connector_runner.datasets.write_plan import History, Step
from connector_runner.protocols.batch import place_of
from connector_runner.protocols.schema import StreamSchema
from connector_runner.sinks.postgresql.session import Command
from connector_runner.sinks.postgresql.types import (
    METADATA_TYPES,
    TEXT,
    Cells,
    PostgresType,
    array_parameter,
    column_types,
    encode_columns,
    encode_texts,
)

FIND_SCHEMA = """SELECT coalesce((SELECT nspname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
  WHERE pg_class.oid = to_regclass(%s)), current_schema())"""
CREATE_CHECKPOINTS = """CREATE TABLE {table} (
  connector text NOT NULL, stream text NOT NULL, table_name text NOT NULL, epoch bigint NOT NULL, number bigint NOT NULL,
  uid text NOT NULL, run bigint NOT NULL, identity text NOT NULL, schema_version text NOT NULL, position text,
  write_mode text NOT NULL, updated timestamptz NOT NULL, PRIMARY KEY (connector, stream, table_name)
) WITH (fillfactor = 50)"""
CREATE_DEAD_LETTERS = """CREATE TABLE {table} (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, connector text NOT NULL,
  stream text NOT NULL, reason text NOT NULL, operation text NOT NULL, position text NOT NULL, "row" json NOT NULL
)"""
CREATE_INCIDENTS = """CREATE TABLE {table} (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, connector text NOT NULL,
  stream text NOT NULL, kind text NOT NULL, subject text NOT NULL, message text NOT NULL, detail json NOT NULL,
  position text NOT NULL
)"""


# Rows without an owner are from before there was that column.
OWN = "((_connector = $2 AND _stream = $3) OR _connector IS NULL)"


class FenceSql:
    """Statements on the checkpoint and its companions; `key` is (connector, stream, table)."""

    def __init__(self, names: TableNames, key: tuple[str, str, str]) -> None:
        self._names = names
        self._key = [part.encode() for part in key]
        table, listed = names.checkpoints, ", ".join(COLUMNS)
        where = "connector = {0} AND stream = {1} AND table_name = {2}"
        self.read = f"SELECT {listed} FROM {table} WHERE {where.format('%s', '%s', '%s')}"
        self.read_table = f"SELECT {listed} FROM {table} WHERE table_name = %s"
        self.claim = (
            f"INSERT INTO {table} ({listed}) VALUES (%s, %s, %s, %s, 0, %s, %s, '', '', NULL, %s, now()) "
            "ON CONFLICT (connector, stream, table_name) DO UPDATE SET epoch = excluded.epoch, uid = excluded.uid, "
            "run = excluded.run, write_mode = excluded.write_mode, updated = excluded.updated"
        )
        self.adopt = (
            f"UPDATE {table} SET schema_version = %s WHERE {where.format('%s', '%s', '%s')} AND epoch = %s "
            "AND schema_version = ''"
        )
        theirs = where.format("%s", "%s", "%s")
        self.move = f"UPDATE {table} SET connector = %s, stream = %s, table_name = %s WHERE {theirs}"
        self.release = (
            f"UPDATE {table} SET epoch = epoch + 1, uid = '', run = 0, identity = '', position = NULL, updated = now() "
            f"WHERE {theirs}"
        )
        self.remove = f"DELETE FROM {table} WHERE {theirs}"
        self.incident = (
            f"INSERT INTO {names.incidents} (at, connector, stream, kind, subject, message, detail, position) "
            "VALUES (now(), %s, %s, %s, %s, %s, %s, %s)"
        )
        held = f"WHERE {where.format('$1', '$2', '$3')} AND epoch = $4::text::bigint AND number = $5::text::bigint - 1"
        # The division fails when the row is not as expected, and with it all that follows up to the synchronisation point.
        self._commit, self._touch = (
            f"WITH moved AS (UPDATE {table} SET number = $5::text::bigint, {changes}updated = now() {held} RETURNING 1) "
            "SELECT 1 / count(*) FROM moved"
            for changes in ("identity = $6, schema_version = $7, position = $8, ", "")
        )

    def advance(self, epoch: int, number: int, state: tuple[str, str, str] | None) -> Command:
        """Moves the checkpoint from `number - 1`; fails when somebody else has the epoch.

        Args:
            epoch: Ours.
            number: Of this transaction.
            state: Identity, schema version and position; None to leave them.
        """
        parameters = [*self._key, b"%d" % epoch, b"%d" % number]
        if state is None:
            return Command(self._touch, parameters)
        return Command(self._commit, [*parameters, *(text.encode() for text in state)])

    def dead_letter(self, letter: DeadLetter) -> Command:
        """One refused row."""
        texts = (letter.reason, letter.operation, letter.position, letter.row)
        return Command(
            f'INSERT INTO {self._names.dead_letters} (at, connector, stream, reason, operation, position, "row") '
            "VALUES (now(), $1, $2, $3, $4, $5, $6::text::json)",
            [*self._key[:2], *(text.encode(errors="replace") for text in texts)],
        )

    def incidents(self, rows: Sequence[tuple[str, str, str, str, str]]) -> Command:
        """Some incidents."""
        columns = [array_parameter(TEXT.oid, encode_texts(column)) for column in zip(*rows, strict=True)]
        return Command(
            f"INSERT INTO {self._names.incidents} (at, connector, stream, kind, subject, message, detail, position) "
            "SELECT now(), $1, $2, kind, subject, message, detail::json, position FROM "
            "unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) AS i(kind, subject, message, detail, position)",
            [*self._key[:2], *columns],
        )


@dataclass(frozen=True)
class RowSql:
    """Commands on the table with the rows, for one schema; `owner` is (connector, stream)."""

    schema: StreamSchema
    names: TableNames
    owner: tuple[str, str]

    @cached_property
    def types(self) -> list[PostgresType]:
        """Of the columns, in row order."""
        return column_types(self.schema)

    @cached_property
    def _key_types(self) -> list[PostgresType]:
        return [self.types[place] for place in self.schema.key_indices]

    @cached_property
    def columns(self) -> str:
        """Quoted names."""
        return quote_all(self.schema.names)

    @cached_property
    def on_conflict(self) -> str:
        """What an upsert does to a row that is there."""
        key = quote_all(self.schema.key)
        changed = [quote(name) for name in self.schema.names if name not in self.schema.key]
        if not changed:
            return f"ON CONFLICT ({key}) DO NOTHING"
        return f"ON CONFLICT ({key}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in changed)}"

    @cached_property
    def _from_arrays(self) -> str:
        return f"SELECT * FROM {_unnest(self.types)}"

    @cached_property
    def _upsert(self) -> str:
        return f"INSERT INTO {self.names.rows} ({self.columns}) {self._from_arrays} {self.on_conflict}"

    @cached_property
    def _insert(self) -> str:
        key = quote_all(self.schema.key)
        return f"INSERT INTO {self.names.rows} ({self.columns}) {self._from_arrays} ON CONFLICT ({key}) DO NOTHING"

    @cached_property
    def _delete(self) -> str:
        key = self.schema.key
        aliases = [f"k{place}" for place in range(len(key))]
        match = " AND ".join(f"t.{quote(name)} = d.{alias}" for name, alias in zip(key, aliases, strict=True))
        given = f"{_unnest(self._key_types)} AS d({', '.join(aliases)})"
        return f"DELETE FROM {self.names.rows} AS t USING {given} WHERE {match}"

    @cached_property
    def append_columns(self) -> str:
        """Quoted names with those that append mode adds."""
        return f"{self.columns}, _op, _position, _connector, _stream, _written_at"

    @cached_property
    def _append(self) -> str:
        return (
            f"INSERT INTO {self.names.rows} ({self.append_columns}) "
            f"SELECT *, {self._owner(len(self.types) + 3)}, now() FROM {_unnest([*self.types, TEXT, TEXT])}"
        )

    @staticmethod
    def _owner(first: int) -> str:
        return f"${first}::text, ${first + 1}::text"

    def _prefix(self, length: int, first: int) -> str:
        pairs = zip(self.schema.key[:length], self._key_types, strict=False)
        return (
            " AND ".join(
                f"{quote(name)} = (${first + place}::{kind.name}[])[1]" for place, (name, kind) in enumerate(pairs)
            )
            or "true"
        )

    def _prefix_parameters(self, prefix: Sequence[Any]) -> list[bytes]:
        types = self._key_types[: len(prefix)]
        return [array_parameter(kind.oid, kind.encode([value])) for kind, value in zip(types, prefix, strict=True)]

    def apply(self, step: Step) -> list[Command]:
        """A step of upsert mode.

        Raises:
            RefusedError and others: See `types.encode_columns`.
        """
        commands = []
        for prefix in step.replaced:
            sql = f"DELETE FROM {self.names.rows} WHERE {self._prefix(len(prefix), 1)}"
            commands.append(Command(sql, self._prefix_parameters(prefix)))
        if step.deleted:
            keys = [[row[place] for place in self.schema.key_indices] for row in step.deleted]
            commands.append(Command(self._delete, _arrays(self._key_types, keys)))
        if step.upserted:
            commands.append(Command(self._upsert, _arrays(self.types, step.upserted)))
        if step.inserted:
            commands.append(Command(self._insert, _arrays(self.types, step.inserted)))
        return commands

    def append(self, history: History) -> list[Command]:
        """A step of append mode.

        Raises:
            RefusedError and others: See `types.encode_columns`.
        """
        commands = []
        owner = [part.encode() for part in self.owner]
        for prefix, batch in history.replaced:
            parameters = [encode_position(place_of(batch.position)).encode(), *owner, *self._prefix_parameters(prefix)]
            commands.append(Command(self._retract(len(prefix)), parameters))
        if history.rows:
            oids = [*(kind.oid for kind in self.types), TEXT.oid, TEXT.oid]
            cells = self.history_cells(history)
            arrays = [array_parameter(*pair) for pair in zip(oids, cells, strict=True)]
            commands.append(Command(self._append, [*arrays, *owner]))
        return commands

    def history_cells(self, history: History) -> list[Cells]:
        """The columns of rows to be appended, operation and position included."""
        texts: dict[str, bytes] = {}
        positions: dict[int, bytes] = {}
        operations, stamps = [], []
        for operation, _, batch in history.rows:
            if (cell := texts.get(operation)) is None:
                cell = texts[operation] = encode_texts([operation])[0]
            operations.append(cell)
            if (cell := positions.get(id(batch))) is None:
                cell = positions[id(batch)] = encode_texts([encode_position(place_of(batch.position))])[0]
            stamps.append(cell)
        return [*encode_columns(self.types, [row for _, row, _ in history.rows]), operations, stamps]

    @property
    def history_index(self) -> tuple[str, str]:
        """Name and creation of what finds the entries of a key prefix; made at the first replacement, because appending pays."""
        name = f"{self.names.table}_by_key"
        sql = f"CREATE INDEX {quote(name)} ON {self.names.rows} ({quote_all(self.schema.key)})"
        return self.names.quoted(name), sql

    def _retract(self, length: int) -> str:
        key = quote_all(self.schema.key)
        if not key:
            # Rows without a key are only ever taken back all at once: live are those after the last retraction.
            return (
                f"WITH own AS (SELECT * FROM {self.names.rows} WHERE {OWN}) INSERT INTO {self.names.rows} ({self.append_columns}) "
                f"SELECT {self.columns}, 'delete', $1::text, {self._owner(2)}, now() FROM own "
                "WHERE _id > (SELECT coalesce(max(_id), 0) FROM own WHERE _op = 'delete') ORDER BY _id"
            )
        return (
            f"INSERT INTO {self.names.rows} ({self.append_columns}) "
            f"SELECT {self.columns}, 'delete', $1::text, {self._owner(2)}, now() FROM "
            f"(SELECT DISTINCT ON ({key}) * FROM {self.names.rows} WHERE {OWN} AND {self._prefix(length, 4)} "
            f"ORDER BY {key}, _id DESC) AS latest WHERE _op <> 'delete' ORDER BY _id"
        )

    def create_table(self, *, append: bool) -> str:
        """Columns of the key are NOT NULL, all others may be null: a stream's guarantees may change, a table's can't."""
        columns = [
            f"{quote(column.name)} {kind.name}{' NOT NULL' if column.name in self.schema.key and not append else ''}"
            for column, kind in zip(self.schema.columns, self.types, strict=True)
        ]
        if append:
            added = [f"{name} {type_} NOT NULL" for name, type_ in METADATA_TYPES.items() if name != ROW_NUMBER]
            number = f"{ROW_NUMBER} {METADATA_TYPES[ROW_NUMBER]} GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
            columns = [number, *columns, *added]
        else:
            columns.append(f"PRIMARY KEY ({quote_all(self.schema.key)})")
        return f"CREATE TABLE {self.names.rows} ({', '.join(columns)})"


def _unnest(types: Sequence[PostgresType]) -> str:
    return f"unnest({', '.join(f'${place}::{kind.name}[]' for place, kind in enumerate(types, 1))})"


def _arrays(types: Sequence[PostgresType], rows: Sequence[Sequence[Any]]) -> list[bytes]:
    columns = encode_columns(types, rows)
    return [array_parameter(kind.oid, cells) for kind, cells in zip(types, columns, strict=True)]
