"""What a statement in the log means for one table, read from its text.

Row events identify their tables by themselves. Everything else is logged as statements: definitions change, tables are created
and dropped, and sometimes rows change without row events. A statement that is not understood counts if it names the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from connector_runner.sources.mysql.ddl.statement_reader import Reader
from connector_runner.sources.mysql.ddl.tokens import TEXT, Token, split
from connector_runner.sources.mysql.types.names import TableName, fold_table


class Effect(Enum):
    """What happens to the table."""

    NONE = "none"
    ALTERED = "altered"
    TRUNCATED = "truncated"
    DROPPED = "dropped"
    RENAMED = "renamed away"
    REPLACED = "replaced by another table"
    PARTITIONS = "partitions or files exchanged"
    STATEMENT = "rows changed by a statement"
    COMMITTED = "rows of a prepared transaction"
    SHADOWED = "changed by a statement, if it does not mean a temporary table of the same name"
    INCOMPLETE = "rows without some of their columns"
    GENERATED = "updates without generated columns"
    VANISHED = "gone, and the log has no statement that removed it"
    DENIED = "not to be read by the account any more"


@dataclass(frozen=True)
class Meaning:
    """What a statement means for the table.

    Attributes:
        effect: The effect on the table, if its name does not mean a temporary table.
        subject: The table that it changes or empties by a name that a temporary table could hide; else None.
        created, dropped: Temporary tables that it creates and drops.
        renamed: Tables and their new names, one after the other.
    """

    effect: Effect = Effect.NONE
    subject: TableName | None = None
    created: TableName | None = None
    dropped: tuple[TableName, ...] = ()
    renamed: tuple[tuple[TableName, TableName], ...] = ()


NOTHING = Meaning()
_PARTITION_WORDS = frozenset({
    ("EXCHANGE", "PARTITION"), ("TRUNCATE", "PARTITION"), ("DROP", "PARTITION"), ("CONVERT", "PARTITION"), ("CONVERT", "TABLE"),
    ("DISCARD", "TABLESPACE"), ("IMPORT", "TABLESPACE"), ("DISCARD", "PARTITION"), ("IMPORT", "PARTITION"),
})  # fmt: skip
# Statements that may name the table but change neither it nor its rows.
_HARMLESS = frozenset({
    "GRANT", "REVOKE", "FLUSH", "RESET", "SET", "OPTIMIZE", "CHECK", "CHECKSUM", "CACHE", "INSTALL", "UNINSTALL", "CHANGE", "KILL", "USE",
    "EXPLAIN", "DESCRIBE", "DESC", "SHOW", "LOCK", "UNLOCK", "BINLOG", "PURGE",
})  # fmt: skip


def read_meaning(
    statement: str, database: str, table: TableName, *, sql_mode: int = 0, folds_case: bool = False, is_mariadb: bool = False
) -> Meaning:  # fmt: skip
    """Reads what a statement means for a table.

    Args:
        statement: Its text from the log.
        database: The database that it ran in.
        table: (database, name) of the table.
        sql_mode: The session's sql_mode.
        folds_case: Whether the server compares table names without regard to case (lower_case_table_names).
        is_mariadb: Whether the dialect is MariaDB's.
    """
    table = fold_table(table, folds_case=folds_case)
    tokens = split(statement, sql_mode, is_mariadb=is_mariadb)
    first = next(tokens, None)
    if first is not None and first.key == "SET":  # MariaDB: SET STATEMENT … FOR statement
        first = _after_for(tokens)
    rule = _RULES.get("" if first is None else first.key)
    if rule is not None:
        return rule(Reader(list(tokens), database, folds_case=folds_case), table)
    if first is None or first.key in _HARMLESS:
        return NOTHING
    database, _ = fold_table((database, ""), folds_case=folds_case)
    is_named = _names(tokens, database, table, folds_case=folds_case)
    return Meaning(Effect.STATEMENT, table) if is_named else NOTHING


def _after_for(tokens: Iterator[Token]) -> Token | None:
    if (second := next(tokens, None)) is None or second.key != "STATEMENT":
        return Token("SET", "SET")
    for token in tokens:
        if token.key == "FOR":
            return next(tokens, None)
    return None


def _names(tokens: Iterator[Token], database: str, table: TableName, *, folds_case: bool) -> bool:
    """Whether the table is named anywhere: by its name alone in its own database, else qualified with its database's name."""
    last = before = Token("", "")
    for token in tokens:
        name = token.name.lower() if folds_case else token.name
        if token.key != TEXT and name == table[1] and last.key != "@":
            qualifier = before.name.lower() if folds_case else before.name
            if (qualifier == table[0] or not before.is_name) if last.key == "." else database == table[0]:
                return True
        before, last = last, token
    return False


def _alter(reader: Reader, table: TableName) -> Meaning:
    reader.skip("ONLINE", "OFFLINE", "IGNORE")
    if not reader.take("TABLE"):
        return NOTHING
    reader.take("IF", "EXISTS")
    subject = reader.table()
    words = [token.key for token in reader.rest()]
    pairs = set(pairwise(words))
    new = _new_name(reader)
    renamed = () if new is None else ((subject, new),)
    if subject != table:
        return Meaning(_of_other(reader, table, new, pairs), subject, renamed=renamed)
    if not pairs.isdisjoint(_PARTITION_WORDS):
        return Meaning(Effect.PARTITIONS, subject, renamed=renamed)
    return Meaning(Effect.ALTERED if new in {None, table} else Effect.RENAMED, subject, renamed=renamed)


