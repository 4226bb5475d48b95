"""A seeded source of choices, with what a grammar must know of the server it writes for. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Dialect:
    """A server as a grammar sees it.

    Attributes:
        is_mariadb: Which of the two.
        version: Such as (10, 11).
        collations: By character set, as the server lists them; what can't be a column's is left out.
    """

    is_mariadb: bool
    version: tuple[int, ...]
    collations: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def has_vectors(self) -> bool:
        return self.version >= ((11, 7) if self.is_mariadb else (9, 0))

    @property
    def has_invisible_columns(self) -> bool:
        return self.is_mariadb or self.version >= (8, 0, 23)


class Draw:
    """Choices from a seed: the same seed gives the same history."""

    def __init__(self, seed: str, dialect: Dialect, without: Sequence[str] = ()) -> None:
        self.random = random.Random(seed)
        self.dialect = dialect
        self.without = frozenset(without)  # kinds of statements and settings that are not drawn
        self.favoured: frozenset[str] = frozenset()  # families of types that this history has more of

    @property
    def is_mariadb(self) -> bool:
        return self.dialect.is_mariadb

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        return self.random.choice(items)

    def weighted(self, items: Mapping[Item, float]) -> Item:
        return self.random.choices(list(items), list(items.values()))[0]

    def favouring(self, families: Mapping[str, float]) -> str:
        """One of them; a favoured one more often."""
        return self.weighted({name: weight * (6 if name in self.favoured else 1) for name, weight in families.items()})

    def number(self, low: int, high: int) -> int:
        """Both ends included."""
        return self.random.randint(low, high)

    def some(self, items: Sequence[Item], low: int, high: int) -> list[Item]:
        """So many different ones, in any order."""
        return self.random.sample(list(items), min(len(items), self.number(low, high)))

    def charset(self) -> tuple[str, str]:
        """A character set and a collation of it: a common one, one that codecs read otherwise, or any."""
        sets = self.dialect.collations
        match self.number(0, 9):
            case 0 | 1 | 2:
                name = self.pick(COMMON_CHARSETS)
            case 3 | 4 | 5:
                name = self.pick(ODD_CHARSETS)
            case _:
                name = self.pick([*sets])
        if name not in sets or (name in UNREADABLE and self.chance(0.9)):
            name = "utf8mb4"
        return name, self.pick(sets[name])


UNREADABLE = ("armscii8", "dec8", "geostd8", "keybcs2", "swe7")
"""Tables with columns of these are refused in discovery, so they are rare."""
ODD_CHARSETS = (
    "eucjpms",
    "eucjpms",
    "ujis",
    "ujis",
    "big5",
    "big5",
    "greek",
    "greek",
    "hebrew",
    "koi8u",
    "cp866",
    "sjis",
    "latin1",
)
"""Encoders of the same name are known to differ for them; some of the characters are in `texts.TRAPS_OF`."""
COMMON_CHARSETS = ("utf8mb4", "utf8mb3", "latin1", "ucs2", "utf16", "gbk")


def quoted(name: str) -> str:
    """An SQL identifier in backticks."""
    return "`" + name.replace("`", "``") + "`"


def double_quoted(name: str) -> str:
    """An SQL identifier as sessions with ANSI_QUOTES may write it."""
    return '"' + name.replace('"', '""') + '"'
