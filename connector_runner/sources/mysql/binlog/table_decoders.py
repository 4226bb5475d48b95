"""The decoders of one table, found by the numbers that the log gives to tables. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from connector_runner.protocols.errors import RESET, ActionRequiredError
from connector_runner.sources.mysql.binlog.map_matching import describes
from connector_runner.sources.mysql.binlog.row_events import TableDecoder
from connector_runner.sources.mysql.binlog.table_map import TableMap, parse_table_map
from connector_runner.sources.mysql.types.names import fold_table
from connector_runner.sources.mysql.types.table import TableDefinition

# Numbers and maps that are remembered.
REMEMBERED = 4096


class TableDecoders:
    """What row events of which table number are decoded with: nothing, unless they are of the followed table.

    Args:
        definition: Of the followed table.
        folds_case: lower_case_table_names is not 0.
        is_mariadb: The dialect.
        charsets: Names of character sets by the number of a collation.
    """

    def __init__(
        self, definition: TableDefinition, *, folds_case: bool, is_mariadb: bool, charsets: Mapping[int, str]
    ) -> None:
        self._folds_case, self._is_mariadb, self._charsets = folds_case, is_mariadb, charsets
        self._name = fold_table((definition.database, definition.name), folds_case=folds_case)
        self._by_number: dict[int, TableDecoder | None] = {}
        self._by_map: dict[bytes, TableDecoder | None] = {}

    def get(self, number: int) -> TableDecoder | None:
        """Of a row event; None for other tables."""
        return self._by_number.get(number)

    def note(self, body: bytes, definition: TableDefinition) -> TableMap | None:
        """Takes in a table map event's body; returns the map if it is the table's and does not fit the definition."""
        number, raw = int.from_bytes(body[:6], "little"), body[8:]
        if raw in self._by_map:
            self._by_number[number] = self._by_map[raw]
            return None
        # Names come first and are cheap; other tables' maps are not read any further.
        size = raw[0]
        name_size = raw[size + 2]
        names = raw[1 : 1 + size].decode(), raw[size + 3 : size + 3 + name_size].decode()
        if len(self._by_map) > REMEMBERED:
            self._by_map.clear()
        if fold_table(names, folds_case=self._folds_case) != self._name:
            self._by_number[number] = self._by_map[raw] = None
            return None
        table_map = parse_table_map(raw, is_mariadb=self._is_mariadb)
        if not describes(table_map, definition, self._charsets):
            return table_map
        self._by_number[number] = self._by_map[raw] = TableDecoder(table_map, definition)
        return None

    def require(self, body: bytes, definition: TableDefinition) -> None:
        """Takes in a table map event's body that must fit the definition.

        Raises:
            ActionRequiredError: It does not: the rows that come next can't be read, and are never left out.
        """
        if self.note(body, definition) is not None:
            raise ActionRequiredError(
                f"{definition.id}: the log describes its next rows in a way that fits no known definition. Start over with "
                f"{RESET}, and report this",
                reason="UnknownDefinition",
            )

    def forget_numbers(self, *, above: int = 0) -> None:
        """Between transactions: each statement names its tables anew."""
        if len(self._by_number) > above:
            self._by_number.clear()

    def clear(self) -> None:
        """The definition is another one now."""
        self._by_number.clear()
        self._by_map.clear()
