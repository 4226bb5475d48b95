"""Parses ALTER TABLE: what it may do to rows that are already stored, by its text alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from connector_runner.sources.mysql.ddl.impossible_dates import may_zero_dates
from connector_runner.sources.mysql.ddl.statement_reader import Reader
from connector_runner.sources.mysql.ddl.tokens import Token, split
from connector_runner.sources.mysql.types.names import fold_column
from connector_runner.sources.mysql.types.table import TableDefinition


class Change(IntEnum):
    """What happens to rows without the log showing it; a higher value includes the lower ones."""

    NONE = 0
    VALUES = 1
    """Values may change: all rows are read again and overwrite those in the dataset."""
    KEYS = 2
    """Keys may change, or rows may be removed: the table is copied again."""


Spec = tuple[Token, ...]


@dataclass(frozen=True)
class Alteration:
    """A statement that changes the definition.

    Attributes:
        specs: The parts of an ALTER TABLE between its commas; empty for CREATE INDEX and DROP INDEX.
        ignores: MariaDB's ALTER IGNORE: rows may be removed.
        is_known: Whether the statement is known at all.
        index: The index that a DROP INDEX removes; "" where it is none.
        zeroes_dates: Whether it may have made zeros of impossible dates in any column (`may_zero_dates`).
    """

    specs: tuple[Spec, ...] = ()
    ignores: bool = False
    is_known: bool = True
    index: str = ""
    zeroes_dates: bool = False

    @property
    def has_cascades(self) -> bool:
        """Whether it adds a foreign key with actions that change rows."""
        return any(_has_cascade([token.key for token in spec]) for spec in self.specs)

    @property
    def keeps_columns(self) -> bool:
        """Whether rows look the same before and after it."""
        return self.is_known and all(_read(spec).column is None for spec in self.specs)


UNKNOWN = Alteration(is_known=False)


def read_alteration(statement: str, *, sql_mode: int = 0, is_mariadb: bool = False) -> Alteration:
    """Parses a statement that alters a table (also within MariaDB's SET STATEMENT … FOR)."""
    tokens = list(split(statement, sql_mode, is_mariadb=is_mariadb))
    if tokens and tokens[0].key == "SET":
        tokens = tokens[next((i for i, token in enumerate(tokens) if token.key == "FOR"), 0) + 1 :]
    reader, zeroes = Reader(tokens, ""), may_zero_dates(tokens, sql_mode, is_mariadb=is_mariadb)
    if not reader.take("ALTER"):
        is_index = bool(tokens) and tokens[0].key in {"CREATE", "DROP", "RENAME"}
        return Alteration(index=_dropped_index(reader), zeroes_dates=zeroes) if is_index else UNKNOWN
    ignores = "IGNORE" in [token.key for token in tokens[1:3]]
    reader.skip("ONLINE", "OFFLINE", "IGNORE")
    reader.take("TABLE")
    reader.take("IF", "EXISTS")
    reader.table()
    if reader.take("WAIT"):
        reader.name()
    reader.take("NOWAIT")
    return Alteration(tuple(_split(reader.rest())), ignores, zeroes_dates=zeroes)


def _dropped_index(reader: Reader) -> str:
    if not reader.take("DROP"):
        return ""
    reader.skip("ONLINE", "OFFLINE")
    if not reader.take("INDEX"):
        return ""
    reader.take("IF", "EXISTS")
    return reader.name()


def _split(tokens: list[Token]) -> Iterator[Spec]:
    """Splits at the commas outside of parentheses."""
    depth, part = 0, list[Token]()
    for token in tokens:
        depth += (token.key == "(") - (token.key == ")")
        if token.key == "," and depth == 0:
            yield tuple(part)
            part = []
        elif not (token.key == ";" and depth == 0):
            part.append(token)
    if part:
        yield tuple(part)


@dataclass(frozen=True)
class _Part:
    """What one part of an ALTER TABLE concerns.

    Attributes:
        column: The column that it adds, changes or drops, "" for several or all; None when it concerns no column.
        index: The index that it drops, "PRIMARY" also when it adds one; "" for a new unique one; None when it concerns no index.
        change: What it does to existing rows when the column is not part of the key.
        of_key: What it does to existing rows when the column is part of the key.
    """

    column: str | None = None
    index: str | None = None
    change: Change = Change.NONE
    of_key: Change = Change.KEYS


_ABOUT_NONE = _Part()
# First words of parts that change no existing row.
_OPTIONS = frozenset({
    "", "COMMENT", "AUTO_INCREMENT", "ROW_FORMAT", "KEY_BLOCK_SIZE", "STATS_PERSISTENT", "STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES",
    "MAX_ROWS", "MIN_ROWS", "AVG_ROW_LENGTH", "CHECKSUM", "DEFAULT", "CHARACTER", "CHARSET", "COLLATE", "ALGORITHM", "LOCK", "FORCE",
    "DISABLE", "ENABLE", "COMPRESSION", "ENCRYPTION", "ENCRYPTED", "ENCRYPTION_KEY_ID", "DATA", "INDEX", "TABLESPACE", "PARTITION",
    "REMOVE", "REORGANIZE", "COALESCE", "REBUILD", "OPTIMIZE", "ANALYZE", "CHECK", "WITH", "WITHOUT", "PAGE_CHECKSUM", "PACK_KEYS",
    "DELAY_KEY_WRITE", "PAGE_COMPRESSED", "PAGE_COMPRESSION_LEVEL", "NOWAIT", "WAIT", "TRANSACTIONAL", "AUTOEXTEND_SIZE",
    "SECONDARY_LOAD", "SECONDARY_UNLOAD", "ENGINE",
})  # fmt: skip
# Engines that keep the rows of a table that is altered to use them.
_ENGINES = frozenset({"INNODB", "MYISAM", "ARIA", "ROCKSDB", "TOKUDB", "NDB", "NDBCLUSTER", "MEMORY", "HEAP"})
# Words in a new column's definition with which its value in old rows may differ from NULL.
_FILLS = frozenset({
    "NOT", "GENERATED", "AS", "AUTO_INCREMENT", "SERIAL", "TIMESTAMP", "PRIMARY", "UNIQUE", "KEY", "CHECK", "ROW", "ON", "VIRTUAL",
    "PERSISTENT", "STORED",
})  # fmt: skip


def _read(spec: Spec) -> _Part:
    first = spec[0].key if spec else ""
    rule = _PARTS.get(first)
    if rule is not None:
        return rule(Reader(list(spec[1:]), ""))
    words = [token.key for token in spec if token.key != "="]
    names = [token.name.upper() for token in spec if token.key != "="]
    if any(word == "ENGINE" and name not in _ENGINES for word, name in zip(words, names[1:], strict=False)):
        return _Part("", change=Change.KEYS)
    return _ABOUT_NONE if first in _OPTIONS else _Part("", change=Change.VALUES)


def _add(reader: Reader) -> _Part:
    words = [token.key for token in reader.tokens]
    if not reader.take("COLUMN"):
        if words[:1] and words[0] in {
            "CONSTRAINT",
            "PRIMARY",
            "UNIQUE",
            "FOREIGN",
            "CHECK",
            "INDEX",
            "KEY",
            "FULLTEXT",
            "SPATIAL",
        }:
            if "PRIMARY" in words[:3]:
                return _Part(index="PRIMARY")
            return _Part(index="" if "UNIQUE" in words[:3] else None)
        if words[:1] == ["PARTITION"] or (words[:1] == ["VECTOR"] and words[1:2] in (["INDEX"], ["KEY"])):
            return _ABOUT_NONE
        if tuple(words[:2]) in {("SYSTEM", "VERSIONING"), ("PERIOD", "FOR")}:
            return _Part("", change=Change.KEYS)
    reader.take("IF", "NOT", "EXISTS")
    name = "" if reader.peek() == "(" else reader.name()
    words = [token.key for token in reader.rest()]
    index = (
        "PRIMARY" if "PRIMARY" in words or "KEY" in words else "" if "UNIQUE" in words or "SERIAL" in words else None
    )
    return _Part(name, index, _new_column(words), of_key=Change.NONE)


def _new_column(words: list[str]) -> Change:
    fills = not _FILLS.isdisjoint(words) or any(
        word == "DEFAULT" and following != "NULL" for word, following in pairwise([*words, ""])
    )
    return Change.VALUES if fills else Change.NONE


def _drop(reader: Reader) -> _Part:
    words = [token.key for token in reader.tokens]
    if words[:1] == ["PRIMARY"]:
        return _Part(index="PRIMARY")
    if words[:1] in (["FOREIGN"], ["PARTITION"], ["CHECK"]):
        return _ABOUT_NONE
    if words[:1] in (["INDEX"], ["KEY"], ["CONSTRAINT"]):
        reader.at = 1
        reader.take("IF", "EXISTS")
        return _Part(index=reader.name())
    if tuple(words[:2]) in {("SYSTEM", "VERSIONING"), ("PERIOD", "FOR")}:
        return _Part("", change=Change.KEYS)
    reader.take("COLUMN")
    reader.take("IF", "EXISTS")
    return _Part(reader.name())


def _modify(reader: Reader) -> _Part:
    reader.take("COLUMN")
    reader.take("IF", "EXISTS")
    name = reader.name()
    words = [token.key for token in reader.tokens]
    index = "PRIMARY" if "PRIMARY" in words or "KEY" in words else "" if "UNIQUE" in words else None
    # A column that becomes AUTO_INCREMENT gets new numbers instead of zeros.
    return _Part(name, index, Change.KEYS if "AUTO_INCREMENT" in words else Change.VALUES)


def _rename(reader: Reader) -> _Part:
    if reader.take("COLUMN"):
        reader.take("IF", "EXISTS")
        return _Part(reader.name(), change=Change.VALUES)
    if reader.take("INDEX") or reader.take("KEY"):
        return _ABOUT_NONE
    return _ABOUT_NONE  # the table itself


def _convert(reader: Reader) -> _Part:
    return _Part("", change=Change.VALUES)


def _alter(reader: Reader) -> _Part:
    """ALTER changes only a default for future rows, or a visibility."""
    return _ABOUT_NONE


_PARTS: dict[str, Callable[[Reader], _Part]] = {
    "ADD": _add, "DROP": _drop, "MODIFY": _modify, "CHANGE": _modify, "RENAME": _rename, "CONVERT": _convert, "ALTER": _alter,
}  # fmt: skip


def _has_cascade(words: list[str]) -> bool:
    if "REFERENCES" not in words:
        return False
    return any(
        first == "ON" and second in {"DELETE", "UPDATE"} and third in {"CASCADE", "SET"}
        for first, second, third in zip(words, words[1:], words[2:], strict=False)
    )


def change_by_text(alteration: Alteration, before: TableDefinition) -> Change:
    """Decides what a statement may do to old rows when only its text and the columns' names before it are certain."""
    if alteration.ignores or not alteration.is_known:
        return Change.KEYS if alteration.ignores else Change.VALUES
    changes = [_change_of_part(_read(spec), before) for spec in alteration.specs]
    # The dataset still holds the values of a column that was dropped.
    gone = {fold_column(name) for name in (*before.dropped, *dropped_by(alteration))}
    if any(fold_column(token.name) in gone for spec in alteration.specs for token in _added(spec)):
        changes.append(Change.VALUES)
    return max(changes, default=Change.NONE)


def _added(spec: Spec) -> Spec:
    """The name of a column that is added; of several in parentheses, all tokens that may be a name."""
    if not spec or spec[0].key != "ADD":
        return ()
    column = _read(spec).column
    names = tuple(token for token in spec[1:] if token.is_name)
    return names if column == "" else tuple(token for token in names if token.name == column)[:1]


def dropped_by(alteration: Alteration) -> tuple[str, ...]:
    """The columns that a statement drops."""
    return tuple(_read(spec).column or "" for spec in alteration.specs if spec and spec[0].key == "DROP")


def may_remove_key(alteration: Alteration, before: TableDefinition) -> bool:
    """Whether a statement may have removed the key, or made a column of it one that has NULLs, by its text."""
    if alteration.index:
        return _is_key(alteration.index, before)
    if not alteration.is_known:
        return True
    key = {fold_column(name) for name in before.key}
    for spec in alteration.specs:
        part, first = _read(spec), spec[0].key if spec else ""
        drops_index = first == "DROP" and part.index is not None and _is_key(part.index, before)
        if drops_index or (first in {"DROP", "MODIFY", "CHANGE"} and fold_column(part.column or "") in key):
            return True
    return False


def _is_key(index: str, before: TableDefinition) -> bool:
    return fold_column(index) == fold_column(before.index)


def _change_of_part(part: _Part, before: TableDefinition) -> Change:
    change = part.change
    if part.index is not None and _may_be_key(part.index, before):
        change = Change.KEYS
    if part.column is None:
        return change
    key = {fold_column(name) for name in before.key}
    if part.column == "" or fold_column(part.column) in key:
        change = max(change, part.of_key)
    return change


def _may_be_key(index: str, before: TableDefinition) -> bool:
    """Whether an index that is added or dropped may be the one that identifies rows."""
    if index == "PRIMARY":
        return True
    return before.index != "PRIMARY" and (not index or fold_column(index) == fold_column(before.index))
