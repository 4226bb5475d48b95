"""The decoders of the followed tables, found by the numbers that the log gives to tables. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from connector_runner.protocols.errors import RESET, ActionRequiredError
from connector_runner.sources.mysql.binlog.map_matching import describes
from connector_runner.sources.mysql.binlog.row_events import TableDecoder
from connector_runner.sources.mysql.binlog.table_map import TableMap, parse_table_map
from connector_runner.sources.mysql.types.names import TableName, fold_table
from connector_runner.sources.mysql.types.table import TableDefinition

# Numbers and maps that are remembered.
REMEMBERED = 4096


class Followed(Protocol):
    """A table whose rows are wanted."""

    definition: TableDefinition


Table = TypeVar("Table", bound=Followed)
Key = TypeVar("Key", int, bytes)


class TableDecoders(Generic[Table]):
    """The decoder for each table number in the log; none for tables that are not followed.

    A row event costs one look-up by number, however many tables there are.

    Args:
        tables: The followed tables by their names as they are compared; the owner may change them, and calls `forget` then.
        folds_case: Whether lower_case_table_names is not 0.
        is_mariadb: Whether the dialect is MariaDB's.
        charsets: Names of character sets by the number of a collation.
    """

    def __init__(
        self, tables: Mapping[TableName, Table], *, folds_case: bool, is_mariadb: bool, charsets: Mapping[int, str]
    ) -> None:
        self._tables = tables
        self._folds_case, self._is_mariadb, self._charsets = folds_case, is_mariadb, charsets
        self._by_number: dict[int, tuple[TableDecoder, Table] | None] = {}
        self._by_map: dict[bytes, tuple[TableDecoder, Table] | None] = {}
        self.get = self._by_number.get  # called for each row event; None for other tables

    def note(self, body: bytes) -> tuple[Table, TableMap] | None:
        """Reads a table map event's body; returns the table and the map if they do not match."""
        number, raw = int.from_bytes(body[:6], "little"), body[8:]
        if raw in self._by_map:
            self._by_number[number] = self._by_map[raw]
            return None
        # The names come first and are cheap to read; maps of other tables are not read further.
        size = raw[0]
        name_size = raw[size + 2]
        names = raw[1 : 1 + size].decode(), raw[size + 3 : size + 3 + name_size].decode()
        if len(self._by_map) > REMEMBERED:
            self._by_map.clear()
        table = self._tables.get(fold_table(names, folds_case=self._folds_case))
        if table is None:
            self._by_number[number] = self._by_map[raw] = None
            return None
        table_map = parse_table_map(raw, is_mariadb=self._is_mariadb)
        if not describes(table_map, table.definition, self._charsets):
            return table, table_map
        self._by_number[number] = self._by_map[raw] = TableDecoder(table_map, table.definition), table
        return None

    def require(self, body: bytes) -> None:
        """Reads a table map event's body that must match the definition, if its table is followed.

        Raises:
            ActionRequiredError: It does not match: the next rows can't be read, and must not be skipped.
        """
        found = self.note(body)
        if found is not None:
            raise ActionRequiredError(
                f"{found[0].definition.id}: the log describes its next rows in a way that fits no known definition. Start over with "
                f"{RESET}, and report this",
                reason="UnknownDefinition",
            )

    def forget_numbers(self, *, above: int = 0) -> None:
        """Forgets numbers between transactions, since each statement maps its tables again."""
        if len(self._by_number) > above:
            self._by_number.clear()

    def forget(self, table: Table) -> None:
        """Forgets a table with a new definition, or no longer followed; other tables keep the maps of the open statement."""
        self._drop(self._by_number, table)
        self._drop(self._by_map, table)

    def _drop(self, known: dict[Key, tuple[TableDecoder, Table] | None], table: Table) -> None:
        for key in [key for key, entry in known.items() if entry is not None and entry[1] is table]:
            del known[key]
