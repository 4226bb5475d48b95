"""Packed values, column types, literals, compiled rows: against values worked out by hand or by another encoder."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.mysql.decode import temporal, values
from connector_runner.sources.mysql.decode.fields import Field, Use
from connector_runner.sources.mysql.decode.row_compiler import LogRows, ResultRows
from connector_runner.sources.mysql.decode.wire_types import fits, string_meta
from connector_runner.sources.mysql.server.definitions import choose_key
from connector_runner.sources.mysql.types.columns import SourceColumn, parse_sql_type, quote_label
from connector_runner.sources.mysql.types.literals import after_condition, literal
from connector_runner.sources.mysql.types.table import TableDefinition


def pack_decimal(text: str, precision: int, scale: int) -> bytes:
    """decimal2bin, the slow way."""
    negative = text.startswith("-")
    whole, _, fraction = text.lstrip("-").partition(".")
    whole, fraction = whole.rjust(precision - scale, "0"), fraction.ljust(scale, "0")
    sizes = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
    head = len(whole) % 9
    parts = [whole[:head]] if head else []
    parts += [whole[at : at + 9] for at in range(head, len(whole), 9)] + [
        fraction[at : at + 9] for at in range(0, scale, 9)
    ]
    raw = bytearray(b"".join(int(part).to_bytes(sizes[len(part)], "big") for part in parts))
    if negative and text.strip("-0."):
        raw = bytearray(byte ^ 0xFF for byte in raw)
        raw[0] ^= 0x80
    else:
        raw[0] ^= 0x80
    return bytes(raw)


@given(st.data())
def test_decimals(data: st.DataObject) -> None:
    precision = data.draw(st.integers(1, 65))
    scale = data.draw(st.integers(0, min(30, precision)))
    whole = data.draw(st.integers(0, 10 ** (precision - scale) - 1)) if precision > scale else 0
    fraction = str(data.draw(st.integers(0, 10**scale - 1))).rjust(scale, "0") if scale else ""
    text = f"{data.draw(st.sampled_from(['', '-']))}{whole}{'.' if scale else ''}{fraction}"
    if not text.strip("-0."):
        text = text.lstrip("-")
    raw = (
        pack_decimal(text if precision > scale else text.replace("0.", ".", 1), precision, scale)
        if precision > scale
        else None
    )
    if raw is None:
        return
    assert len(raw) == values.decimal_size(precision, scale)
    decoded = values.log_decimal(precision, scale)(raw)
    assert decoded == Decimal(text)
    assert decoded.as_tuple().exponent == -scale


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)), st.integers(0, 6))
def test_datetimes(moment: datetime, digits: int) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits))
    ymd = (moment.year * 13 + moment.month) << 5 | moment.day
    packed = (ymd << 17 | moment.hour << 12 | moment.minute << 6 | moment.second) + 0x8000000000
    extra = (digits + 1) // 2
    fraction = (moment.microsecond // (1, 10000, 100, 1)[extra]).to_bytes(extra, "big") if extra else b""
    assert temporal.log_datetime(digits)(packed.to_bytes(5, "big") + fraction) == moment


def test_dates_that_are_none() -> None:
    assert temporal.Dates()[b"\0\0\0"] == "0000-00-00"
    assert temporal.Dates()[(2020 << 9 | 2 << 5 | 31).to_bytes(3, "little")] == "2020-02-31"
    assert temporal.field_date(b"") == "0000-00-00"
    assert temporal.field_timestamp(b"") == "0000-00-00T00:00:00Z"
    assert temporal.log_timestamp(6)(bytes(7)) == "0000-00-00T00:00:00Z"
    assert temporal.field_datetime(struct.pack("<HBB", 2024, 2, 0)) == "2024-02-00T00:00:00"
    assert temporal.log_timestamp(0)((1).to_bytes(4, "big")) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_old_temporal_types() -> None:
    assert temporal.log_datetime_old(20240229235959) == datetime(2024, 2, 29, 23, 59, 59)
    assert temporal.log_timestamp_old(0) == "0000-00-00T00:00:00Z"
    assert temporal.log_time_old((-123456).to_bytes(3, "little", signed=True)) == "-12:34:56"


@pytest.mark.parametrize(
    ("text", "logical"),
    [
        ("int(10) unsigned zerofill", "int64"), ("bigint unsigned", "uint64"), ("decimal(65,30)", "decimal(65,30)"), ("bit(64)", "uint64"),
        ("varchar(20)", "string(20)"), ("enum('a','b''c')", "string"), ("time(3)", "string"), ("timestamp(6)", "timestamptz"), ("double", "float64"),
        ("binary", "bytes(1)"), ("point", "bytes"), ("json", "json"), ("uuid", "uuid"), ("decimal(10)", "decimal(10,0)"), ("vector(3)", "bytes"),
    ],
)  # fmt: skip
def test_the_type_map(text: str, logical: str) -> None:
    assert str(SourceColumn("c", text).logical) == logical


def test_types_that_can_not_be_read_say_so() -> None:
    for text in ("longtext /*M!100301 COMPRESSED*/", "hyperloglog"):
        with pytest.raises(LookupError, match="column c"):
            _ = SourceColumn("c", text).logical


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5))
def test_labels_survive_quoting(labels: list[str]) -> None:
    assert parse_sql_type(f"enum({','.join(map(quote_label, labels))})").labels == tuple(labels)


def test_string_metadata() -> None:
    assert string_meta(254 | 100 << 8) == (254, 100)
    assert string_meta((254 ^ 0x30 & 0x30) | 0x10 << 0 | 0xFC << 8)[0] == 254
    assert fits(SourceColumn("c", "varbinary(20)"), 15, 20)
    assert not fits(SourceColumn("c", "varbinary(20)"), 15, 21)
    assert not fits(SourceColumn("c", "int"), 8, 0)


def test_literals_and_conditions() -> None:
    assert literal(SourceColumn("c", "enum('x','y')"), "y") == "2"
    assert literal(SourceColumn("c", "set('x','y')"), "x,y") == "3"
    assert literal(SourceColumn("c", "varchar(9)", "latin1"), "é'") == "_utf8mb4 X'c3a927'"
    assert literal(SourceColumn("c", "varbinary(9)"), b"\0'") == "X'0027'"
    assert literal(SourceColumn("c", "decimal(20,10)"), Decimal("0E-10")) == "0.0000000000"
    assert literal(SourceColumn("c", "date"), date(2024, 1, 2)) == "'2024-01-02'"
    assert (
        literal(SourceColumn("c", "timestamp(3)"), datetime(2024, 1, 2, 3, 4, 5, 6000, tzinfo=UTC))
        == "'2024-01-02 03:04:05.006000'"
    )
    assert after_condition(["a`b"], ["1"]) == "`a``b` > 1"
    assert after_condition(["a", "b"], ["1", "2"], [False, True]) == "`a` >= 1 AND ((`a` > 1) OR (`a` = 1 AND `b` < 2))"
    assert after_condition(["a"], ["1"], [True]) == "`a` < 1"
    assert after_condition(["a", "b"], ["1", "2"]) == "`a` >= 1 AND ((`a` > 1) OR (`a` = 1 AND `b` > 2))"


def test_the_key_is_the_primary_one_or_the_shortest_unique_one() -> None:
    indexes: dict[str, list[tuple[str | None, object]]] = {
        "PRIMARY": [("id", None)], "u": [("a", None)], "v": [("b", None), ("c", None)], "p": [("d", 10)], "f": [(None, None)],
    }  # fmt: skip
    assert choose_key(indexes, []) == ("PRIMARY", ("id",))
    del indexes["PRIMARY"]
    assert choose_key(indexes, ["a"]) == ("v", ("b", "c"))
    assert choose_key({"p": [("d", 10)]}, []) == ("", ())


def definition(*columns: SourceColumn) -> TableDefinition:
    return TableDefinition("d", "t", columns, ("id",))


ID = SourceColumn("id", "int", nullable=False)


def test_a_definition_survives_the_checkpoint() -> None:
    known = replace(
        definition(
            ID, SourceColumn("a", "enum('x''y')", "latin1", nullable=True),
            SourceColumn("g", "int", is_generated=True, expression="`id` + 1"),
        ),
        dropped=("old",),
    )  # fmt: skip
    found = TableDefinition.from_json("d.t", known.to_json())
    assert (found, found.dropped) == (known, ("old",))
    assert found.equals(definition(*(replace(column, default="5") for column in known.columns)))


def test_checkpoints_of_before_go_on_in_the_order_that_they_had() -> None:
    """They know nothing of collations and directions: all ascend, until a statement tells."""
    now = replace(definition(ID), order=(" desc",))
    old = {part: value for part, value in now.to_json().items() if part != "order"}
    known = TableDefinition.from_json("d.t", old)
    assert known.order == ()
    assert not known.descends(0)
    assert now.descends(0)
    assert known.equals(now)
    assert not replace(now, order=("",)).equals(now)
    assert TableDefinition.from_json("d.t", now.to_json()) == now


def test_a_database_with_dots_survives_the_checkpoint() -> None:
    dotted = replace(definition(ID), database="my.db", name="t.u")
    found = TableDefinition.from_json("my.db.t.u", json.loads(json.dumps(dotted.to_json())))
    assert (found.database, found.name, found.id) == ("my.db", "t.u", "my.db.t.u")
    assert "database" not in definition(ID).to_json()


ROW = st.tuples(
    st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
    st.one_of(st.none(), st.text(max_size=70)),
    st.one_of(st.none(), st.integers(0, 255)),
)


def encode(row: tuple[int | None, str | None, int | None], prefix: int, bits: int) -> bytes:
    """NULLs and values; `bits` low bits of the bitmap are reserved."""
    nulls = sum(1 << bits + place for place, value in enumerate(row) if value is None)
    raw = nulls.to_bytes((3 + bits + 7) // 8, "little")
    number, text, byte = row
    if number is not None:
        raw += struct.pack("<i", number)
    if text is not None:
        data = text.encode()
        raw += (
            len(data).to_bytes(prefix, "little")
            if prefix < 9
            else (bytes([len(data)]) if len(data) < 251 else b"\xfc" + struct.pack("<H", len(data)))
        ) + data
    return raw + (b"" if byte is None else bytes([byte]))


@given(st.lists(ROW, max_size=30))
def test_compiled_rows_of_the_log(rows: list[tuple[int | None, str | None, int | None]]) -> None:
    fields = [
        (0, Field("i")),
        (1, Field(prefix=2, use=Use.UTF8)),
        (2, Field("B", use=Use.INDEX, convert=tuple(range(1000, 1256)))),
    ]
    raw = b"".join(encode(row, 2, 0) for row in rows)
    found: list[tuple[object, ...]] = []
    LogRows(fields, (2, 0, 1)).decode(raw, 0, len(raw), found.append)
    assert found == [(None if c is None else c + 1000, a, b) for a, b, c in rows]


@given(st.lists(ROW, max_size=20), st.integers(0, 400))
def test_compiled_rows_of_results_wait_for_whole_packets(
    rows: list[tuple[int | None, str | None, int | None]], cut: int
) -> None:
    packets = [b"\0" + encode(row, 9, 2) for row in rows]
    stream = b"".join(len(packet).to_bytes(3, "little") + b"\1" + packet for packet in packets)
    fields = [Field("i"), Field(prefix=9, use=Use.UTF8), Field("B")]
    decoder = ResultRows(fields)
    found: list[tuple[object, ...]] = []
    first = stream[:cut]
    done = decoder.decode(first, len(first), found.append)
    rest = stream[done:] + b"\5\0\0\2\xfe\0\0\0\0"
    assert rest[decoder.decode(rest, len(rest), found.append) :] == b"\5\0\0\2\xfe\0\0\0\0"
    assert found == rows
