"""The dialect of one SQL database, as far as the ledger needs it. Pure."""

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
class SchemaQueries:
    """What is asked about schemas; empty texts for a database without them.

    Attributes:
        current: Returns the schema of names without one; null if there is none.
        ledgers: Returns the schemas with a checkpoint table that this user may read.
        rights: Returns, for an existing schema, whether this user may use it, whether it may create tables there, whether it has a
            checkpoint table, and whether this user may read and write that.
    """

    current: str = ""
    ledgers: str = ""
    rights: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The parts of the ledger's statements that differ between databases.

    Attributes:
        text, whole, time, json: Types of the ledger's columns; `whole` is a 64-bit integer.
        numbered: Type and clause of an auto-incremented primary key.
        now: The time of the transaction, in a form that `time` accepts.
        find: Returns one row if a table or index exists whose quoted name is the parameter.
        text_parameter, whole_parameter, json_parameter: Placeholders; `{n}` is the number of the parameter in the statement.
        checkpoint_options: What follows the definition of the checkpoint table.
        lock: Clause after a SELECT that locks its rows until the transaction ends.
        guard: Makes an UPDATE fail if it changes no row; for drivers that send the next statement before the count is known.
        table_key: The name of a table in the checkpoint: one name for all spellings that mean the same table.
        is_case_sensitive: Whether quoted names that differ only in case are different names.
        has_schemas: Whether a table's name may have a schema prefix; if not, a dot is part of the name.
        longest_name: The longest name in bytes; None for no limit.
        schemas: What is asked about schemas.
        noun: What messages call a table.
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
    schemas: SchemaQueries = SchemaQueries()
    noun: str = "table"

    def parse_table(self, text: str) -> TableNames:
        """See `names.parse_table`."""
        return parse_table(text, longest=self.longest_name, schemas=self.has_schemas)


def create_missing(dialect: Dialect, relation: str, statement: str) -> Procedure[bool]:
    """Creates a table or index if it is missing; checks first, because `IF NOT EXISTS` needs the CREATE privilege in any case.

    Returns:
        Whether it was missing.
    """
    is_missing = not (yield Statement(dialect.find, [relation])).rows
    if is_missing:
        yield Statement(statement)
    return is_missing


class Placeholders:
    """Numbers the parameters of one statement, in the order in which their placeholders are requested."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._count = 0

    def _next(self, form: str) -> str:
        self._count += 1
        return form.format(n=self._count)

    def text(self) -> str:
        """Placeholder of a text."""
        return self._next(self._dialect.text_parameter)

    def whole(self) -> str:
        """Placeholder of a whole number."""
        return self._next(self._dialect.whole_parameter)

    def json(self) -> str:
        """Placeholder of a JSON text."""
        return self._next(self._dialect.json_parameter)

    def texts(self, count: int) -> str:
        """Placeholders of several texts, separated by commas."""
        return ", ".join(self.text() for _ in range(count))
