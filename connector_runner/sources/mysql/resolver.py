"""Answers what the log alone does not say: the table's definition after a statement.

The server tells the definition of *now*; the log may be behind. So the rest of the log is searched for a later statement on
the table first: without one, the definition of now is that of then. With one, only names in the log's table maps
(binlog_row_metadata=FULL) can tell; else the stream stops with the statement, never decoding with the wrong columns.
"""

from __future__ import annotations

from dataclasses import replace

import pymysql

from connector_runner.protocols.batch import Incident
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql import events
from connector_runner.sources.mysql.assembler import Assembler
from connector_runner.sources.mysql.connection import Connection, connect
from connector_runner.sources.mysql.ddl import Effect, effect_of
from connector_runner.sources.mysql.decoders import fold
from connector_runner.sources.mysql.definitions import read_definition
from connector_runner.sources.mysql.events import Event
from connector_runner.sources.mysql.failures import translate
from connector_runner.sources.mysql.logbatch import Again, Question
from connector_runner.sources.mysql.mapped import build_definition
from connector_runner.sources.mysql.position import LogPosition
from connector_runner.sources.mysql.scan import scan
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.table import TableDefinition, keeps_values
from connector_runner.sources.mysql.tablemap import TableMap, parse_table_map

Answer = tuple[TableDefinition, Again | None, Incident | None]
_REASONS = {Effect.INCOMPLETE: "IncompleteRows"}


