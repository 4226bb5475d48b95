"""Decides what the log alone does not show: how to continue after a statement on the table. No I/O.

The server returns the *present* definition; the log may be behind. So the rest of the log is first searched for a later statement
on the table: without one, the present definition was valid then, too. With one, only names in the log's table maps
(binlog_row_metadata=FULL) give the definition; else the stream stops with the statement, and never decodes with the wrong columns.

Questions to the server are yielded; the answer is sent back.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TypeVar

from connector_runner.protocols.batch import Incident
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog.map_matching import build_definition, describes
from connector_runner.sources.mysql.binlog.table_map import TableMap
from connector_runner.sources.mysql.ddl.alterations import Change, change_by_text, may_remove_key
from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.ddl.old_rows import dropped_since, find_change, needs_other_types, remember_dropped
from connector_runner.sources.mysql.errors import UnknownDefinitionError
from connector_runner.sources.mysql.log_reader.log_batch import Again, Interruption
from connector_runner.sources.mysql.log_reader.lookahead import Lookahead
from connector_runner.sources.mysql.log_reader.prepared import FOUND_BYTES, PreparedSearch, Wanted
from connector_runner.sources.mysql.log_reader.questions import (
    Answer,
    Context,
    Decision,
    DescribeTable,
    FindPrepared,
    LookAhead,
    Question,
)
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.preflight import table_problems
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.types.labels import unreadable_after
from connector_runner.sources.mysql.types.table import FoundTable, TableDefinition

Result = TypeVar("Result")
Asking = Generator[Question, Answer, Result]


def suspects_after(known: TableDefinition, found: Interruption) -> tuple[str, ...]:
    """The statements that may have removed the key since the last certain definition, this one included; at most five."""
    if not found.statement or not may_remove_key(found.alteration, known):
        return known.suspects
    return (*known.suspects, found.statement)[:5]


_REASONS = {Effect.INCOMPLETE: "IncompleteRows"}
# How long a table that was dropped or renamed away may take to be there again: a restored dump and a migration in two
# statements bring it back at once.
RETURN_SECONDS = 10.0


def build_gone_error(known: TableDefinition, what: str = "") -> ActionRequiredError:
    """The error for a table that is gone; without `what` removed it, the log does not say."""
    what = what or f"is {Effect.VANISHED.value} (a CREATE OR REPLACE DATABASE that failed, SET sql_log_bin = 0)"
    return ActionRequiredError(
        f"{known.id} {what}. The dataset keeps its last state; select another stream, or start over once the table is there again",
        reason="TableGone",
    )


class Decisions:
    """Decides by the configuration and the server's facts.

    Args:
        settings: The configuration.
        server: The server's facts.
        waits: Whether the log may wait for a table that is gone; not where other tables are followed, too.
    """

    def __init__(self, settings: Settings, server: Server, *, waits: bool = True) -> None:
        self._settings, self._server = settings, server
        self._waits = waits
        self._search: PreparedSearch | None = None  # the last one: it is the same for all tables

    def decide(self, found: Interruption, context: Context) -> Asking[Decision]:
        """Decides how the log continues after an interruption.

        Raises:
            ActionRequiredError: The table can't be followed any further; the message names the statement, and its place in the log.
        """
        place = context.position.place
        try:
            decision = yield from self._decide(found, context)
        except ActionRequiredError as error:
            error.add(f" ({place})")
            raise
        definition = decision.definition
        if not found.statement or definition == context.known:
            return decision
        return replace(decision, definition=replace(definition, since=f"{found.statement} ({place})"))

    def _decide(self, found: Interruption, context: Context) -> Asking[Decision]:
        known = context.known
        match found.effect:
            case Effect.TRUNCATED:
                message = f"{known.id} was emptied by: {found.statement}"
                incident = Incident("truncate", known.id, message, {"statement": found.statement})
                return Decision(known, Again.CLEAR, incident)
            case Effect.ALTERED:
                return (yield from self._altered(found, context))
            case Effect.DROPPED | Effect.RENAMED | Effect.VANISHED:
                return (yield from self._gone(found, context))
            case Effect.COMMITTED:
                return (yield from self._committed(found, context))
            case Effect.DENIED:
                raise ActionRequiredError(
                    f"{known.id}: the account lacks SELECT now: GRANT SELECT ON `{known.database}`.`{known.name}` to it. What the log has of "
                    "the table waits until then",
                    reason="MissingGrant",
                )
            case Effect.GENERATED:
                # A copy would not help: the next update is incomplete too, so that copies might never end.
                raise ActionRequiredError(
                    f"{known.id}: {found.effect.value} can't be followed, nor made good by copies: {found.statement}. Or copy it by "
                    "mode FULL_TABLE",
                    reason="IncompleteRows",
                )
            case _:
                why = f"{found.effect.value}, which the log does not show row by row"
                return (yield from self._gap(why, found, context, replaces=found.effect is Effect.REPLACED))

    def _gone(self, found: Interruption, context: Context) -> Asking[Decision]:
        """The table is copied if there is one of its name again, and a gap may be closed so."""
        known, is_logged = context.known, found.effect is not Effect.VANISHED
        current = None
        if self._settings.resnapshots:
            patience = RETURN_SECONDS if self._waits else 0.0
            current = yield DescribeTable(known.database, known.name, patience)
        if current is not None:
            _, ahead = yield from self._ask(found, context)
            if ahead.replaces:  # that statement is decided next, and means a copy
                return Decision(known)
            definition = (yield from self._after(found, context))[0]
            why = f"it was {found.effect.value} by: {found.statement}" if is_logged else f"it was {found.effect.value}"
            return self._restarted(known, definition, f"{why}; it is there again", found.statement)
        raise build_gone_error(known, f"was {found.effect.value} by: {found.statement}" if is_logged else "")

    def _committed(self, found: Interruption, context: Context) -> Asking[Decision]:
        """A prepared transaction commits: its rows are in the log before, unless that part of it is gone."""
        wanted = Wanted(found.xid, context.position, context.followed)
        if self._search is None or self._search.wanted != wanted:
            self._search = PreparedSearch(wanted, self._server)
            yield FindPrepared(self._search)
        search = self._search
        if search.events is not None:
            return Decision(context.known, replay=tuple(search.events))
        if search.is_too_large:
            why = f"more than {FOUND_BYTES >> 20} MB of {found.effect.value} are committed by"
        else:
            why = f"{found.effect.value}, which the log no longer has (it begins with {search.oldest}), may be committed by"
        return (yield from self._gap(why, found, context))

    def _gap(self, why: str, found: Interruption, context: Context, *, replaces: bool = False) -> Asking[Decision]:
        known, why = context.known, f"{why}: {found.statement}"
        if not self._settings.resnapshots:
            raise ActionRequiredError(
                f"{known.id}: {why}. Set onLogGap: resnapshot to have the table copied again in such a case",
                reason=_REASONS.get(found.effect, "LogGap"),
            )
        definition = (yield from self._after(found, context))[0] if replaces else known
        return self._restarted(known, definition, why, found.statement)

    def _altered(self, found: Interruption, context: Context) -> Asking[Decision]:
        known, alteration = context.known, found.alteration
        after, is_last = yield from self._after(found, context)
        if not is_last and alteration.has_cascades and not self._may_cascade:
            why = "until a later statement its rows may have been changed by a foreign key"
            return (yield from self._gap(why, found, replace(context, known=replace(after, is_guess=True))))
        definition = replace(after, dropped=remember_dropped(known, after, alteration))
        statement = found.statement or "a statement before the log's rows"
        change = find_change(known, after, alteration)
        may_copy = self._settings.resnapshots and self._settings.copies
        if may_copy and change is not Change.KEYS and needs_other_types(known, definition):
            return self._restarted(known, definition, f"columns may have other types since: {statement}", statement)
        match change:
            case Change.NONE:
                return Decision(definition)
            case Change.KEYS:
                why = (
                    "rows may have been removed by"
                    if alteration.ignores
                    else "it may have another key, or other values in its key, since"
                )
                if not self._settings.copies and not self._settings.resnapshots:
                    return (yield from self._gap(why, found, context))
                return self._restarted(known, definition, f"{why}: {statement}", statement)
            case _:
                return self._refreshed(definition, statement)

    @property
    def _may_cascade(self) -> bool:
        return self._settings.ignores_cascades or self._server.logs_cascades

    def _refreshed(self, definition: TableDefinition, statement: str) -> Decision:
        consequence = "they are read again"
        if not self._settings.copies:
            consequence = (
                "with snapshot: never they are not read again, and those in the dataset keep the values they had"
            )
        message = f"{definition.id}: rows may have changed without the log showing it by: {statement}; {consequence}"
        incident = Incident("refresh", definition.id, message, {"statement": statement})
        return Decision(definition, Again.REFRESH if self._settings.copies else None, incident)

    def _restarted(self, known: TableDefinition, definition: TableDefinition, why: str, statement: str) -> Decision:
        message = f"{definition.id}: {why}; it is copied again"
        incident = Incident("resnapshot", definition.id, message, {"statement": statement})
        if not self._settings.resnapshots:
            return Decision(replace(definition, dropped=()), Again.RESTART, incident)
        # Whoever chose `onLogGap: resnapshot` has the dataset's table emptied and filled: it may get other types then, too.
        return Decision(replace(definition, dropped=dropped_since(known, definition)), Again.RENEW, incident)

    def _after(self, found: Interruption, context: Context) -> Asking[tuple[TableDefinition, bool]]:
        """The definition right after the statement, and whether it is the last one; else it may be a guess that matches the next rows."""
        known, mapped = context.known, found.table_map
        current, ahead = yield from self._ask(found, context)
        later = ahead.later
        if later is None and current is not None and (mapped is None or self._describes(mapped, current.definition)):
            self._require_key(current.definition, suspects_after(known, found))
            self.require_followable(current, found.statement)
            self._require_labels(known, current.definition, found.statement)
            return current.definition, True
        alteration, suspects = found.alteration, suspects_after(known, found)
        if mapped is None and alteration.keeps_columns:
            is_same = change_by_text(alteration, known) is Change.NONE
            return replace(known, is_guess=known.is_guess or not is_same, suspects=suspects), False
        table_map = mapped or ahead.table_map
        if later is not None and table_map is None:
            # Without rows up to the next statement, the definition between them does not matter; that statement is decided next.
            # But a dataset must accept it: the later statement may be the one that made the table unreadable, or removed its key.
            is_readable = current is not None and current.definition.key and not current.definition.problems()
            definition = current.definition if current and is_readable else known
            return replace(definition, is_guess=True, suspects=suspects), False
        if table_map is not None and table_map.names:
            definition = self._from_map(table_map, known, None if current is None else current.definition)
            self._require_key(definition, suspects)
            self._require_readable(definition, found.statement)
            return replace(definition, suspects=suspects), False
        raise UnknownDefinitionError(
            f"{known.id} was changed by: {found.statement or 'an unknown statement'}, and again by: {later or 'another one'}; with "
            "binlog_row_metadata below FULL the log does not say what the rows between them look like. Set binlog_row_metadata = "
            "'FULL' for the future, and copy the table again (by itself with onLogGap: resnapshot)"
        )

    def _ask(self, found: Interruption, context: Context) -> Asking[tuple[FoundTable | None, Lookahead]]:
        """The present table, and what the log has between here and now; both of the same moment."""
        describe = DescribeTable(context.known.database, context.known.name)
        while True:
            current = yield describe
            ahead = Lookahead(
                context.known,
                context.statements.copy((context.known.database, context.known.name)),
                self._server,
                1 if found.statement else 0,
            )
            yield LookAhead(context.position, ahead)
            if ahead.later is not None or current is None or (yield describe) == current:
                return current, ahead
            # The table was altered meanwhile, and the log now has the statement.

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
        self._require_key(definition, (since,))

    def _require_key(self, definition: TableDefinition, suspects: tuple[str, ...]) -> None:
        """Refuses a table without a key; `suspects` are the statements that may have removed it, if any is known."""
        if definition.key or not suspects:
            return
        since = suspects[0] if len(suspects) == 1 else f"one of {'; '.join(suspects)}"
        raise ActionRequiredError(
            f"{definition.id} lost its key by: {since}. Add a primary key or a unique index without NULLs",
            reason="NoKey",
        )

    def _require_labels(self, before: TableDefinition, after: TableDefinition, statement: str) -> None:
        """Refuses labels that `CONVERT TO` made unreadable: without names in the log, rows would have what the server shows of them."""
        if before.is_guess or self._server.variables.get("binlog_row_metadata", "").upper() == "FULL":
            return
        known = {column.name: column for column in before.columns}
        for column in after.columns:
            if column.name in known and (label := unreadable_after(known[column.name], column)) is not None:
                raise ActionRequiredError(
                    f"{after.id}: column {column.name}: its label {label!r} is not valid text in {column.charset} since: {statement}. It left the "
                    "bytes of labels as they were: define the labels again (ALTER TABLE … MODIFY the column with its whole type), and "
                    "copy the table again (`connector-runner checkpoint reset`)",
                    reason="UnreadableLabel",
                )

    def require_followable(self, table: FoundTable, statement: str) -> None:
        """Checks a table after each statement on it by the same rules as before it is followed.

        Raises:
            ActionRequiredError: It can't be followed any further; the message names the statement.
        """
        self._require_readable(table.definition, statement)
        ignores = self._settings.ignores_cascades
        if problems := table_problems(self._server, table, "the account", ignores_cascades=ignores):
            raise ActionRequiredError(
                f"{table.definition.id} can't be followed any more since: {statement or 'an unknown statement'}: {'; '.join(problems)}",
                reason="Preflight",
            )
