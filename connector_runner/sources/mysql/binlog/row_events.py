"""Row events of one table map, decoded to rows of its definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connector_runner.protocols.batch import Operation, Row
from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.events import read_packed
from connector_runner.sources.mysql.binlog.table_map import TableMap
from connector_runner.sources.mysql.decode.fields import Field, log_field
from connector_runner.sources.mysql.decode.json_binary import parse, render
from connector_runner.sources.mysql.decode.json_diff import apply_differences
from connector_runner.sources.mysql.decode.row_compiler import LogRows
from connector_runner.sources.mysql.decode.wire_types import Wire
from connector_runner.sources.mysql.types.table import TableDefinition

_UPSERT, _DELETE = bytes([Operation.UPSERT]), bytes([Operation.DELETE])
_MOVED = _DELETE + _UPSERT


class IncompleteRowsError(Exception):
    """Row images leave out columns; the message is for users.

    Attributes:
        is_lasting: Whether every update of this table leaves out columns, whatever the configuration of its writers.
    """

    def __init__(self, message: str, *, is_lasting: bool = False) -> None:
        super().__init__(message)
        self.is_lasting = is_lasting


class TableDecoder:
    """Decodes the row events that follow one table map.

    Args:
        table_map: The table's map in the log.
        definition: The table's definition; must match the map.
    """

    __slots__ = (
        "_all",
        "_fields",
        "_full",
        "_json_places",
        "_key_of",
        "_keys",
        "_partial",
        "_places",
        "_raw",
        "count",
        "definition",
    )

    def __init__(self, table_map: TableMap, definition: TableDefinition) -> None:
        self.definition = definition
        self.count = len(table_map.wires)
        self._fields = [
            log_field(
                column, wire, meta, in_key=column.name in definition.key, logged_labels=table_map.labels.get(place)
            )
            for place, (column, wire, meta) in enumerate(
                zip(definition.columns, table_map.wires, table_map.metas, strict=True)
            )
        ]
        self._json_places = [place for place, wire in enumerate(table_map.wires) if wire == Wire.JSON]
        self._all = ((1 << self.count) - 1).to_bytes((self.count + 7) // 8, "little")
        self._places = range(self.count)
        self._full = LogRows(list(enumerate(self._fields)), self._places)
        self._keys = LogRows(list(enumerate(self._fields)), definition.key_places)
        self._partial: dict[tuple[bytes, bool], LogRows] = {}
        self._raw: dict[bytes, LogRows] = {}
        self._key_of = _build_key(definition.key_places)

    def decode(
        self, kind: int, body: bytes, rows: list[Row], operations: bytearray, *, is_partial: bool = False, is_compressed: bool = False
    ) -> int:  # fmt: skip
        """Appends the rows and operations of one event; returns its size in bytes, unpacked.

        Args:
            kind: `events.WRITES`, `UPDATES` or `DELETES`.
            body: The event from the number of columns on (after table id, flags and the extra header).
            rows: The list to append rows to.
            operations: Where to append operations, one byte a row.
            is_partial: Whether it is a PARTIAL_UPDATE_ROWS event.
            is_compressed: Whether it is one of MariaDB's compressed events.

        Raises:
            IncompleteRowsError: Nothing was appended.
        """
        count, at = read_packed(body, 0)
        if count != self.count:
            raise ValueError(f"{self.definition.id}: a row event of {count} columns after a table map of {self.count}")
        size = len(self._all)
        before = self._normal(body[at : at + size])
        at += size
        after = before
        if kind == events.UPDATES:
            after = self._normal(body[at : at + size])
            at += size
        if is_compressed:
            body, at = events.decompress_maria(body[at:]), 0
        if kind == events.WRITES:
            self._require_all(after)
            start = len(rows)
            self._full.decode(body, at, len(body), rows.append)
            operations += _UPSERT * (len(rows) - start)
        elif kind == events.DELETES:
            start = len(rows)
            self._image(before, keys=False).decode(body, at, len(body), rows.append)
            operations += _DELETE * (len(rows) - start)
        elif is_partial or after != self._all:
            self._require_all(before, is_update=True)
            self._overlay(body, at, after, rows, operations, is_partial=is_partial)
        else:
            self._updates(body, at, self._image(before, keys=True), rows, operations)
        return len(body)

    def _updates(self, body: bytes, at: int, keys: LogRows, rows: list[Row], operations: bytearray) -> None:
        end, key_of = len(body), self._key_of
        key_bytes, key_readers = keys.null_bytes, keys.readers
        row_bytes, row_readers = self._full.null_bytes, self._full.readers
        append = rows.append
        while at < end:
            start = at + key_bytes
            key, at = key_readers[body[at:start]](body, start)
            start = at + row_bytes
            row, at = row_readers[body[at:start]](body, start)
            if key_of(row) == key:
                append(row)
                operations += _UPSERT
            else:
                append(self._spread(key))
                append(row)
                operations += _MOVED

    def _normal(self, present: bytes) -> bytes:
        """The bitmap of columns without the unused bits, which servers may set to anything."""
        number = int.from_bytes(present, "little") & (1 << self.count) - 1
        return number.to_bytes(len(present), "little")

    def _spread(self, key: Row) -> Row:
        """Makes a full row of which only the key is known."""
        row: list[Any] = [None] * self.count
        for place, value in zip(self.definition.key_places, key, strict=True):
            row[place] = value
        return tuple(row)

    def _image(self, present: bytes, *, keys: bool) -> LogRows:
        """The decoder of row images with these columns, of whole rows or of keys."""
        if present == self._all:
            return self._keys if keys else self._full
        found = self._partial.get((present, keys))
        if found is None:
            bits = int.from_bytes(present, "little")
            if any(not bits >> place & 1 for place in self.definition.key_places):
                self._require_all(present)
            fields = [(place, field) for place, field in enumerate(self._fields) if bits >> place & 1]
            found = LogRows(fields, self.definition.key_places if keys else self._places)
            self._partial[present, keys] = found
        return found

    def _require_all(self, present: bytes, *, is_update: bool = False) -> None:
        if present != self._all:
            bits = int.from_bytes(present, "little")
            missing = [column for place, column in enumerate(self.definition.columns) if not bits >> place & 1]
            if all(column.is_generated for column in missing):
                # An insert leaves out columns also in a session with binlog_row_image = MINIMAL.
                names = ", ".join(column.name for column in missing)
                raise IncompleteRowsError(
                    f"this server logs updates (and inserts beside them) without generated columns ({names}), as MariaDB 11.8 does whatever "
                    "binlog_row_image says; make the values in a view, or make them ordinary columns",
                    is_lasting=is_update,
                )
            raise IncompleteRowsError(
                "a session or the server runs with another binlog_row_image than FULL; set it (SET GLOBAL binlog_row_image = "
                "'FULL') and reconnect the writers"
            )

    def _overlay(
        self, body: bytes, at: int, after: bytes, rows: list[Row], operations: bytearray, *, is_partial: bool
    ) -> None:
        """Decodes updates whose new image leaves out unchanged columns, or holds JSON as differences."""
        bits = int.from_bytes(after, "little")
        present = [place for place in self._places if bits >> place & 1]
        changed_json = [place for place in self._json_places if place in present]
        old_rows, new_rows = self._raw_rows(self._all), self._raw_rows(after)
        while at < len(body):
            old, at = old_rows.read(body, at)
            patched: set[int] = set()
            if is_partial:
                options, at = read_packed(body, at)
                if options & 1:
                    size = (len(changed_json) + 7) // 8
                    flags = int.from_bytes(body[at : at + size], "little")
                    at += size
                    patched = {place for bit, place in enumerate(changed_json) if flags >> bit & 1}
            new, at = new_rows.read(body, at)
            row = tuple(
                self._finish(place, new[place] if bits >> place & 1 else old[place], old[place], place in patched)
                for place in self._places
            )
            before = tuple(self._finish(place, old[place], None, False) for place in self._places)
            if self._key_of(before) == self._key_of(row):
                rows.append(row)
                operations += _UPSERT
            else:
                rows += [before, row]
                operations += _MOVED

    def _raw_rows(self, present: bytes) -> LogRows:
        """The decoder of images with these columns, JSON left as it is stored."""
        found = self._raw.get(present)
        if found is None:
            bits = int.from_bytes(present, "little")
            fields = [
                (place, Field(prefix=field.prefix) if place in self._json_places else field)
                for place, field in enumerate(self._fields)
                if bits >> place & 1
            ]
            found = self._raw[present] = LogRows(fields, self._places)
        return found

    def _finish(self, place: int, value: Any, old: Any, is_patched: bool) -> Any:
        if place not in self._json_places or value is None:
            return value
        if is_patched:
            return render(apply_differences(parse(old or b""), value))
        return render(parse(value))


def _build_key(places: tuple[int, ...]) -> Callable[[Row], Row]:
    if len(places) == 1:
        place = places[0]
        return lambda row: (row[place],)
    return lambda row: tuple([row[place] for place in places])