class Resolver:
    """Answers an assembler's questions, with connections of its own."""

    def __init__(self, settings: Settings, *, folds_case: bool) -> None:
        self._settings = settings
        self._folds_case = folds_case

    def answer(self, assembler: Assembler) -> None:
        """Answers the question there is.

        Raises:
            ActionRequiredError: The table can't be followed any further; the message names the statement.
            TransientError: The server can't be asked now.
        """
        question = assembler.question
        if question is None:
            return
        definition, again, incident = self._decide(question, assembler.definition, assembler.state.position())
        assembler.adopt(definition, again=again, incident=incident)

    def _decide(self, question: Question, known: TableDefinition, position: LogPosition) -> Answer:
        match question.effect:
            case Effect.TRUNCATED:
                message = f"{known.id} was emptied by: {question.statement}"
                return known, Again.CLEAR, Incident("truncate", known.id, message, {"statement": question.statement})
            case Effect.ALTERED:
                return self._altered(question, known, position)
            case Effect.DROPPED | Effect.RENAMED:
                raise ActionRequiredError(
                    f"{known.id} was {question.effect.value} by: {question.statement}. The dataset keeps its last state; select "
                    "another stream, or start over once the table is there again",
                    reason="TableGone",
                )
            case _:
                return self._gap(question, known, position)

    def _gap(self, question: Question, known: TableDefinition, position: LogPosition) -> Answer:
        why = f"{question.effect.value}, which the log does not show row by row: {question.statement}"
        if not self._settings.resnapshots:
            raise ActionRequiredError(
                f"{known.id}: {why}. Set onLogGap: resnapshot to have the table copied again in such a case",
                reason=_REASONS.get(question.effect, "LogGap"),
            )
        definition = self._after(question, known, position) if question.effect is Effect.REPLACED else known
        return self._restarted(definition, why, question.statement)

    def _altered(self, question: Question, known: TableDefinition, position: LogPosition) -> Answer:
        definition = self._after(question, known, position).after(known)
        statement = question.statement or "a statement before the log's rows"
        if question.rewrites.deletes:
            return self._restarted(definition, f"rows may have been removed by: {statement}", statement)
        if definition.key != known.key:
            return self._restarted(definition, f"it has another key since: {statement}", statement)
        if keeps_values(known, definition, question.rewrites):
            return definition, None, None
        message = f"{known.id}: rows may have changed without the log showing it by: {statement}; they are read again"
        return definition, Again.REFRESH, Incident("refresh", known.id, message, {"statement": statement})

    def _restarted(self, definition: TableDefinition, why: str, statement: str) -> Answer:
        message = f"{definition.id}: {why}; it is copied again"
        incident = Incident("resnapshot", definition.id, message, {"statement": statement})
        return replace(definition, dropped=()), Again.RESTART, incident

    def _after(self, question: Question, known: TableDefinition, position: LogPosition) -> TableDefinition:
        """The definition right after the statement."""
        while True:
            current = self._read(known)
            later, between = self._look_ahead(known, position, passes=1 if question.statement else 0)
            if later is not None or current is None or self._read(known) == current:
                break  # else it was altered meanwhile, and the log has the statement now
        if current is not None:
            is_last = later is None and (not question.table_map or current.matches(question.table_map))
            # Without rows up to the next statement it does not matter what they would look like; that one is asked about in turn.
            if is_last or (later is not None and not question.table_map and between is None):
                self._require_readable(current)
                return current
        table_map = question.table_map or between
        if table_map is not None and table_map.names:
            return self._from_map(table_map, known, current)
        raise ActionRequiredError(
            f"{known.id} was changed by: {question.statement or 'an unknown statement'}, and again by: {later or 'another one'}; with "
            "binlog_row_metadata below FULL the log does not say what the rows between them look like. Set binlog_row_metadata = "
            "'FULL' for the future, and copy the table again",
            reason="UnknownDefinition",
        )

    def _from_map(
        self, table_map: TableMap, known: TableDefinition, current: TableDefinition | None
    ) -> TableDefinition:
        if current is not None and current.matches(table_map):
            self._require_readable(current)
            return current
        connection = self._connect()
        try:
            collations = {
                int(number): str(charset)
                for number, charset in connection.rows(
                    "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL"
                )
                if charset is not None
            }
        finally:
            connection.close()
        definition = build_definition(table_map, known, current, collations)
        self._require_readable(definition)
        return definition

    def _require_readable(self, definition: TableDefinition) -> None:
        if problems := definition.problems():
            raise ActionRequiredError(f"{definition.id}: {'; '.join(problems)}", reason="UnsupportedColumn")
        if not definition.key:
            raise ActionRequiredError(
                f"{definition.id} lost its key; add a primary key or a unique index without NULLs", reason="NoKey"
            )

    def _connect(self) -> Connection:
        return connect(self._settings, purpose="definitions")

    def _read(self, known: TableDefinition) -> TableDefinition | None:
        connection = self._connect()
        try:
            return read_definition(connection, known.database, known.name)
        except pymysql.MySQLError as error:
            raise translate(error, f"reading the definition of {known.id}") from None
        finally:
            connection.close()

    def later_statement(self, known: TableDefinition, position: LogPosition) -> str | None:
        """The next statement that alters the table between the position and the log's end."""
        return self._look_ahead(known, position, passes=0)[0]

    def _look_ahead(
        self, known: TableDefinition, position: LogPosition, *, passes: int
    ) -> tuple[str | None, TableMap | None]:
        """The next statement that alters the table, after `passes` of them, and the first table map (of rows) before it."""
        statements: list[str] = []
        maps: list[TableMap] = []

        def look(buffer: bytes, start: int, end: int, _offset: int) -> None:
            kind = buffer[start + 4]
            if len(statements) > passes:
                return
            if kind == Event.TABLE_MAP and not maps:
                table_map = parse_table_map(buffer[start + events.HEADER_SIZE + 8 : end])
                names = (table_map.database, table_map.table), (known.database, known.name)
                if fold(names[0], folds_case=self._folds_case) == fold(names[1], folds_case=self._folds_case):
                    maps.append(table_map)
            elif kind in {Event.QUERY, Event.MARIA_QUERY_COMPRESSED}:
                body = buffer[start + events.HEADER_SIZE : end]
                query = events.parse_query(body, is_compressed=kind == Event.MARIA_QUERY_COMPRESSED)
                effect = effect_of(
                    query.statement, query.database, (known.database, known.name), folds_case=self._folds_case
                )
                if effect not in {Effect.NONE, Effect.STATEMENT, Effect.TRUNCATED}:
                    statements.append(query.statement[:500])

        scan(self._settings, position, look, lambda: len(statements) > passes)
        return statements[passes] if len(statements) > passes else None, maps[0] if maps else None
