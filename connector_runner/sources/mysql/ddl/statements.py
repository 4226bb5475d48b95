"""What the statements of a log mean for tables, read in order, with regard to temporary tables of the same name.

A temporary table hides the table of the same name from the session that created it. The log marks statements that use a temporary
table (LOG_EVENT_THREAD_SPECIFIC_F), but not which one; so temporary tables are tracked by session from their CREATE.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.query_event import Query, parse_query
from connector_runner.sources.mysql.ddl.effects import Effect, Meaning, read_meaning, renamed_effect
from connector_runner.sources.mysql.ddl.name_index import NameIndex
from connector_runner.sources.mysql.ddl.new_tables import new_tables
from connector_runner.sources.mysql.types.names import TableName, fold_table

Session = tuple[int, int]  # server id, thread
_NO_TABLE = ("", "")
_HALF_ALTER = events.START_ALTER | events.ROLLBACK_ALTER


class Statements:
    """Decides for one statement after the other what it means for one table or several.

    Args:
        table: (database, name) of the table.
        is_mariadb: Whether the dialect is MariaDB's.
        folds_case: Whether lower_case_table_names is not 0.
        charsets: Names of character sets by the number of a collation.
        shadows: Sessions that have a temporary table of its name, in the form of the property `shadows`.
    """

    def __init__(
        self, table: TableName, *, is_mariadb: bool, folds_case: bool = False, charsets: Mapping[int, str] | None = None,
        shadows: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self._is_mariadb, self._folds_case, self._charsets = is_mariadb, folds_case, charsets or {}
        self._table = fold_table(table, folds_case=folds_case)
        self._tables = {self._table}
        self._index: NameIndex | None = None
        self._temporary: dict[Session, set[TableName]] = {}
        self._alter_phase = 0
        self.changed: set[TableName] = set()  # names of temporary tables that were created or dropped
        self.follow(table, shadows)

    def follow(self, table: TableName, shadows: Iterable[str] = ()) -> None:
        """Checks statements for another table as well; `shadows` are the sessions that have a temporary table of its name."""
        table = fold_table(table, folds_case=self._folds_case)
        self._tables.add(table)
        self._index = None
        for text in shadows:
            self._temporary.setdefault(_parse_session(text), set()).add(table)

    def leave(self, table: TableName) -> None:
        """Stops checking statements for a table."""
        self._tables.discard(fold_table(table, folds_case=self._folds_case))
        self._index = None

    @property
    def shadows(self) -> tuple[str, ...]:
        """Sessions that have a temporary table of the (first) table's name."""
        return self.shadows_of(self._table)

    def shadows_of(self, table: TableName) -> tuple[str, ...]:
        """Sessions that have a temporary table of a table's name."""
        if not self._temporary:
            return ()
        return tuple(
            f"{server}-{thread}" for (server, thread), names in sorted(self._temporary.items()) if table in names
        )

    def copy(self, table: TableName) -> Statements:
        """A copy that can read on for one of the tables without changing this one."""
        other = Statements(table, is_mariadb=self._is_mariadb, folds_case=self._folds_case, charsets=self._charsets)
        other._temporary = {session: set(names) for session, names in self._temporary.items()}
        return other

    def begin(self, alter_phase: int) -> None:
        """Begins a transaction of MariaDB.

        Args:
            alter_phase: The phase of an ALTER TABLE that is logged when it starts and when it ends, see `events.parse_alter_phase`.
        """
        self._alter_phase = alter_phase

    def forget(self, server: int) -> None:
        """Forgets the temporary tables of a server's sessions: the server was started, so they no longer exist."""
        for session in [session for session in self._temporary if session[0] == server]:
            self.changed |= self._temporary.pop(session)

    def read(
        self, body: bytes, server: int, flags: int, *, is_compressed: bool = False, is_load: bool = False
    ) -> Query:
        """Reads a statement from the body of its event, in the session's own character set."""
        return parse_query(body, server, flags, self._charsets, is_compressed=is_compressed, is_load=is_load)

    def effect_of(self, query: Query) -> Effect:
        """What a statement does to the (first) table."""
        return self.effects_of(query).get(self._table, Effect.NONE)

    def effects_of(self, query: Query) -> dict[TableName, Effect]:
        """What a statement does to each of the tables that it affects; tables that it does not name cost nothing.

        A statement whose bytes can be read in two ways has the effects of both.
        """
        effects = self._effects_of_text(query)
        if query.in_utf8:
            effects = self._effects_of_text(replace(query, statement=query.in_utf8)) | effects
        return effects

    def _effects_of_text(self, query: Query) -> dict[TableName, Effect]:
        if self._alter_phase & _HALF_ALTER:  # the table changes when the ALTER ends successfully
            return {}
        named: Iterable[TableName] = self._tables
        if len(self._tables) > 1:
            self._index = self._index or NameIndex(self._tables)
            named = self._index.find(query, is_mariadb=self._is_mariadb)
        own = self._temporary.get((query.server, query.thread), set())
        if not named and not query.uses_temporary and not own:
            return {}
        meanings = {table: self._read(query, table) for table in named}
        # What it means for temporary tables does not depend on which table is checked.
        common = next(iter(meanings.values()), None) or self._read(query, _NO_TABLE)
        if common.subject is None and common.renamed:
            effects = self._rename(common, own, meanings)
        else:
            effects = {table: self._of_table(meaning, query, own) for table, meaning in meanings.items()}
            if query.uses_temporary:
                self._follow(common, query, own)
        if query.has_failed:  # CREATE OR REPLACE TABLE is logged also when it failed once the old table was gone
            effects = {
                table: Effect.DROPPED if effect is Effect.REPLACED else effect for table, effect in effects.items()
            }
        return {table: effect for table, effect in effects.items() if effect is not Effect.NONE}

    def new_tables(self, query: Query) -> list[TableName]:
        """The tables that a statement brings into being and that are not checked."""
        if self._alter_phase & _HALF_ALTER or query.uses_temporary:
            return []
        found = new_tables(
            query.statement, query.database,
            sql_mode=query.sql_mode, folds_case=self._folds_case, is_mariadb=self._is_mariadb,
        )  # fmt: skip
        return [table for table in found if table not in self._tables]

    def _read(self, query: Query, table: TableName) -> Meaning:
        return read_meaning(
            query.statement, query.database, table,
            sql_mode=query.sql_mode, folds_case=self._folds_case, is_mariadb=self._is_mariadb,
        )  # fmt: skip

    def _of_table(self, meaning: Meaning, query: Query, own: set[TableName]) -> Effect:
        if meaning.effect is Effect.NONE or meaning.subject is None or not query.uses_temporary:
            return meaning.effect
        if meaning.subject in own:
            return Effect.NONE
        # Rows may come from a temporary table of another name. Any other effect is on its subject, which is a temporary table.
        return Effect.STATEMENT if meaning.effect is Effect.STATEMENT else Effect.SHADOWED

    def _follow(self, meaning: Meaning, query: Query, own: set[TableName]) -> None:
        own = {*own} - set(meaning.dropped)
        if meaning.created is not None:
            own.add(meaning.created)
        for old, new in meaning.renamed:
            if old in own:
                own = own - {old} | {new}
        self.changed |= own ^ self._temporary.pop((query.server, query.thread), set())
        if own:
            self._temporary[query.server, query.thread] = own

    def _rename(self, meaning: Meaning, own: set[TableName], tables: Iterable[TableName]) -> dict[TableName, Effect]:
        """Applies RENAME TABLE: MariaDB renames temporary tables first (not marked in the log), MySQL none."""
        others = list(meaning.renamed)
        if self._is_mariadb:
            others = []
            for old, new in meaning.renamed:
                if old in own:
                    own.remove(old)
                    own.add(new)
                    self.changed |= {old, new}
                else:
                    others.append((old, new))
        return {table: renamed_effect(others, table) for table in tables}


def _parse_session(text: str) -> Session:
    server, _, thread = text.partition("-")
    return int(server), int(thread)
