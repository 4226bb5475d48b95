"""What the statements of a log mean for one table, read in order: also those on temporary tables that have its name.

A temporary table hides the table of its name from the session that made it. The log marks a statement that uses some temporary
table (LOG_EVENT_THREAD_SPECIFIC_F), not which one; so they are followed by session from their CREATE.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.query_event import Query, parse_query
from connector_runner.sources.mysql.ddl.effects import Effect, Meaning, read_meaning, renamed_effect
from connector_runner.sources.mysql.types.names import TableName, fold_table

Session = tuple[int, int]  # server id, thread
_HALF_ALTER = events.START_ALTER | events.ROLLBACK_ALTER


class Statements:
    """Judges one statement after the other.

    Args:
        table: (database, name) of the table.
        is_mariadb: The dialect.
        folds_case: lower_case_table_names is not 0.
        charsets: Names of character sets by the number of a collation.
        shadows: Sessions that have a temporary table of its name, as `shadows` gives them.
    """

    def __init__(
        self, table: TableName, *, is_mariadb: bool, folds_case: bool = False, charsets: Mapping[int, str] | None = None,
        shadows: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self._table = fold_table(table, folds_case=folds_case)
        self._is_mariadb, self._folds_case, self._charsets = is_mariadb, folds_case, charsets or {}
        self._temporary: dict[Session, set[TableName]] = {_parse_session(text): {self._table} for text in shadows}
        self._alter_phase = 0

    @property
    def shadows(self) -> tuple[str, ...]:
        """Sessions that have a temporary table of the table's name."""
        return tuple(
            f"{server}-{thread}" for (server, thread), names in sorted(self._temporary.items()) if self._table in names
        )

    def copy(self) -> Statements:
        """One that can read on without this one changing."""
        other = Statements(
            self._table, is_mariadb=self._is_mariadb, folds_case=self._folds_case, charsets=self._charsets
        )
        other._temporary = {session: set(names) for session, names in self._temporary.items()}
        return other

    def begin(self, alter_phase: int) -> None:
        """A transaction of MariaDB begins.

        Args:
            alter_phase: Of an ALTER TABLE that is logged when it starts and when it ends, see `events.parse_alter_phase`.
        """
        self._alter_phase = alter_phase

    def forget(self, server: int) -> None:
        """A server was started: its sessions' temporary tables are gone."""
        for session in [session for session in self._temporary if session[0] == server]:
            del self._temporary[session]

    def read(
        self, body: bytes, server: int, flags: int, *, is_compressed: bool = False, is_load: bool = False
    ) -> Query:
        """A statement from the body of its event, in the session's own character set."""
        return parse_query(body, server, flags, self._charsets, is_compressed=is_compressed, is_load=is_load)

    def judge(self, query: Query) -> Effect:
        """What a statement does to the table."""
        if self._alter_phase & _HALF_ALTER:  # the table changes at its end, if it has a good one
            return Effect.NONE
        meaning = read_meaning(
            query.statement, query.database, self._table,
            sql_mode=query.sql_mode, folds_case=self._folds_case, is_mariadb=self._is_mariadb,
        )  # fmt: skip
        own = self._temporary.get((query.server, query.thread), set())
        if meaning.subject is None and meaning.renamed:
            return self._rename(meaning, own)
        effect = self._of_table(meaning, query, own)
        if query.uses_temporary:
            self._follow(meaning, query, own)
        return effect

    def _of_table(self, meaning: Meaning, query: Query, own: set[TableName]) -> Effect:
        if meaning.effect is Effect.NONE or meaning.subject is None or not query.uses_temporary:
            return meaning.effect
        if meaning.subject in own:
            return Effect.NONE
        # Rows may come from a temporary table of another name. All else is about its subject, which is a temporary table.
        return Effect.STATEMENT if meaning.effect is Effect.STATEMENT else Effect.SHADOWED

    def _follow(self, meaning: Meaning, query: Query, own: set[TableName]) -> None:
        own = {*own} - set(meaning.dropped)
        if meaning.created is not None:
            own.add(meaning.created)
        for old, new in meaning.renamed:
            if old in own:
                own = own - {old} | {new}
        self._temporary.pop((query.server, query.thread), None)
        if own:
            self._temporary[query.server, query.thread] = own

    def _rename(self, meaning: Meaning, own: set[TableName]) -> Effect:
        """RENAME TABLE renames temporary tables first on MariaDB (unmarked in the log), and none on MySQL."""
        if not self._is_mariadb:
            return meaning.effect
        others = []
        for old, new in meaning.renamed:
            if old in own:
                own.remove(old)
                own.add(new)
            else:
                others.append((old, new))
        return renamed_effect(others, self._table)


def _parse_session(text: str) -> Session:
    server, _, thread = text.partition("-")
    return int(server), int(thread)
