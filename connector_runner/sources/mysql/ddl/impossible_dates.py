"""Which alterations may make zeros of impossible dates (2021-02-30, 2020-00-00). Pure.

An ALTER that copies the table stores each date again, by the sql_mode of its session: where that neither allows such a date nor makes
it an error, the row gets 0000-00-00, in every column with a date, also where the statement is about another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from connector_runner.sources.mysql.ddl.tokens import Token

# Bits of sql_mode; the same numbers on MySQL and MariaDB.
_STRICT = 1 << 21 | 1 << 22  # STRICT_TRANS_TABLES, STRICT_ALL_TABLES
_NO_ZERO_IN_DATE, _NO_ZERO_DATE, _ALLOW_INVALID_DATES = 1 << 23, 1 << 24, 1 << 25
_IN_PLACE = frozenset({"INPLACE", "INSTANT", "NOCOPY"})


def may_zero_dates(tokens: Sequence[Token], sql_mode: int, *, is_mariadb: bool) -> bool:
    """Whether a statement that alters a table may have done that to its dates.

    Unless it names another algorithm it may have copied the table: the log does not show the engine, nor `old_alter_table`.
    """
    if sql_mode & _STRICT:
        return False  # such a date would have been an error
    allows = bool(sql_mode & _ALLOW_INVALID_DATES)
    looks = bool(sql_mode & _NO_ZERO_DATE) or not is_mariadb
    if not sql_mode & _NO_ZERO_IN_DATE and (allows or not looks):
        return False
    words = [token.key for token in tokens if token.key != "="]
    return not any(word == "ALGORITHM" and following in _IN_PLACE for word, following in pairwise(words))
