"""Rows with ever new patterns of NULLs: the function for all patterns reads what the patterns' own functions read."""

from __future__ import annotations

import gc
import random
import struct
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.mysql.decode.fields import Field, Use
from connector_runner.sources.mysql.decode.row_compiler import OFTEN, LogRows, ResultRows

KINDS = [
    Field("i"), Field("b"), Field(prefix=2, use=Use.UTF8), Field("d"), Field("B", use=Use.INDEX, convert=tuple(range(1000, 1256))),
    Field("3s", use=Use.CALL, convert=bytes.hex), Field(prefix=1, use=Use.CALL, convert=len), Field("q"), Field(prefix=3),
]  # fmt: skip


def encode_value(field: Field, number: int) -> tuple[bytes, Any]:
    """Bytes on the wire and the canonical value."""
    if field.code == "3s":
        raw = number.to_bytes(3, "little")
        return raw, raw.hex()
    if field.code:
        number %= 100
        return struct.pack(f"<{field.code}", number), 1000 + number if field.use is Use.INDEX else number
    text = str(number)
    value = {Use.UTF8: text, Use.CALL: len(text), Use.AS_IS: text.encode()}[field.use]
    size = 1 if field.prefix == 9 else field.prefix
    return len(text).to_bytes(size, "little") + text.encode(), value


def build_rows(fields: list[Field], nulls: list[int], first_bit: int) -> tuple[list[bytes], list[tuple[Any, ...]]]:
    images, rows = [], []
    for number, bits in enumerate(nulls):
        raw = (bits << first_bit).to_bytes((len(fields) + first_bit + 7) // 8, "little")
        row: list[Any] = []
        for place, field in enumerate(fields):
            image, value = encode_value(field, number + place)
            is_null = bits >> place & 1
            raw += b"" if is_null else image
            row.append(None if is_null else value)
        images.append(raw)
        rows.append(tuple(row))
    return images, rows


def patterns(count: int, rows: int, seed: int) -> list[int]:
    """Random NULLs, with runs of one pattern between them."""
    chance = random.Random(seed)
    found: list[int] = []
    while len(found) < rows:
        bits = chance.getrandbits(count) | (chance.getrandbits(count) if chance.random() < 0.5 else 0)
        found += [bits] * chance.choice([1, 1, 1, 1, OFTEN + 5])
    return found[:rows]


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=70), st.integers(0, 2**32))
def test_rows_of_the_log(fields: list[Field], seed: int) -> None:
    images, rows = build_rows(fields, patterns(len(fields), 300, seed), 0)
    raw = b"".join(images)
    decoder = LogRows(list(enumerate(fields)), range(len(fields)))
    found: list[tuple[Any, ...]] = []
    decoder.decode(raw, 0, len(raw), found.append)
    assert found == rows
    # Keys of rows, as updates read them: most columns are passed by.
    places = tuple(range(len(fields) - 1, -1, -5))
    keys, at = LogRows(list(enumerate(fields)), places), 0
    for row in rows:
        key, at = keys.read(raw, at)
        assert key == tuple(row[place] for place in places)
    assert at == len(raw)


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=40), st.integers(0, 2**32), st.integers(0, 4000))
def test_rows_of_results(fields: list[Field], seed: int, cut: int) -> None:
    fields = [field if field.code else Field(prefix=9, use=field.use, convert=field.convert) for field in fields]
    images, rows = build_rows(fields, patterns(len(fields), 200, seed), 2)
    stream = b"".join((len(image) + 1).to_bytes(3, "little") + b"\1\0" + image for image in images)
    decoder, found = ResultRows(fields), list[tuple[Any, ...]]()
    done = decoder.decode(stream[:cut], min(cut, len(stream)), found.append)
    rest = stream[done:]
    assert decoder.decode(rest, len(rest), found.append) == len(rest)
    assert found == rows


def test_few_functions_are_made_for_many_patterns() -> None:
    fields = [KINDS[place % len(KINDS)] for place in range(200)]
    images, rows = build_rows(fields, [random.Random(7).getrandbits(200) ^ number for number in range(2000)], 0)
    raw, found = b"".join(images), list[tuple[Any, ...]]()
    decoder = LogRows(list(enumerate(fields)), range(200))
    decoder.decode(raw, 0, len(raw), found.append)
    assert found == rows
    assert len(decoder.loops) < 25


@pytest.mark.parametrize("count", [3, 100])
def test_a_pattern_that_comes_back_gets_its_own_function(count: int) -> None:
    """Rows without NULLs among sparse ones are read as fast as without those."""
    fields = [KINDS[place % len(KINDS)] for place in range(count)]
    nulls = [0 if number % 2 else random.Random(number).getrandbits(count) for number in range(4000)]
    images, rows = build_rows(fields, nulls, 0)
    raw, found = b"".join(images), list[tuple[Any, ...]]()
    decoder = LogRows(list(enumerate(fields)), range(count))
    decoder.decode(raw, 0, len(raw), found.append)
    assert found == rows
    assert bytes((count + 7) // 8) in decoder.loops


def test_tables_with_the_same_columns_share_their_functions() -> None:
    """And only those whose converters are the same, and not only alike; nothing is kept of tables that are gone."""
    first, second = (LogRows(list(enumerate(KINDS)), range(len(KINDS))) for _ in range(2))
    images, rows = build_rows(KINDS, [0] * 3, 0)
    for table in (first, second):
        found: list[tuple[Any, ...]] = []
        table.decode(b"".join(images), 0, sum(map(len, images)), found.append)
        assert found == rows
    nulls = images[0][: first.null_bytes]
    assert first.loops[nulls] is second.loops[nulls]
    other = [*KINDS[:5], Field("3s", use=Use.CALL, convert=lambda raw: raw.hex()), *KINDS[6:]]
    assert LogRows(list(enumerate(other)), range(len(other))).loops[nulls] is not first.loops[nulls]
    assert LogRows(list(enumerate(KINDS)), range(3)).loops[nulls] is not first.loops[nulls]
    shared = weakref.ref(first.loops[nulls])
    del first, second, table
    gc.collect()
    assert shared() is None
