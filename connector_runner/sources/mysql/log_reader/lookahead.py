"""Searches the log ahead: the next statement on a table, and the table map of the rows before it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.events import HEADER_SIZE, Event, read_header
from connector_runner.sources.mysql.binlog.packets import EventStream
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.binlog.table_map import TableMap, parse_table_map
from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.ddl.statements import Statements
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.types.names import fold_table
from connector_runner.sources.mysql.types.table import TableDefinition

_KEEP_DEFINITION = frozenset({Effect.NONE, Effect.STATEMENT, Effect.TRUNCATED})


class Lookahead:
    """Reads the log until the next statement that changes the definition.

    Args:
        known: The table's definition.
        statements: Decides what statements mean; continues from its present state.
        server: The server's facts.
        passes: How many such statements are skipped.

    Attributes:
        later: The statement.
        replaces: Whether it puts another table in the place of this one.
        table_map: Of the first rows of the table before it.
    """

    def __init__(self, known: TableDefinition, statements: Statements, server: Server, passes: int) -> None:
        self._server, self._statements, self._passes = server, statements, passes
        self._table = fold_table((known.database, known.name), folds_case=server.folds_case)
        self._stream = EventStream(self._look)
        self.later: str | None = None
        self.replaces = False
        self.table_map: TableMap | None = None

    @property
    def is_done(self) -> bool:
        """Whether the statement was found, or the log has no more."""
        return self.later is not None or self._stream.has_ended

    def receive_data(self, data: bytes) -> None:
        """Receives bytes of the log as the server sends them."""
        self._stream.receive_data(data)

    def _look(self, buffer: bytes, start: int, end: int, _offset: int) -> None:
        if self.later is not None:
            return
        _, kind, server, _, _, flags = read_header(buffer, start)
        body = buffer[start + HEADER_SIZE : end]
        if kind == Event.TABLE_MAP and self.table_map is None:
            table_map = parse_table_map(body[8:], is_mariadb=self._server.is_mariadb)
            if fold_table((table_map.database, table_map.table), folds_case=self._server.folds_case) == self._table:
                self.table_map = table_map
        elif kind == Event.MARIA_GTID:
            self._statements.begin(events.parse_alter_phase(body))
        elif kind in {Event.QUERY, Event.MARIA_QUERY_COMPRESSED}:
            query = self._statements.read(body, server, flags, is_compressed=kind == Event.MARIA_QUERY_COMPRESSED)
            effect = self._statements.effect_of(query)
            if effect not in _KEEP_DEFINITION:
                if self._passes == 0:
                    self.later, self.replaces = query.shown, effect is Effect.REPLACED
                self._passes -= 1


def from_position(known: TableDefinition, position: LogPosition, server: Server) -> Lookahead:
    """A lookahead that begins at a position and knows only the temporary tables that the position has."""
    statements = Statements(
        (known.database, known.name), is_mariadb=server.is_mariadb, folds_case=server.folds_case, charsets=server.charsets,
        shadows=position.shadows,
    )  # fmt: skip
    return Lookahead(known, statements, server, passes=0)


class Changes:
    """Reads the log to its end, for the first statement on each of several tables that changes its definition.

    Args:
        known: The tables; at least one.
        server: The server's facts.
        shadows: Sessions that have a temporary table of the first table's name.
    """

    def __init__(self, known: Sequence[TableDefinition], server: Server, shadows: Iterable[str] = ()) -> None:
        self._statements = Statements(
            (known[0].database, known[0].name), is_mariadb=server.is_mariadb, folds_case=server.folds_case, charsets=server.charsets,
            shadows=shadows,
        )  # fmt: skip
        self._ids = {}
        for table in known:
            name = fold_table((table.database, table.name), folds_case=server.folds_case)
            self._ids[name] = table.id
            self._statements.follow(name)
        self._stream = EventStream(self._look)
        self.found: dict[str, str] = {}

    @property
    def is_done(self) -> bool:
        """Whether the log has no more."""
        return self._stream.has_ended

    def receive_data(self, data: bytes) -> None:
        """Receives bytes of the log as the server sends them."""
        self._stream.receive_data(data)

    def _look(self, buffer: bytes, start: int, end: int, _offset: int) -> None:
        _, kind, server, _, _, flags = read_header(buffer, start)
        body = buffer[start + HEADER_SIZE : end]
        if kind == Event.MARIA_GTID:
            self._statements.begin(events.parse_alter_phase(body))
        elif kind in {Event.QUERY, Event.MARIA_QUERY_COMPRESSED}:
            query = self._statements.read(body, server, flags, is_compressed=kind == Event.MARIA_QUERY_COMPRESSED)
            for name, effect in self._statements.effects_of(query).items():
                if effect not in _KEEP_DEFINITION:
                    self.found.setdefault(self._ids[name], query.shown)
