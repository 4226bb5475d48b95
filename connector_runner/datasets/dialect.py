"""The words of one SQL database, as far as the ledger needs them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connector_runner.datasets.names import TableNames, parse_table
from connector_runner.datasets.procedure import Procedure, Statement


def _unchanged(statement: str) -> str:
    return statement


def _table_name(names: TableNames) -> str:
    return names.text


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between databases in the ledger's statements.

    Attributes:
        text, whole, time, json: Types of the ledger's columns; `whole` holds 64 bits.
        numbered: Type and clause of a primary key that the database numbers.
        now: The time of the transaction, as `time` takes it.
        find: Gives one row when the table or index exists whose quoted name is the parameter.
        text_parameter, whole_parameter, json_parameter: Placeholders; `{n}` is the number of the parameter in its statement.
        checkpoint_options: What follows the definition of the checkpoint table.
        lock: What follows a SELECT so that its rows stay as they are until the transaction ends.
        guard: Makes an UPDATE fail that changes no row, where its count can't be looked at before the next statement is sent.
        table_key: How the checkpoint names a table: one name for all spellings that the database takes for the same table.
        is_case_sensitive: Whether quoted names that differ in case are two.
        has_schemas: Whether a table's name may have a schema before it; without, a dot is part of the name.
        longest_name: The limit for a name in bytes; None without one.
    """

    text: str
    whole: str
    time: str
    json: str
    numbered: str
    now: str
    find: str
    text_parameter: str = "?"
    whole_parameter: str = "?"
    json_parameter: str = "?"
    checkpoint_options: str = ""
    lock: str = ""
    guard: Callable[[str], str] = _unchanged
    table_key: Callable[[TableNames], str] = _table_name
    is_case_sensitive: bool = True
    has_schemas: bool = True
    longest_name: int | None = None

    def parse_table(self, text: str) -> TableNames:
        """See `names.parse_table`."""
        return parse_table(text, longest=self.longest_name, schemas=self.has_schemas)


def create_missing(dialect: Dialect, relation: str, statement: str) -> Procedure[None]:
    """Creates a table or index unless it is there; asks first, because `IF NOT EXISTS` needs the right to create even then."""
    if not (yield Statement(dialect.find, [relation])).rows:
        yield Statement(statement)


class Placeholders:
    """Counts the parameters of one statement, in the order in which their placeholders are asked for."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._count = 0

    def _next(self, form: str) -> str:
        self._count += 1
        return form.format(n=self._count)

    def text(self) -> str:
        """For a text."""
        return self._next(self._dialect.text_parameter)

    def whole(self) -> str:
        """For a whole number."""
        return self._next(self._dialect.whole_parameter)

    def json(self) -> str:
        """For a JSON text."""
        return self._next(self._dialect.json_parameter)

    def texts(self, count: int) -> str:
        """For several texts, separated by commas."""
        return ", ".join(self.text() for _ in range(count))