def _of_other(reader: Reader, table: TableName, new: TableName | None, pairs: set[tuple[str, str]]) -> Effect:
    """ALTER TABLE x EXCHANGE PARTITION … WITH TABLE t, CONVERT TABLE t TO PARTITION, RENAME TO t."""
    if new == table:
        return Effect.REPLACED
    if pairs.isdisjoint({("EXCHANGE", "PARTITION"), ("CONVERT", "TABLE"), ("TO", "TABLE")}):
        return Effect.NONE
    for place, token in enumerate(reader.rest()):
        if token.key == "TABLE":
            other = Reader(reader.rest()[place + 1 :], reader.database)
            if fold_table(other.table(), folds_case=reader.folds_case) == table:
                return Effect.PARTITIONS
    return Effect.NONE


def _new_name(reader: Reader) -> TableName | None:
    """The name in ALTER TABLE … RENAME [TO|AS|=] name; None when RENAME is about a column, key or index."""
    tokens = reader.rest()
    for place, token in enumerate(tokens):
        if token.key == "RENAME" and (
            place + 1 == len(tokens) or tokens[place + 1].key not in {"COLUMN", "KEY", "INDEX"}
        ):
            inner = Reader(tokens[place + 1 :], reader.database, folds_case=reader.folds_case)
            inner.skip("TO", "AS", "=")
            return inner.table()
    return None


def _rename(reader: Reader, table: TableName) -> Meaning:
    if not reader.take("TABLE") and not reader.take("TABLES"):
        return NOTHING
    reader.take("IF", "EXISTS")
    pairs = []
    while reader.at < len(reader.tokens):
        old = reader.table()
        while reader.peek() not in {"TO", ""}:  # MariaDB: WAIT n, NOWAIT
            reader.at += 1
        reader.at += 1
        pairs.append((old, reader.table()))
        if not reader.take(","):
            break
    return Meaning(renamed_effect(pairs, table), renamed=tuple(pairs))


def renamed_effect(pairs: list[tuple[TableName, TableName]], table: TableName) -> Effect:
    """What RENAME TABLE does to a table: it depends on its name afterwards, and on whether another table now has its old name."""
    place, other = table, False
    for old, new in pairs:
        if old == place:
            place = new
        elif old == table:
            other = False
        elif new == table:
            other = True
    if place == table:
        moved = any(old == table for old, _ in pairs)
        return Effect.REPLACED if other else Effect.ALTERED if moved else Effect.NONE
    return Effect.REPLACED if other else Effect.RENAMED


def _drop(reader: Reader, table: TableName) -> Meaning:
    if reader.peek() in {"DATABASE", "SCHEMA"}:
        reader.at += 1
        reader.take("IF", "EXISTS")
        return Meaning(_of_database(reader, table))
    is_temporary = reader.take("TEMPORARY")
    if reader.take("TABLE") or reader.take("TABLES"):
        reader.take("IF", "EXISTS")
        names = tuple(reader.tables())
        # Servers write TEMPORARY into the statement where it dropped a temporary table.
        if is_temporary:
            return Meaning(dropped=names)
        return Meaning(Effect.DROPPED if table in names else Effect.NONE)
    return _index(reader, table)


def _of_database(reader: Reader, table: TableName) -> Effect:
    database, _ = fold_table((reader.name(), ""), folds_case=reader.folds_case)
    return Effect.DROPPED if database == table[0] else Effect.NONE


def _index(reader: Reader, table: TableName) -> Meaning:
    """CREATE or DROP INDEX … ON table: the key may have changed."""
    words = [token.key for token in reader.tokens]
    if "INDEX" not in words[:5] or "ON" not in words:
        return NOTHING
    reader.at = words.index("ON") + 1
    subject = reader.table()
    return Meaning(Effect.ALTERED if subject == table else Effect.NONE, subject)


def _truncate(reader: Reader, table: TableName) -> Meaning:
    reader.take("TABLE")
    subject = reader.table()
    return Meaning(Effect.TRUNCATED if subject == table else Effect.NONE, subject)


def _create(reader: Reader, table: TableName) -> Meaning:
    replaces = reader.take("OR", "REPLACE")
    if reader.peek() in {"DATABASE", "SCHEMA"}:
        reader.at += 1
        return Meaning(_of_database(reader, table)) if replaces else NOTHING
    is_temporary = reader.take("TEMPORARY")
    if not reader.take("TABLE"):
        return _index(reader, table)
    exists = reader.take("IF", "NOT", "EXISTS")
    name = reader.table()
    if is_temporary:
        return Meaning(created=name)
    # IF NOT EXISTS does nothing if the table exists; if it does not exist, it was dropped before.
    return Meaning(Effect.REPLACED if name == table and (replaces or not exists) else Effect.NONE)


def _analyze(reader: Reader, table: TableName) -> Meaning:
    """ANALYZE TABLE changes nothing; MariaDB's ANALYZE with a statement executes the statement."""
    if "TABLE" in [token.key for token in reader.tokens[:2]]:
        return NOTHING
    database, _ = fold_table((reader.database, ""), folds_case=reader.folds_case)
    is_named = _names(iter(reader.tokens), database, table, folds_case=reader.folds_case)
    return Meaning(Effect.STATEMENT, table) if is_named else NOTHING


_RULES: dict[str, Callable[[Reader, TableName], Meaning]] = {
    "ALTER": _alter,
    "RENAME": _rename,
    "DROP": _drop,
    "TRUNCATE": _truncate,
    "CREATE": _create,
    "ANALYZE": _analyze,
}
