"""The streams of a server: its tables and views, with the modes that each can have and why not the others."""

from __future__ import annotations

from collections.abc import Iterable

from connector_runner.protocols.errors import UnknownStreamError
from connector_runner.schemas.catalogue import Catalogue, ColumnInfo, StreamInfo
from connector_runner.schemas.selection import say_near
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.server.definitions import SYSTEM_DATABASES, read_tables
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.preflight import assess, server_problems
from connector_runner.sources.mysql.server.shadow_tables import shadow_of
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.types.table import FoundTable

STREAM_PARTS = {"database": "the table's database", "name": "the table"}
"""What a stream's name consists of, by the words that templates of tables use."""


def read_account(connection: Connection) -> str:
    """The account as SQL statements name it: 'user'@'host'."""
    user, _, host = str(connection.value("SELECT CURRENT_USER()")).rpartition("@")
    return f"'{user}'@'{host}'"


def read_catalogue(connection: Connection, server: Server, settings: Settings, wanted: Iterable[str]) -> Catalogue:
    """All streams of the configured database, or of all databases; the wanted ones are included if they exist anywhere."""
    account = read_account(connection)
    found = read_tables(connection, settings.database)
    known = {table.definition.id for table in found}
    for stream in dict.fromkeys(wanted):
        if stream not in known:
            found += _read_named(connection, stream)
    names: dict[str, set[str]] = {}
    for table in found:
        names.setdefault(table.definition.database, set()).add(table.definition.name)
    streams = tuple(
        _stream(server, table, account, settings, shadow_of(table.definition.name, names[table.definition.database]))
        for table in found
    )
    notes = _notes(server, account) + _same_ids(found)
    return Catalogue(streams, len(streams), server.identity, tuple(notes))


def _same_ids(found: list[FoundTable]) -> list[str]:
    """Notes about tables that can't be selected because another table has the same id."""
    first: dict[str, FoundTable] = {}
    notes = []
    for table in sorted(found, key=lambda table: len(table.definition.database)):
        other = first.setdefault(table.definition.id, table).definition
        if table.definition is not other:
            notes.append(
                f"{table.definition.id} is the table {other.name} of the database {other.database}; the table "
                f"{table.definition.name} of the database {table.definition.database} has the same id and can't be selected"
            )
    return notes


def _stream(server: Server, table: FoundTable, account: str, settings: Settings, aside: str) -> StreamInfo:
    definition = table.definition
    assessment = assess(server, table, account, ignores_cascades=settings.ignores_cascades)
    columns = []
    for column in definition.columns:
        try:
            logical = str(column.logical)
        except LookupError:
            logical = f"unsupported ({column.sql_type})"
        columns.append(ColumnInfo(column.name, logical, column.nullable and column.name not in definition.key))
    return StreamInfo(
        id=definition.id,
        key=definition.key,
        modes=assessment.modes,
        unavailable=assessment.unavailable,
        columns=tuple(columns),
        rows=table.rows,
        description=f"The {table.kind.lower().replace('base table', 'table')} {definition.id}.",
        parts=dict(zip(STREAM_PARTS, (definition.database, definition.name), strict=True)),
        aside=aside,
        obstacle=assessment.unavailable.get(settings.mode.value, ""),
    )


def _notes(server: Server, account: str) -> list[str]:
    notes = [f"LOG_BASED: {problem}" for problem in server_problems(server, account)]
    if server.filters is None:
        privilege = "BINLOG MONITOR" if server.is_mariadb else "REPLICATION CLIENT"
        notes.append(
            f"whether binlog_do_db or binlog_ignore_db hide databases can't be seen without {privilege}: "
            f"GRANT {privilege} ON *.* TO {account}"
        )
    if server.variables.get("binlog_row_metadata", "").upper() != "FULL":
        notes.append(
            "binlog_row_metadata is not FULL: several definition changes in a row can't be followed while the connector is "
            "behind; SET GLOBAL binlog_row_metadata = 'FULL'"
        )
    return notes


def _read_named(connection: Connection, stream: str) -> list[FoundTable]:
    """The table of an id. Names may contain dots: of several tables with one id it is the one with the shortest database name."""
    parts = stream.split(".")
    for place in range(1, len(parts)):
        database, name = ".".join(parts[:place]), ".".join(parts[place:])
        if (
            database
            and name
            and database not in SYSTEM_DATABASES
            and (found := read_tables(connection, database, name))
        ):
            return found
    return []


def find_table(connection: Connection, settings: Settings, stream: str) -> FoundTable:
    """The selected table.

    Raises:
        UnknownStreamError: It does not exist or the account may not see it; the message suggests some that it may see.
    """
    found = _read_named(connection, stream)
    if found:
        return found[0]
    names = [table.definition.id for table in read_tables(connection, settings.database)]
    known = say_near(stream, names) if names else "the account may read no table at all"
    raise UnknownStreamError(
        f"selectedStream: {stream!r} is no table that {settings.user!r} may read ({len(names)} are, as database.table); {known}"
    )
