"""Answers what the log alone does not say: the table's definition after a statement.

The server tells the definition of *now*; the log may be behind. So the rest of the log is searched for a later statement on
the table first: without one, the definition of now is that of then. With one, only names in the log's table maps
(binlog_row_metadata=FULL) can tell; else the stream stops with the statement, never decoding with the wrong columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pymysql

from connector_runner.protocols.batch import Incident
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog.map_matching import build_definition, describes
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.binlog.table_map import TableMap
from connector_runner.sources.mysql.ddl.alterations import Change, judge_text
from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.ddl.old_rows import judge, remember_dropped
from connector_runner.sources.mysql.ddl.statements import Statements
from connector_runner.sources.mysql.errors import UnknownDefinitionError
from connector_runner.sources.mysql.log_reader.binlog_decoder import BinlogDecoder
from connector_runner.sources.mysql.log_reader.log_batch import Again, Question
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import connect
from connector_runner.sources.mysql.server.definitions import read_table
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.preflight import table_problems
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.lookahead import Lookahead
from connector_runner.sources.mysql.streaming.scan import scan
from connector_runner.sources.mysql.types.table import FoundTable, TableDefinition


@dataclass(frozen=True)
class _Place:
    """Where in the log a question is asked: the definition up to there, the position, and what is known of statements."""

    known: TableDefinition
    position: LogPosition
    statements: Statements


Answer = tuple[TableDefinition, Again | None, Incident | None]
_REASONS = {Effect.INCOMPLETE: "IncompleteRows"}


class Resolver:
    """Answers an assembler's questions, with connections of its own.

    Args:
        settings: Whereto.
        server: Its facts.
    """

    def __init__(self, settings: Settings, server: Server) -> None:
        self._settings, self._server = settings, server

    def answer(self, assembler: BinlogDecoder) -> None:
        """Answers the question there is.

        Raises:
            ActionRequiredError: The table can't be followed any further; the message names the statement.
            TransientError: The server can't be asked now.
        """
        question = assembler.question
        if question is None:
            return
        place = _Place(assembler.definition, assembler.state.position(), assembler.statements)
        definition, again, incident = self._decide(question, place)
        assembler.adopt(definition, again=again, incident=incident)

    def _decide(self, question: Question, place: _Place) -> Answer:
        known = place.known
        match question.effect:
            case Effect.TRUNCATED:
                message = f"{known.id} was emptied by: {question.statement}"
                return known, Again.CLEAR, Incident("truncate", known.id, message, {"statement": question.statement})
            case Effect.ALTERED:
                return self._altered(question, place)
            case Effect.DROPPED | Effect.RENAMED:
                raise ActionRequiredError(
                    f"{known.id} was {question.effect.value} by: {question.statement}. The dataset keeps its last state; select "
                    "another stream, or start over once the table is there again",
                    reason="TableGone",
                )
            case _:
                why = f"{question.effect.value}, which the log does not show row by row"
                return self._gap(why, question, place, replaces=question.effect is Effect.REPLACED)

    def _gap(self, why: str, question: Question, place: _Place, *, replaces: bool = False) -> Answer:
        known, why = place.known, f"{why}: {question.statement}"
        if not self._settings.resnapshots:
            raise ActionRequiredError(
                f"{known.id}: {why}. Set onLogGap: resnapshot to have the table copied again in such a case",
                reason=_REASONS.get(question.effect, "LogGap"),
            )
        definition = self._after(question, place)[0] if replaces else known
        return self._restarted(definition, why, question.statement)

    def _altered(self, question: Question, place: _Place) -> Answer:
        known, alteration = place.known, question.alteration
        after, is_last = self._after(question, place)
        if not is_last and alteration.has_cascades and not self._may_cascade:
            why = "until a later statement its rows may have been changed by a foreign key"
            return self._gap(why, question, replace(place, known=replace(after, is_guess=True)))
        definition = replace(after, dropped=remember_dropped(known, after, alteration))
        statement = question.statement or "a statement before the log's rows"
        match judge(known, after, alteration):
            case Change.NONE:
                return definition, None, None
            case Change.KEYS:
                why = (
                    "rows may have been removed by"
                    if alteration.ignores
                    else "it may have another key, or other values in its key, since"
                )
                if not self._settings.copies and not self._settings.resnapshots:
                    return self._gap(why, question, place)
                return self._restarted(definition, f"{why}: {statement}", statement)
            case _:
                return self._refreshed(definition, statement)

    @property
    def _may_cascade(self) -> bool:
        return self._settings.ignores_cascades or self._server.logs_cascades

    def _refreshed(self, definition: TableDefinition, statement: str) -> Answer:
        told = "they are read again"
        if not self._settings.copies:
            told = "with snapshot: never they are not read again, and those in the dataset keep the values they had"
        message = f"{definition.id}: rows may have changed without the log showing it by: {statement}; {told}"
        incident = Incident("refresh", definition.id, message, {"statement": statement})
        return definition, Again.REFRESH if self._settings.copies else None, incident

    def _restarted(self, definition: TableDefinition, why: str, statement: str) -> Answer:
        message = f"{definition.id}: {why}; it is copied again"
        incident = Incident("resnapshot", definition.id, message, {"statement": statement})
        return replace(definition, dropped=()), Again.RESTART, incident

    def _after(self, question: Question, place: _Place) -> tuple[TableDefinition, bool]:
        """The definition right after the statement, and whether it is the last one; else it may be a guess that fits the rows that follow."""
        known, mapped = place.known, question.table_map
        while True:
            current = self._read(known)
            later, between = self._look_ahead(place, passes=1 if question.statement else 0)
            if later is not None or current is None or self._read(known) == current:
                break  # else it was altered meanwhile, and the log has the statement now
        if later is None and current is not None and (mapped is None or self._describes(mapped, current.definition)):
            self._require_followable(current, question.statement)
            return current.definition, True
        alteration = question.alteration
        if mapped is None and alteration.keeps_columns:
            is_same = judge_text(alteration, known) is Change.NONE
            return known if is_same else replace(known, is_guess=True), False
        table_map = mapped or between
        if later is not None and table_map is None:
            # Without rows up to the next statement it does not matter what they would look like; that one is asked about in turn.
            # But it must be one that a dataset takes: what made the table unreadable, or took its key, is that later statement.
            is_readable = current is not None and current.definition.key and not current.definition.problems()
            return replace(current.definition if current and is_readable else known, is_guess=True), False
        if table_map is not None and table_map.names:
            definition = self._from_map(table_map, known, None if current is None else current.definition)
            self._require_readable(definition, question.statement)
            return definition, False
        raise UnknownDefinitionError(
            f"{known.id} was changed by: {question.statement or 'an unknown statement'}, and again by: {later or 'another one'}; with "
            "binlog_row_metadata below FULL the log does not say what the rows between them look like. Set binlog_row_metadata = "
            "'FULL' for the future, and copy the table again (by itself with onLogGap: resnapshot)"
        )

    def _describes(self, table_map: TableMap, definition: TableDefinition) -> bool:
        return describes(table_map, definition, self._server.charsets)

    def _from_map(
        self, table_map: TableMap, known: TableDefinition, current: TableDefinition | None
    ) -> TableDefinition:
        try:
            return build_definition(table_map, known, current, self._server.charsets)
        except LookupError as error:
            raise UnknownDefinitionError(
                f"{known.id}: the log's rows can't be read: {error.args[0]}. Copy the table again (by itself with onLogGap: resnapshot)"
            ) from None

    def _require_readable(self, definition: TableDefinition, statement: str) -> None:
        since = statement or "an unknown statement"
        if problems := definition.problems():
            raise ActionRequiredError(
                f"{definition.id} can't be read any more since: {since}: {'; '.join(problems)}",
                reason="UnsupportedColumn",
            )
        if not definition.key:
            raise ActionRequiredError(
                f"{definition.id} lost its key by: {since}. Add a primary key or a unique index without NULLs",
                reason="NoKey",
            )

    def _require_followable(self, table: FoundTable, statement: str) -> None:
        """What is asked before a table is followed is asked again after each statement on it."""
        self._require_readable(table.definition, statement)
        ignores = self._settings.ignores_cascades
        if problems := table_problems(self._server, table, "the account", ignores_cascades=ignores):
            raise ActionRequiredError(
                f"{table.definition.id} can't be followed any more since: {statement or 'an unknown statement'}: {'; '.join(problems)}",
                reason="Preflight",
            )

    def _read(self, known: TableDefinition) -> FoundTable | None:
        connection = connect(self._settings, purpose="definitions")
        try:
            return read_table(connection, known.database, known.name)
        except pymysql.MySQLError as error:
            raise translate(error, f"reading the definition of {known.id}") from None
        finally:
            connection.close()

    def later_statement(self, known: TableDefinition, position: LogPosition) -> str | None:
        """The next statement that alters the table between the position and the log's end."""
        server = self._server
        statements = Statements(
            (known.database, known.name), is_mariadb=server.is_mariadb, folds_case=server.folds_case, charsets=server.charsets,
            shadows=position.shadows,
        )  # fmt: skip
        return self._look_ahead(_Place(known, position, statements), passes=0)[0]

    def _look_ahead(self, place: _Place, *, passes: int) -> tuple[str | None, TableMap | None]:
        """The next statement that alters the table, after `passes` of them, and the first table map (of rows) before it."""
        ahead = Lookahead(place.known, place.statements.copy(), self._server, passes)
        scan(self._settings, place.position, ahead.look, lambda: ahead.is_done)
        return ahead.later, ahead.table_map
