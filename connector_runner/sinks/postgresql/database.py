"""Connects to a PostgreSQL database with a blocking driver, to inspect it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from connector_runner.datasets.names import TableNames
from connector_runner.datasets.procedure import Procedure
from connector_runner.sinks.postgresql.dialect import DIALECT, find_schema
from connector_runner.sinks.postgresql.errors import connection_failure, statement_failure
from connector_runner.sinks.postgresql.session import connection_info, describe


class PostgresConnection:
    """A psycopg connection that accepts SQL as text with numbered parameters."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> psycopg.Cursor[Any]:
        """Executes one statement."""
        return self._connection.execute(sql.encode(), parameters)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


class PostgresDatabase:
    """See `InspectedDatabase`."""

    dialect = DIALECT

    def __init__(self, read_url: Callable[[], str]) -> None:
        self._read_url = read_url
        self._where = "PostgreSQL"
        self._schema = "public"

    def connect(self, *, create: bool = True) -> PostgresConnection:
        """A new connection; it never creates anything.

        Raises:
            TransientError, ActionRequiredError: It can't be opened; the error says why.
        """
        del create
        url = self._read_url()
        self._where = describe(url)
        info = connection_info(url, "connector-runner inspector")
        try:
            return PostgresConnection(psycopg.connect(info, autocommit=True, cursor_factory=psycopg.RawCursor))
        except psycopg.OperationalError as error:
            raise connection_failure(str(error), self._where) from None

    def find(self, names: TableNames) -> Procedure[TableNames]:
        """Finds the table's schema, and names it from now on in messages about missing privileges."""
        found = yield from find_schema(names)
        self._schema = found.schema or self._schema
        return found

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raises PostgreSQL's errors as errors of the pipeline."""
        try:
            yield
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise connection_failure(str(error), self._where) from None
            grant = f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA {self._schema} TO this user"
            text = error.diag.message_primary or str(error)
            raise statement_failure(error.sqlstate, text, self._where, grant) from None
