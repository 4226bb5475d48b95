"""The decoders of one table, found by the numbers that the log gives to tables. No I/O."""

from __future__ import annotations

from connector_runner.sources.mysql.decoder import TableDecoder
from connector_runner.sources.mysql.table import TableDefinition
from connector_runner.sources.mysql.tablemap import TableMap, parse_table_map

# Numbers and maps that are remembered.
REMEMBERED = 4096


def fold(name: tuple[str, str], *, folds_case: bool) -> tuple[str, str]:
    """A table's name as it is compared."""
    return (name[0].lower(), name[1].lower()) if folds_case else name


class Decoders:
    """What row events of which table number are decoded with: nothing, unless they are of the followed table.

    Args:
        definition: Of the followed table.
        folds_case: lower_case_table_names is not 0.
    """

    def __init__(self, definition: TableDefinition, *, folds_case: bool) -> None:
        self._folds_case = folds_case
        self._name = fold((definition.database, definition.name), folds_case=folds_case)
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
        if fold(names, folds_case=self._folds_case) != self._name:
            self._by_number[number] = self._by_map[raw] = None
            return None
        table_map = parse_table_map(raw)
        if not definition.matches(table_map):
            return table_map
        self._by_number[number] = self._by_map[raw] = TableDecoder(table_map, definition)
        return None

    def forget_numbers(self, *, above: int = 0) -> None:
        """Between transactions: each statement names its tables anew."""
        if len(self._by_number) > above:
            self._by_number.clear()

    def clear(self) -> None:
        """The definition is another one now."""
        self._by_number.clear()
        self._by_map.clear()
