"""What the shared parts need from a lake: its ledger and tables, and the database that connects to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from connector_runner.datasets.blocking.database import Database
from connector_runner.datasets.columnar.connection import LakeConnection
from connector_runner.datasets.columnar.tables import Table
from connector_runner.protocols.schema import StreamSchema


class LakeDatabase(Database, Protocol):
    """A lake as a database.

    Attributes:
        connection: The newest connection; None if there is none.
    """

    connection: LakeConnection | None

    def connect(self, *, create: bool = True) -> LakeConnection:
        """A new connection with the ledger as it is now."""

    def named(self, tables: Mapping[str, str]) -> dict[str, str]:
        """Stream → its table's name in the lake."""

    def ensure(self, table: Table, schema: StreamSchema, *, append: bool, own: bool) -> bool:
        """Makes a table fit; returns whether it was created.

        Raises:
            SchemaConflictError: It can't be made to fit.
            ActionRequiredError: It has settings under which the promise can't be kept.
        """
