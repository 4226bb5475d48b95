"""Writes the Python statements that read a row's fields; `row_compiler` and `sparse_rows` build functions from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from struct import Struct, calcsize
from typing import Any

from connector_runner.sources.mysql.decode.fields import LENGTH_ENCODED, Field, Use


def read_length(buffer: bytes, position: int, first: int) -> tuple[int, int]:
    """Reads the rest of a length-encoded number above 250: (number, position after it)."""
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(buffer[position : position + size], "little"), position + size


@lru_cache(maxsize=1024)
def unpacker(layout: str) -> Callable[[bytes, int], tuple[Any, ...]]:
    """The function that reads a layout; always the same one, so that functions made from it can be compared."""
    return Struct(layout).unpack_from


class Writer:
    """Writes the statements that read fields from `b`, starting at `p`."""

    def __init__(self, indent: str) -> None:
        self.indent = indent
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"read_length": read_length}
        self._codes: list[str] = []
        self._targets: list[str] = []

    def read(self, place: int, field: Field, *, wanted: bool) -> None:
        """Reads a field into `v<index>`, or skips it."""
        if field.code:
            size = Struct(f"<{field.code}").size
            self._codes.append(field.code if wanted else f"{size}x")
            if wanted:
                self._targets.append(f"v{place}")
            return
        self.flush()
        self._variable(place, field, wanted)

    def flush(self) -> None:
        """Ends a run of fixed-size columns."""
        if not self._codes:
            return
        layout = "<" + "".join(self._codes)
        if self._targets:
            name = f"unpack{len(self.names)}"
            self.names[name] = unpacker(layout)
            self.line(f"{', '.join(self._targets)}, = {name}(b, p)")
        self.line(f"p += {calcsize(layout)}")
        self._codes, self._targets = [], []

    def _variable(self, place: int, field: Field, wanted: bool) -> None:
        if field.prefix == LENGTH_ENCODED:
            self.line("n = b[p]; p += 1")
            self.line("if n > 250: n, p = read_length(b, p, n)")
        elif field.prefix == 1:
            self.line("n = b[p]; p += 1")
        elif field.prefix == 2:
            self.line("n = b[p] | b[p + 1] << 8; p += 2")
        else:
            self.line(f"n = int.from_bytes(b[p:p + {field.prefix}], 'little'); p += {field.prefix}")
        if wanted:
            self.line("q = p + n")
            self.line(f"v{place} = {self.expression(place, field, 'b[p:q]')}; p = q")
        else:
            self.line("p += n")

    def expression(self, place: int, field: Field, value: str) -> str:
        """The expression that converts a raw value to the canonical one."""
        if field.use in {Use.CALL, Use.INDEX}:
            self.names[f"f{place}"] = field.convert
        return field.use.value.format(v=value, f=f"f{place}")

    def value(self, place: int, field: Field) -> str:
        """The expression of a field that was read."""
        return self.expression(place, field, f"v{place}") if field.code else f"v{place}"

    def line(self, text: str) -> None:
        """Adds a statement."""
        self.lines.append(f"{self.indent}{text}")
