"""Writes the statements that read a row with any pattern of NULLs, for tables in which nearly every row has a different one.

Each byte of the NULL bitmap is checked once. If it is 0, its columns (up to eight) are read as in a full row. If not, runs of
fixed-size columns are read with a layout that is looked up by the byte, and the others one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from struct import Struct
from typing import Any

from connector_runner.sources.mysql.decode.fields import Field, Use
from connector_runner.sources.mysql.decode.row_writer import Writer

Columns = Sequence[tuple[int, Field]]
Layout = tuple[Callable[[bytes, int], tuple[Any, ...]], int, Callable[[tuple[Any, ...]], Any]]


class _Layouts(dict[int, Layout]):
    """The layout of a run of fixed-size columns, by its bits in the bitmap: (reader, size, function that inserts None for NULLs)."""

    def __init__(self, codes: Sequence[str], first_bit: int) -> None:
        super().__init__()
        self._codes, self._first_bit = codes, first_bit

    def __missing__(self, bits: int) -> Layout:
        present = [not bits >> self._first_bit + place & 1 for place in range(len(self._codes))]
        layout = Struct("<" + "".join(code for code, is_there in zip(self._codes, present, strict=True) if is_there))
        count = sum(present)
        found = [sum(present[:place]) if is_there else count for place, is_there in enumerate(present)]
        entry = self[bits] = layout.unpack_from, layout.size, itemgetter(*found)
        return entry


def write_sparse_row(fields: Columns, first_bit: int, layout: Sequence[int], indent: str) -> tuple[Writer, str]:
    """The statements and the tuple expression for one row, whose NULL bitmap is at `o` of `b` and whose values are at `p`.

    Args:
        fields: (index, field) of the columns that are present, in wire order.
        first_bit: The bit of the first column in the bitmap; lower bits are reserved.
        layout: The columns of the row, by index; one that is not present becomes None.
        indent: The indentation of the statements.
    """
    writer = Writer(indent)
    writer.names["none"] = (None,)
    wanted = frozenset(layout)
    bits = [bit + first_bit for bit in range(len(fields))]
    for byte in range((bits[-1] >> 3) + 1 if bits else 0):
        group = [(bit & 7, *fields[bit - first_bit]) for bit in bits if bit >> 3 == byte]
        _write_group(writer, byte, group, wanted, indent)
    writer.indent = indent
    places = {place: field for place, field in fields if place in wanted}
    parts = [f"v{place}" if place in places else "None" for place in layout]
    return writer, f"({', '.join(parts)},)" if parts else "()"


def _write_group(
    writer: Writer, byte: int, group: Sequence[tuple[int, int, Field]], wanted: frozenset[int], indent: str
) -> None:
    mask = sum(1 << bit for bit, _, _ in group)
    places = [place for _, place, _ in group if place in wanted]
    writer.indent = indent
    writer.line(f"m = b[o + {byte}] & {mask}")
    writer.line("if not m:")
    writer.indent = f"{indent}    "
    for _, place, field in group:
        writer.read(place, field, wanted=place in wanted)
    writer.flush()
    for _, place, field in group:
        if place in wanted and field.code and field.use is not Use.AS_IS:
            writer.line(f"v{place} = {writer.value(place, field)}")
    writer.indent = indent
    writer.line(f"elif m == {mask}:")
    writer.indent = f"{indent}    "
    writer.line(" = ".join([*(f"v{place}" for place in places), "None"]))
    writer.indent = indent
    writer.line("else:")
    run: list[tuple[int, int, Field]] = []
    for column in group:
        if column[2].code:
            run.append(column)
            continue
        _write_run(writer, run, wanted, f"{indent}    ")
        run = []
        _write_single(writer, column, wanted, f"{indent}    ")
    _write_run(writer, run, wanted, f"{indent}    ")


def _write_single(writer: Writer, column: tuple[int, int, Field], wanted: frozenset[int], indent: str) -> None:
    bit, place, field = column
    is_wanted = place in wanted
    writer.indent = indent
    if is_wanted:
        writer.line(f"if m & {1 << bit}: v{place} = None")
        writer.line("else:")
    else:
        writer.line(f"if not m & {1 << bit}:")
    writer.indent = f"{indent}    "
    writer.read(place, field, wanted=is_wanted)
    writer.flush()
    if is_wanted and field.code and field.use is not Use.AS_IS:
        writer.line(f"v{place} = {writer.value(place, field)}")


def _write_run(writer: Writer, run: Sequence[tuple[int, int, Field]], wanted: frozenset[int], indent: str) -> None:
    """Writes the statements for a run of fixed-size columns."""
    if not run:
        return
    if len(run) == 1 or not all(place in wanted for _, place, _ in run):
        for column in run:
            _write_single(writer, column, wanted, indent)
        return
    writer.indent = indent
    name = f"layouts{run[0][1]}"
    writer.names[name] = _Layouts([field.code for _, _, field in run], run[0][0])
    writer.line(f"r, n, g = {name}[m & {sum(1 << bit for bit, _, _ in run)}]")
    writer.line(f"{', '.join(f'v{place}' for _, place, _ in run)} = g(r(b, p) + none); p += n")
    for bit, place, field in run:
        if field.use is not Use.AS_IS:
            writer.line(f"if not m & {1 << bit}: v{place} = {writer.value(place, field)}")
