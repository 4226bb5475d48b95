"""The SQL of the ledger: the checkpoint table, dead letters and incidents, in any dialect. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from connector_runner.datasets.dialect import Dialect, Placeholders
from connector_runner.datasets.fencing import COLUMNS
from connector_runner.datasets.names import TableNames

# Spelled as in the first version, so that a dataset's own description of the tables does not change.
CREATE_CHECKPOINTS = """CREATE TABLE {table} (
  connector {text} NOT NULL, stream {text} NOT NULL, table_name {text} NOT NULL, epoch {whole} NOT NULL, number {whole} NOT NULL,
  uid {text} NOT NULL, run {whole} NOT NULL, identity {text} NOT NULL, schema_version {text} NOT NULL, position {text},
  write_mode {text} NOT NULL, updated {time} NOT NULL, PRIMARY KEY (connector, stream, table_name)
){options}"""
CREATE_DEAD_LETTERS = """CREATE TABLE {table} (
  id {numbered}, at {time} NOT NULL, connector {text} NOT NULL, stream {text} NOT NULL, reason {text} NOT NULL,
  operation {text} NOT NULL, position {text} NOT NULL, "row" {json} NOT NULL
)"""
CREATE_INCIDENTS = """CREATE TABLE {table} (
  id {numbered}, at {time} NOT NULL, connector {text} NOT NULL, stream {text} NOT NULL, kind {text} NOT NULL,
  subject {text} NOT NULL, message {text} NOT NULL, detail {json} NOT NULL, position {text} NOT NULL
)"""


@dataclass(frozen=True, slots=True)
class LedgerStatements:
    """The statements on the checkpoint table; the parameters of each are listed in the order of its placeholders.

    Attributes:
        create_checkpoints: Without parameters.
        read: Key → the checkpoint's row (`fencing.COLUMNS`).
        read_table: Table → the rows of all that write into it.
        read_connector: Connector → all of its rows.
        read_all: All rows.
        claim: Key, epoch, uid, run, write mode.
        adopt: Schema version, key, epoch: marks the table with the rows as ours.
        move: New key, old key.
        release: Key: clears holder and position, sets the next epoch.
        remove: Key.
        commit: Number, identity, schema version, position; key, epoch, number before.
        touch: Number; key, epoch, number before.
        place: Schema version, position; key, epoch: updates a stream's row with the commit of its anchor.
        version: Schema version; key, epoch: the same, for the version alone.
        hold: Position, identity; key.
        fence: Key: clears the holder, sets the next epoch, keeps the position.
    """

    create_checkpoints: str
    read: str
    read_table: str
    read_connector: str
    read_all: str
    claim: str
    adopt: str
    move: str
    release: str
    remove: str
    commit: str
    touch: str
    place: str
    version: str
    hold: str
    fence: str


@dataclass(frozen=True, slots=True)
class TableStatements:
    """The statements on the tables beside the rows of one stream.

    Attributes:
        create_dead_letters, create_incidents: Without parameters.
        dead_letter: Connector, stream, reason, operation, position, row.
        incident: Connector, stream, kind, subject, message, detail, position.
    """

    create_dead_letters: str
    create_incidents: str
    dead_letter: str
    incident: str


def _key(p: Placeholders) -> str:
    return f"connector = {p.text()} AND stream = {p.text()} AND table_name = {p.text()}"


def _create(template: str, table: str, dialect: Dialect) -> str:
    return template.format(
        table=table, text=dialect.text, whole=dialect.whole, time=dialect.time, json=dialect.json,
        numbered=dialect.numbered, options=dialect.checkpoint_options,
    )  # fmt: skip


def _claim(table: str, dialect: Dialect) -> str:
    p = Placeholders(dialect)
    values = f"{p.texts(3)}, {p.whole()}, 0, {p.text()}, {p.whole()}, '', '', NULL, {p.text()}, {dialect.now}"
    return (
        f"INSERT INTO {table} ({', '.join(COLUMNS)}) VALUES ({values}) "
        "ON CONFLICT (connector, stream, table_name) DO UPDATE SET epoch = excluded.epoch, uid = excluded.uid, "
        "run = excluded.run, write_mode = excluded.write_mode, updated = excluded.updated"
    )


def _move(table: str, dialect: Dialect) -> str:
    p = Placeholders(dialect)
    new = f"connector = {p.text()}, stream = {p.text()}, table_name = {p.text()}"
    return f"UPDATE {table} SET {new} WHERE {_key(p)}"


def _adopt(table: str, dialect: Dialect) -> str:
    p = Placeholders(dialect)
    return f"UPDATE {table} SET schema_version = {p.text()} WHERE {_key(p)} AND epoch = {p.whole()} AND schema_version = ''"


def _advance(table: str, dialect: Dialect, *, moves: bool) -> str:
    p = Placeholders(dialect)
    number = f"number = {p.whole()}"
    state = f"identity = {p.text()}, schema_version = {p.text()}, position = {p.text()}, " if moves else ""
    held = f"{_key(p)} AND epoch = {p.whole()} AND number = {p.whole()}"
    return dialect.guard(f"UPDATE {table} SET {number}, {state}updated = {dialect.now} WHERE {held}")


def _beside(table: str, dialect: Dialect, *, moves: bool) -> str:
    p = Placeholders(dialect)
    state = f"schema_version = {p.text()}" + (f", position = {p.text()}, identity = ''" if moves else "")
    held = f"{_key(p)} AND epoch = {p.whole()}"
    return dialect.guard(f"UPDATE {table} SET {state}, updated = {dialect.now} WHERE {held}")


def _hold(table: str, dialect: Dialect) -> str:
    p = Placeholders(dialect)
    return f"UPDATE {table} SET position = {p.text()}, identity = {p.text()} WHERE {_key(p)}"


def _dead_letter(table: str, dialect: Dialect) -> str:
    p = Placeholders(dialect)
    columns = 'at, connector, stream, reason, operation, position, "row"'
    return f"INSERT INTO {table} ({columns}) VALUES ({dialect.now}, {p.texts(5)}, {p.json()})"


def _incident(table: str, dialect: Dialect) -> str:
    p = Placeholders(dialect)
    columns = "at, connector, stream, kind, subject, message, detail, position"
    return f"INSERT INTO {table} ({columns}) VALUES ({dialect.now}, {p.texts(5)}, {p.json()}, {p.text()})"


def build_table_statements(names: TableNames, dialect: Dialect) -> TableStatements:
    """Builds the statements for the tables of one stream."""
    return TableStatements(
        create_dead_letters=_create(CREATE_DEAD_LETTERS, names.dead_letters, dialect),
        create_incidents=_create(CREATE_INCIDENTS, names.incidents, dialect),
        dead_letter=_dead_letter(names.dead_letters, dialect),
        incident=_incident(names.incidents, dialect),
    )


def build_ledger_statements(names: TableNames, dialect: Dialect) -> LedgerStatements:
    """Builds the statements for the checkpoint table beside a table."""
    table, listed = names.checkpoints, ", ".join(COLUMNS)
    key = _key(Placeholders(dialect))
    return LedgerStatements(
        create_checkpoints=_create(CREATE_CHECKPOINTS, table, dialect),
        read=f"SELECT {listed} FROM {table} WHERE {key}",
        read_table=f"SELECT {listed} FROM {table} WHERE table_name = {Placeholders(dialect).text()}",
        read_connector=f"SELECT {listed} FROM {table} WHERE connector = {Placeholders(dialect).text()}",
        read_all=f"SELECT {listed} FROM {table}",
        claim=_claim(table, dialect),
        adopt=_adopt(table, dialect),
        move=_move(table, dialect),
        release=(
            f"UPDATE {table} SET epoch = epoch + 1, uid = '', run = 0, identity = '', position = NULL, "
            f"updated = {dialect.now} WHERE {key}"
        ),
        remove=f"DELETE FROM {table} WHERE {key}",
        commit=_advance(table, dialect, moves=True),
        touch=_advance(table, dialect, moves=False),
        place=_beside(table, dialect, moves=True),
        version=_beside(table, dialect, moves=False),
        hold=_hold(table, dialect),
        fence=f"UPDATE {table} SET epoch = epoch + 1, uid = '', run = 0, updated = {dialect.now} WHERE {key}",
    )
