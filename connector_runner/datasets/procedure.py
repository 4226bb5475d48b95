"""Database work as generators: a procedure yields statements and receives their results. Pure: no driver, no waiting.

The same procedure works with a blocking driver (`run` below) and with an asynchronous one (`sinks/postgresql`).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its parameters, in the order of their placeholders."""

    sql: str
    parameters: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a statement.

    Attributes:
        rows: All rows; empty for a statement that returns none.
        count: How many rows were changed.
        columns: Names of the rows' columns.
    """

    rows: Sequence[Sequence[Any]] = ()
    count: int = 0
    columns: Sequence[str] = ()


Procedure = Generator[Statement, Result, T]


class Cursor(Protocol):
    """A cursor of DB-API 2.0."""

    @property
    def description(self) -> Sequence[Sequence[Any]] | None:
        """One entry for each column, starting with its name; None for a statement without rows."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""

    def fetchall(self) -> Sequence[Any]:
        """Returns all rows."""


def read_result(cursor: Cursor) -> Result:
    """The result that a DB-API cursor holds."""
    if cursor.description is None:
        return Result(count=cursor.rowcount)
    return Result(cursor.fetchall(), cursor.rowcount, [column[0] for column in cursor.description])


class Connection(Protocol):
    """A blocking connection in autocommit mode."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Executes one statement."""


def run(connection: Connection, procedure: Procedure[T]) -> T:
    """Executes a procedure's statements on a blocking connection and returns the procedure's result."""
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
