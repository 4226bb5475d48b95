"""The tokens of a statement, split as the server splits them: by its dialect and the session's sql_mode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

# Bits of sql_mode; the same numbers on MySQL and MariaDB.
ANSI_QUOTES, MSSQL, NO_BACKSLASH_ESCAPES = 1 << 2, 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class Token:
    """A word (`key` is it in upper case), a quoted name or a text (`key` is the opening quote), or a punctuation mark."""

    key: str
    name: str

    @property
    def is_name(self) -> bool:
        """Whether it can be an identifier."""
        return self.key == NAME or self.key[:1] not in _NO_NAME


# The key of every quoted name and of every text, whichever quotes they use.
NAME, TEXT = "`", "'"
_NO_NAME = frozenset("'.,;()=<>!+-*/%&|^~@:?{}[]\"\\#")


@lru_cache(maxsize=32)
def _pattern(sql_mode: int, *, is_mariadb: bool) -> re.Pattern[str]:
    is_ansi, has_brackets = bool(sql_mode & ANSI_QUOTES), bool(sql_mode & MSSQL) and is_mariadb
    plain, escape = (r"[^{0}]", "") if sql_mode & NO_BACKSLASH_ESCAPES else (r"[^{0}\\]", r"\\.|")

    def text(quote: str) -> str:
        return f"{quote}(?:{plain.format(quote)}|{escape}{quote}{quote})*{quote}"

    def name(opening: str, closing: str) -> str:
        return f"{opening}(?:[^{closing}]|{closing}{closing})*{closing}"

    names, texts = [name("`", "`")], [text("'")]
    if is_ansi:
        names.append(name('"', '"'))
    else:
        texts.append(text('"'))
    if has_brackets:
        names.append(name(r"\[", r"\]"))
    # Executable comments are read as statements; those that this server did not execute are plain comments in its log.
    opened = r"/\*M?!" if is_mariadb else r"/\*!"
    return re.compile(
        rf"""[ \t\n\v\f\r\0]+
        |--(?=[\x00-\x20]|$)[^\n]*\n?|\#[^\n]*\n?
        |{opened}(?:\d{{6}}|\d{{5}})?|/\*(?:[^*]|\*(?!/))*\*/|\*/
        |(?P<quoted>{"|".join(names)})
        |(?P<text>{"|".join(texts)})
        |(?P<word>[0-9A-Za-z_$\u0080-\U0010ffff]+)
        |(?P<mark>.)""",
        re.VERBOSE | re.DOTALL,
    )


_RELEVANT = ANSI_QUOTES | MSSQL | NO_BACKSLASH_ESCAPES


def split(statement: str, sql_mode: int = 0, *, is_mariadb: bool = False) -> Iterator[Token]:
    """Yields the tokens in order, without comments.

    Args:
        statement: Its text.
        sql_mode: The sql_mode of the session that ran it, as the server's bits.
        is_mariadb: Whether the dialect is MariaDB's.
    """
    for found in _pattern(sql_mode & _RELEVANT, is_mariadb=is_mariadb).finditer(statement):
        kind = found.lastgroup
        if kind == "word":
            yield Token(found["word"].upper(), found["word"])
        elif kind == "mark":
            yield Token(found["mark"], found["mark"])
        elif kind == "quoted":
            raw = found["quoted"]
            yield Token(NAME, raw[1:-1].replace(raw[-1] * 2, raw[-1]))
        elif kind == "text":
            yield Token(TEXT, found["text"][1:-1])
