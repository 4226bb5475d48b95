"""Reads back what a runner stored, whatever stored it."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from tests.servers.postgresql import PostgresServer

TABLE = "market"


class StoredDataset(ABC):
    """A dataset by its URL."""

    url: str

    @abstractmethod
    def query(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows, or none as long as the table does not exist. Places are written as `?`."""

    def has_rows(self) -> bool:
        return bool(self.query(f"SELECT 1 FROM {TABLE} LIMIT 1"))

    def commits(self) -> int:
        """How many transactions there were."""
        rows = self.query("SELECT number FROM _connector_checkpoints")
        return rows[0][0] if rows else 0

    def count(self) -> int:
        number: int = self.query(f"SELECT count(*) FROM {TABLE}")[0][0]
        return number

    def newest(self) -> dict[str, int]:
        """The position: the newest contiguous trade of each product."""
        rows = self.query("SELECT position FROM _connector_checkpoints")
        if not rows:
            return {}
        position = rows[0][0] if isinstance(rows[0][0], dict) else json.loads(rows[0][0])
        last: dict[str, int] = position["_last"]
        return last

    def trades(self, product: str) -> dict[int, dict[str, Any]]:
        """Rows of `matches` by trade id, with typed values."""
        names = ("trade_id", "sequence", "side", "price", "size", "time", "maker_order_id", "taker_order_id")
        rows = self.query(f"SELECT {', '.join(names)} FROM {TABLE} WHERE product_id = ?", (product,))
        found = {}
        for row in rows:
            values = dict(zip(names, row, strict=True))
            for name in ("price", "size"):
                values[name] = Decimal(values[name])
            if isinstance(values["time"], str):
                values["time"] = datetime.fromisoformat(values["time"])
            values["time"] = values["time"].astimezone(UTC)
            for name in ("maker_order_id", "taker_order_id"):
                values[name] = None if values[name] is None else str(values[name])
            assert values["trade_id"] not in found
            found[values["trade_id"]] = values
        return found

    def book(self, product: str) -> dict[tuple[str, Decimal], Decimal]:
        """Size by side and price; one price twice is an error."""
        rows = self.query(f"SELECT side, price, size FROM {TABLE} WHERE product_id = ?", (product,))
        book = {(side, Decimal(price)): Decimal(size) for side, price, size in rows}
        assert len(book) == len(rows)
        return book

    def _incidents(self) -> list[tuple[str, dict[str, Any]]]:
        rows = self.query(f"SELECT kind, detail FROM {TABLE}_incidents")
        return [(kind, detail if isinstance(detail, dict) else json.loads(detail)) for kind, detail in rows]

    def incident_kinds(self) -> set[str]:
        return {kind for kind, _ in self._incidents()}

    def gap_ids(self, product: str) -> set[int]:
        """The trade ids of all recorded gaps; an id in two gaps is an error."""
        ids = [
            n
            for kind, detail in self._incidents()
            if kind == "gap" and detail["product_id"] == product
            for n in range(detail["from"], detail["to"] + 1)
        ]
        assert len(ids) == len(set(ids))
        return set(ids)


class SqliteDataset(StoredDataset):
    """A file."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._path = path

    def query(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if not self._path.exists():
            return []
        with self._reader() as connection:
            try:
                return connection.execute(statement, tuple(arguments)).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=30)
        try:
            yield connection
        finally:
            connection.close()


class PostgresDataset(StoredDataset):
    """A database of a server that runs already."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        server.execute(f"CREATE DATABASE {name}")
        self.url = server.url(name)
        self._server, self._name = server, name

    def query(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._server.query(statement.replace("?", "%s"), arguments or None, database=self._name)
        except psycopg.errors.UndefinedTable:
            return []
