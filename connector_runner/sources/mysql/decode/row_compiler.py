"""Compiles a table's fields into Python functions that decode rows without checking the type of each column.

Each frequent pattern of NULLs gets a function of its own, in which every offset and every conversion is a constant: a run
of fixed-size columns is one `struct` call, and a row is one tuple expression. Measured ten times as fast as a loop over
columns. In sparse tables nearly every row has a pattern of its own: from a certain number of patterns on, one function that
checks the NULLs (`sparse_rows`) decodes all other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from connector_runner.sources.mysql.decode.fields import Field
from connector_runner.sources.mysql.decode.row_writer import Writer
from connector_runner.sources.mysql.decode.sparse_rows import write_sparse_row

# decode(buffer, position, end, append) -> position; stops at a row with other NULLs (or, in results, at the end).
RowLoop = Callable[[bytes, int, int, Callable[[tuple[Any, ...]], None]], int]
Function = TypeVar("Function")
RowReader = Callable[[bytes, int], tuple[tuple[Any, ...], int]]

# So many patterns of NULLs get a function of their own at once (fewer in wide tables, where each takes milliseconds to make).
FIRST_PATTERNS, FIRST_COLUMNS = 16, 4096
# One that comes back as often gets its own later, up to a bound for the memory.
OFTEN, PATTERN_LIMIT, COUNTED = 32, 1024, 4096


def _write_row(
    fields: Sequence[tuple[int, Field]], nulls: int, layout: Sequence[int], indent: str
) -> tuple[Writer, str]:
    """The statements and the tuple expression for one row.

    Args:
        fields: (index, field) of the columns that are present, in wire order.
        nulls: One bit for each of them, set if it is NULL; the first column has the lowest bit.
        layout: The columns of the row, by index; one that is not present or NULL becomes None.
        indent: The indentation of the statements.
    """
    writer = Writer(indent)
    read = {}
    for bit, (place, field) in enumerate(fields):
        if not nulls >> bit & 1:
            writer.read(place, field, wanted=place in layout)
            read[place] = field
    writer.flush()
    parts = [writer.value(place, read[place]) if place in read else "None" for place in layout]
    return writer, f"({', '.join(parts)},)" if parts else "()"


# Tables with the same columns share one function: the interpreter has it ready in its caches, however many such tables take turns.
# A function keeps the values of its names alive, so their ids stay theirs as long as the entry exists.
_made: WeakValueDictionary[tuple[Any, ...], FunctionType] = WeakValueDictionary()


@lru_cache(maxsize=256)
def _code(text: str, name: str) -> CodeType:
    return compile(text, f"<{name}>", "exec")


def _compile(lines: list[str], names: dict[str, Any], name: str) -> Any:
    text = "\n".join(lines)
    key = (text, *((used, id(value)) for used, value in names.items()))
    function = _made.get(key)
    if function is None:
        scope = dict(names)
        exec(_code(text, name), scope)  # noqa: S102 - the text is made here, of no outside input
        function = _made[key] = scope[name]
    return function


class _Patterns(dict[bytes, Function]):
    """The functions by NULL bitmap: one for each frequent pattern, made when it is first needed, and one for all others."""

    def __init__(
        self, columns: int, build: Callable[[bytes], Function], build_any: Callable[[_Patterns[Any]], Function]
    ) -> None:
        super().__init__()
        self._build, self._build_any = build, build_any
        self._first = max(FIRST_PATTERNS, FIRST_COLUMNS // max(1, columns))
        self._counts: dict[bytes, int] = {}
        self._any: Function | None = None

    def __missing__(self, nulls: bytes) -> Function:
        if len(self) >= self._first and not self._is_frequent(nulls):
            if self._any is None:
                self._any = self._build_any(self)
            return self._any
        function = self[nulls] = self._build(nulls)
        return function

    def _is_frequent(self, nulls: bytes) -> bool:
        count = self._counts.get(nulls, 0) + 1
        if len(self._counts) >= COUNTED:
            self._counts.clear()
        self._counts[nulls] = count
        return count >= OFTEN and len(self) < PATTERN_LIMIT


class LogRows:
    """Decodes row images of one table map with one set of present columns.

    Args:
        fields: (index, field) of the present columns, in order; the index is the column's in the table.
        layout: The columns of a row, by index, in order.
    """

    def __init__(self, fields: Sequence[tuple[int, Field]], layout: Sequence[int]) -> None:
        self._fields, self._layout = fields, layout
        self.null_bytes = (len(fields) + 7) // 8
        count = len(fields)
        self.loops: _Patterns[RowLoop] = _Patterns(count, self._build_loop, self._build_any_loop)
        self.readers: _Patterns[RowReader] = _Patterns(count, self._build_reader, self._build_any_reader)

    def decode(self, buffer: bytes, position: int, end: int, append: Callable[[tuple[Any, ...]], None]) -> None:
        """Decodes all row images in buffer[position:end]."""
        size, loops = self.null_bytes, self.loops
        while position < end:
            position = loops[buffer[position : position + size]](buffer, position, end, append)

    def read(self, buffer: bytes, position: int) -> tuple[tuple[Any, ...], int]:
        """Decodes one row image: (row, position after it)."""
        start = position + self.null_bytes
        return self.readers[buffer[position:start]](buffer, start)

    def _build_loop(self, nulls: bytes) -> RowLoop:
        writer, row = _write_row(self._fields, int.from_bytes(nulls, "little"), self._layout, " " * 8)
        size = self.null_bytes
        lines = ["def loop(b, p, end, append):", "    while p < end:"]
        lines += [f"        if b[p:p + {size}] != {nulls!r}: return p", f"        p += {size}", *writer.lines]
        lines += [f"        append({row})", "    return p"]
        loop: RowLoop = _compile(lines, writer.names, "loop")
        return loop

    def _build_reader(self, nulls: bytes) -> RowReader:
        writer, row = _write_row(self._fields, int.from_bytes(nulls, "little"), self._layout, " " * 4)
        reader: RowReader = _compile(["def read(b, p):", *writer.lines, f"    return {row}, p"], writer.names, "read")
        return reader

    def _build_any_loop(self, known: _Patterns[RowLoop]) -> RowLoop:
        writer, row = write_sparse_row(self._fields, 0, self._layout, " " * 8)
        size = self.null_bytes
        lines = ["def loop(b, p, end, append):", "    while p < end:", f"        if b[p:p + {size}] in known: return p"]
        lines += ["        o = p", f"        p += {size}", *writer.lines, f"        append({row})", "    return p"]
        loop: RowLoop = _compile(lines, writer.names | {"known": known}, "loop")
        return loop

    def _build_any_reader(self, _known: _Patterns[RowReader]) -> RowReader:
        writer, row = write_sparse_row(self._fields, 0, self._layout, " " * 4)
        lines = ["def read(b, p):", f"    o = p - {self.null_bytes}", *writer.lines, f"    return {row}, p"]
        reader: RowReader = _compile(lines, writer.names, "read")
        return reader


class ResultRows:
    """Decodes packets of a binary result set from the stream (length, sequence, 0x00, NULLs, values)."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = list(enumerate(fields))
        self._null_bytes = (len(fields) + 9) // 8
        self._loops: _Patterns[RowLoop] = _Patterns(len(fields), self._build_loop, self._build_any_loop)

    def decode(self, buffer: bytes, end: int, append: Callable[[tuple[Any, ...]], None]) -> int:
        """Decodes rows in buffer[:end] up to the first packet that is incomplete, has 16 MB, or is not a row; returns its start."""
        position, size = 0, self._null_bytes
        while True:
            before = position
            nulls = buffer[position + 5 : position + 5 + size]
            # Another first byte than 0 is the end or an error: no NULLs to make a function for.
            if len(nulls) == size and not buffer[position + 4]:
                position = self._loops[nulls](buffer, position, end, append)
            if position == before:
                return position

    def read_large(self, payload: bytes) -> tuple[Any, ...]:
        """Decodes one row of 16 MB or more, given as the contents of its packets without headers."""
        start = 1 + self._null_bytes
        nulls = int.from_bytes(payload[1:start], "little") >> 2
        writer, row = _write_row(self._fields, nulls, range(len(self._fields)), " " * 4)
        reader: RowReader = _compile(["def read(b, p):", *writer.lines, f"    return {row}, p"], writer.names, "read")
        return reader(payload, start)[0]

    def _build_loop(self, nulls: bytes) -> RowLoop:
        # The first two bits are reserved in result rows.
        writer, row = _write_row(self._fields, int.from_bytes(nulls, "little") >> 2, range(len(self._fields)), " " * 8)
        start = 5 + self._null_bytes
        lines = [
            "def loop(b, p, end, append):",
            f"    while p + {start} <= end:",
            "        n = b[p] | b[p + 1] << 8 | b[p + 2] << 16",
            "        s = p + 4 + n",
            f"        if s > end or n == 0xFFFFFF or b[p + 4] or b[p + 5:p + {start}] != {nulls!r}: return p",
            f"        p += {start}",
            *writer.lines,
            f"        append({row})",
            "        p = s",
            "    return p",
        ]
        loop: RowLoop = _compile(lines, writer.names, "loop")
        return loop

    def _build_any_loop(self, known: _Patterns[RowLoop]) -> RowLoop:
        writer, row = write_sparse_row(self._fields, 2, range(len(self._fields)), " " * 8)
        start = 5 + self._null_bytes
        lines = [
            "def loop(b, p, end, append):",
            f"    while p + {start} <= end:",
            "        n = b[p] | b[p + 1] << 8 | b[p + 2] << 16",
            "        s = p + 4 + n",
            f"        if s > end or n == 0xFFFFFF or b[p + 4] or b[p + 5:p + {start}] in known: return p",
            "        o = p + 5",
            f"        p += {start}",
            *writer.lines,
            f"        append({row})",
            "        p = s",
            "    return p",
        ]
        loop: RowLoop = _compile(lines, writer.names | {"known": known}, "loop")
        return loop
