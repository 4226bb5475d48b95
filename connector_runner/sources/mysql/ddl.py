"""What a statement in the log means for one table, read from its text.

Row events follow tables by themselves; everything else comes as statements: definitions change, tables go and come, and
sometimes rows change without row events. A statement that is not understood is looked at again by its effect on the
definition (`discovery`), so reading here errs on the side of "it concerns the table".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise


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
    INCOMPLETE = "rows without some of their columns"


@dataclass(frozen=True)
class Rewrites:
    """What an ALTER TABLE does to rows that its definition before and after does not tell.

    Attributes:
        renames: A name may stand for what another one stood for: columns were renamed.
        dropped: Columns that it drops; one that is there afterwards is a new one.
        deletes: Rows may have been removed (MariaDB's ALTER IGNORE).
    """

    renames: bool = False
    dropped: frozenset[str] = frozenset()
    deletes: bool = False


NO_REWRITES = Rewrites()

_TOKEN = re.compile(
    r"""\s+|--[^\n]*\n?|\#[^\n]*\n?
    |/\*(?!!|M!)(?:[^*]|\*(?!/))*\*/            # a comment; executable ones are opened below
    |/\*M?!\d*|\*/
    |(?P<quoted>`(?:[^`]|``)*`)
    |(?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
    |(?P<word>[\w$\u0080-\uffff]+)
    |(?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    """A word (in upper case as `key`), a quoted name, a text or a mark."""

    key: str
    name: str


def _tokens(statement: str, limit: int = 4000) -> list[_Token]:
    tokens: list[_Token] = []
    for found in _TOKEN.finditer(statement):
        if found["quoted"]:
            tokens.append(_Token("`", found["quoted"][1:-1].replace("``", "`")))
        elif found["word"]:
            tokens.append(_Token(found["word"].upper(), found["word"]))
        elif found["text"]:
            # With ANSI_QUOTES a text in double quotes is a name.
            tokens.append(_Token(found["text"][0], found["text"][1:-1]))
        elif found["mark"]:
            tokens.append(_Token(found["mark"], found["mark"]))
        if len(tokens) >= limit:
            break
    return tokens


_SKIPPED = frozenset(
    {"IF", "EXISTS", "NOT", "ONLINE", "OFFLINE", "IGNORE", "TABLE", "LOW_PRIORITY", "DELAYED", "QUICK"}
)
_DML = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "WITH"})
_PARTITION_WORDS = (
    ("EXCHANGE", "PARTITION"), ("TRUNCATE", "PARTITION"), ("DROP", "PARTITION"), ("CONVERT", "PARTITION"), ("CONVERT", "TABLE"),
    ("DISCARD", "TABLESPACE"), ("IMPORT", "TABLESPACE"), ("DISCARD", "PARTITION"), ("IMPORT", "PARTITION"),
)  # fmt: skip


class _Reader:
    """Goes through tokens from left to right."""

    def __init__(self, tokens: list[_Token], database: str) -> None:
        self.tokens, self.database, self.at = tokens, database, 0

    def peek(self) -> str:
        return self.tokens[self.at].key if self.at < len(self.tokens) else ""

    def skip(self, words: frozenset[str]) -> None:
        while self.peek() in words:
            self.at += 1

    def table(self) -> tuple[str, str]:
        """A name, with its database."""
        first = self.tokens[self.at].name if self.at < len(self.tokens) else ""
        self.at += 1
        if self.peek() == ".":
            self.at += 2
            return first, self.tokens[self.at - 1].name if self.at <= len(self.tokens) else ""
        return self.database, first

    def tables(self) -> list[tuple[str, str]]:
        names = [self.table()]
        while self.peek() == ",":
            self.at += 1
            names.append(self.table())
        return names


def effect_of(statement: str, database: str, table: tuple[str, str], *, folds_case: bool = False) -> Effect:
    """What a statement does to a table.

    Args:
        statement: Its text from the log.
        database: The database that it ran in.
        table: (database, name) of the table.
        folds_case: Whether the server compares table names without regard to case (lower_case_table_names).
    """
    tokens = _tokens(statement)
    if not tokens:
        return Effect.NONE
    if folds_case:
        tokens = [_Token(token.key, token.name.lower()) for token in tokens]
        database, table = database.lower(), (table[0].lower(), table[1].lower())
    reader = _Reader(tokens, database)
    verb = reader.peek()
    reader.at = 1
    if verb == "SET" and "FOR" in (token.key for token in tokens):  # MariaDB: SET STATEMENT … FOR statement
        verb, reader = _after_for(tokens, database)
    rule = _RULES.get(verb)
    if rule is not None:
        return rule(reader, table)
    if verb in _DML:
        return Effect.STATEMENT if any(token.name == table[1] and token.key != "'" for token in tokens) else Effect.NONE
    return Effect.NONE


_NO_COLUMN = frozenset(
    {"INDEX", "KEY", "PRIMARY", "FOREIGN", "CONSTRAINT", "CHECK", "PARTITION", "PERIOD", "SYSTEM", "DEFAULT"}
)


def rewrites_of(statement: str) -> Rewrites:
    """What an ALTER TABLE (also within MariaDB's SET STATEMENT … FOR) does to the columns' names and to rows."""
    tokens = _tokens(statement)
    keys = [token.key for token in tokens]
    renames = "CHANGE" in keys or ("RENAME", "COLUMN") in pairwise(keys)
    dropped = set()
    for place, key in enumerate(keys):
        if key == "DROP":
            reader = _Reader(tokens, "")
            reader.at = place + 1
            reader.skip(frozenset({"COLUMN", "IF", "EXISTS"}))
            if reader.peek() and reader.peek() not in _NO_COLUMN:
                dropped.add(reader.table()[1])
    deletes = any(pair in {("ALTER", "IGNORE"), ("ONLINE", "IGNORE")} for pair in pairwise(keys))
    return Rewrites(renames, frozenset(dropped), deletes)


def _after_for(tokens: list[_Token], database: str) -> tuple[str, _Reader]:
    place = next(i for i, token in enumerate(tokens) if token.key == "FOR")
    reader = _Reader(tokens[place + 1 :], database)
    verb = reader.peek()
    reader.at = 1
    return verb, reader


def _alter(reader: _Reader, table: tuple[str, str]) -> Effect:
    reader.skip(frozenset({"ONLINE", "OFFLINE", "IGNORE"}))
    if reader.peek() in {"DATABASE", "SCHEMA"}:
        return Effect.NONE
    if reader.peek() != "TABLE":
        return Effect.NONE
    reader.skip(_SKIPPED)
    subject = reader.table()
    words = [token.key for token in reader.tokens[reader.at :]]
    pairs = set(pairwise(words))
    if subject != table:
        # ALTER TABLE x EXCHANGE PARTITION … WITH TABLE t, ALTER TABLE x RENAME TO t
        if any(token.name == table[1] for token in reader.tokens[reader.at :]):
            if ("EXCHANGE", "PARTITION") in pairs or ("CONVERT", "TABLE") in pairs:
                return Effect.PARTITIONS
            return Effect.REPLACED if "RENAME" in words and _new_name(reader, words) == table else Effect.NONE
        return Effect.NONE
    if any(pair in pairs for pair in _PARTITION_WORDS):
        return Effect.PARTITIONS
    if "RENAME" in words and _new_name(reader, words) not in {None, table}:
        return Effect.RENAMED
    return Effect.ALTERED


def _new_name(reader: _Reader, words: list[str]) -> tuple[str, str] | None:
    """Of ALTER TABLE … RENAME [TO|AS|=] name; None when RENAME is of a column, key or index."""
    for place, word in enumerate(words):
        if word == "RENAME" and words[place + 1 : place + 2] not in (["COLUMN"], ["KEY"], ["INDEX"]):
            inner = _Reader(reader.tokens[reader.at + place + 1 :], reader.database)
            inner.skip(frozenset({"TO", "AS", "="}))
            return inner.table()
    return None


def _rename(reader: _Reader, table: tuple[str, str]) -> Effect:
    if reader.peek() not in {"TABLE", "TABLES"}:
        return Effect.NONE
    reader.at += 1
    reader.skip(_SKIPPED)
    effect = Effect.NONE
    while reader.at < len(reader.tokens):
        old = reader.table()
        while reader.peek() not in {"TO", ""}:  # MariaDB: WAIT n, NOWAIT
            reader.at += 1
        reader.at += 1
        new = reader.table()
        if new == table:
            effect = Effect.REPLACED
        elif old == table:
            effect = Effect.RENAMED
        if reader.peek() != ",":
            break
        reader.at += 1
    return effect


def _drop(reader: _Reader, table: tuple[str, str]) -> Effect:
    if reader.peek() in {"DATABASE", "SCHEMA"}:
        reader.at += 1
        reader.skip(_SKIPPED)
        return (
            Effect.DROPPED
            if reader.at < len(reader.tokens) and reader.tokens[reader.at].name == table[0]
            else Effect.NONE
        )
    if reader.peek() in {"TABLE", "TABLES"}:
        reader.at += 1
        reader.skip(_SKIPPED)
        return Effect.DROPPED if table in reader.tables() else Effect.NONE
    return _index(reader, table)


def _index(reader: _Reader, table: tuple[str, str]) -> Effect:
    """CREATE or DROP INDEX … ON table: the key may be another one now."""
    words = [token.key for token in reader.tokens]
    if "INDEX" not in words[:5] or "ON" not in words:
        return Effect.NONE
    reader.at = words.index("ON") + 1
    return Effect.ALTERED if reader.table() == table else Effect.NONE


def _truncate(reader: _Reader, table: tuple[str, str]) -> Effect:
    reader.skip(_SKIPPED)
    return Effect.TRUNCATED if reader.table() == table else Effect.NONE


def _create(reader: _Reader, table: tuple[str, str]) -> Effect:
    replaces = reader.peek() == "OR"
    reader.skip(frozenset({"OR", "REPLACE"}))
    if reader.peek() != "TABLE":
        return _index(reader, table)
    exists = [token.key for token in reader.tokens[reader.at : reader.at + 4]] == ["TABLE", "IF", "NOT", "EXISTS"]
    reader.skip(_SKIPPED)
    if reader.table() != table:
        return Effect.NONE
    # IF NOT EXISTS on the table that is there does nothing, and one that was not there had been dropped before.
    return Effect.REPLACED if replaces or not exists else Effect.NONE


_RULES = {
    "ALTER": _alter,
    "RENAME": _rename,
    "DROP": _drop,
    "TRUNCATE": _truncate,
    "CREATE": _create,
}
