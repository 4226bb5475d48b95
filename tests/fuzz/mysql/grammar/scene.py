"""What a statement is written for: the table, its name, and the sessions with what they have set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.fuzz.mysql.draw import Draw, double_quoted, quoted
from tests.fuzz.mysql.shapes import Column, Shape
from tests.fuzz.mysql.steps import DATABASE, Step

KEYWORDS = ("online", "quick", "offline", "extended", "only", "truncate", "temporary")
"""Words that some server reads as a name where a statement may have them as a word of its own."""


@dataclass
class Session:
    """What is known of a session."""

    name: str
    sql_mode: str = ""
    charset: str = "utf8mb4"
    temporaries: set[str] = field(default_factory=set)


@dataclass
class Scene:
    """Where a history stands.

    Attributes:
        table: The followed one's name.
        shape: How it is now.
        sessions: By name.
        session: Who speaks next.
        old: Columns that were dropped, by name in lower case: names to be used again.
    """

    table: str
    shape: Shape = field(default_factory=Shape)
    sessions: dict[str, Session] = field(default_factory=dict)
    session: str = "a"
    old: dict[str, Column] = field(default_factory=dict)

    @property
    def speaker(self) -> Session:
        return self.sessions[self.session]

    def name(self, draw: Draw, table: str | None = None) -> str:
        """A table as a statement may call it: with its database or without, in the quotes of the session."""
        table = self.table if table is None else table
        quote = double_quoted if "ANSI_QUOTES" in self.speaker.sql_mode and draw.chance(0.7) else quoted
        plain = quote(table)
        if (
            table.isascii()
            and table.isidentifier()
            and table.lower() not in {"select", "order", "ignore"}
            and draw.chance(0.75 if table in KEYWORDS else 0.4)
        ):
            plain = table
        return f"{quote(DATABASE)}{draw.pick(['.', '.', ' . '])}{plain}" if draw.chance(0.25) else plain

    def without(self, column: str) -> Scene:
        """The same table as if it had not this column, so that nothing is written into it."""
        columns = tuple(found for found in self.shape.columns if found.name != column)
        return replace(self, shape=replace(self.shape, columns=columns))

    def steps(self, kind: str, *statements: str) -> list[Step]:
        return [Step(kind, statement, self.session) for statement in statements]


Words = Sequence[str | Step] | None
"""Statements of the speaking session, and steps of whom they name."""
Writer = Callable[[Scene, Draw], Words]


@dataclass(frozen=True)
class Kind:
    """A kind of statement.

    Attributes:
        name: As the report lists it.
        row: Of the table of statements in docs/mysql.md, or `rows`, `settings`, `beside`.
        weight: How often, compared with others.
        write: Gives its statements, None where they would make no sense.
        is_last: Whether the table is gone afterwards.
        only: `mysql` or `mariadb` where the other has no such statement; "" for both.
    """

    name: str
    row: str
    weight: float
    write: Writer
    is_last: bool = False
    is_definition: bool = True
    only: str = ""

    def is_of(self, version: str) -> bool:
        """Whether a server of that name, such as `mysql-8.0`, has it."""
        return version.startswith(self.only)


def disguise(statement: str, draw: Draw) -> str:
    """The same statement as nobody expects it: comments, executable comments, case, white space."""
    if not draw.chance(0.3):
        return statement
    verb, _, rest = statement.partition(" ")
    match draw.number(0, 9):
        case 0:
            return f"/* {verb} x */ {verb} /* `t` */ {rest}"
        case 1:
            return f"{verb} -- 'comment\n {rest}"
        case 2:
            return f'{verb} # "comment\n {rest}'
        case 3:
            return f"/*!50000 {verb} */ {rest}"
        case 4:
            word, _, others = rest.partition(" ")
            return f"{verb} /*! {word} */ {others}" if word.isalpha() else statement
        case 5:
            return f"{verb.lower()}\n\t{rest}"
        case 6:
            return f"  {verb.capitalize()} {rest} "
        case 7:
            return f"{verb} {rest} /* RENAME TO x */"
        case 8 if draw.is_mariadb:
            return f"/*M!100100 {verb} */ {rest}"
        case 8:
            return f"/*!99999 DROP */ {verb} {rest}"
        case _ if draw.is_mariadb:
            return f"SET STATEMENT lock_wait_timeout=5 FOR {statement}"
        case _:
            return f"{verb}  {rest};"
