"""Work in a database as a conversation: a procedure yields statements and is sent their results. Pure: no driver, no waiting.

The same procedure serves a driver that blocks (`run` below) and one that is awaited (`sinks/postgresql`).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with the values of its parameters, in the order of their placeholders."""

    sql: str
    parameters: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement gave.

    Attributes:
        rows: All of them; empty for a statement that gives none.
        count: How many rows were changed.
        columns: Names of the rows' columns.
    """

    rows: Sequence[Sequence[Any]] = ()
    count: int = 0
    columns: Sequence[str] = ()


Procedure = Generator[Statement, Result, T]


class Cursor(Protocol):
    """As DB-API 2.0 has it."""

    @property
    def description(self) -> Sequence[Sequence[Any]] | None:
        """One entry a column, its name first; None for a statement without rows."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""

    def fetchall(self) -> Sequence[Any]:
        """All rows."""


def read_result(cursor: Cursor) -> Result:
    """What a DB-API cursor holds."""
    if cursor.description is None:
        return Result(count=cursor.rowcount)
    return Result(cursor.fetchall(), cursor.rowcount, [column[0] for column in cursor.description])


class Connection(Protocol):
    """A blocking connection in autocommit mode."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Does one statement."""


def run(connection: Connection, procedure: Procedure[T]) -> T:
    """Does a procedure's statements on a blocking connection and returns what it returns."""
    try:
        statement = next(procedure)
        while True:
            try:
                result = read_result(connection.execute(statement.sql, statement.parameters))
            except BaseException:
                procedure.close()
                raise
            statement = procedure.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


def say(statement: Statement) -> Procedure[Result]:
    """A procedure of one statement."""
    return (yield statement)
