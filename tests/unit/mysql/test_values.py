"""Packed values, JSON, charsets, column types, literals: against values worked out by hand or by another encoder."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.mysql.decode import json_binary, json_diff, values
from connector_runner.sources.mysql.decode.fields import Field, Use, fits, string_meta
from connector_runner.sources.mysql.decode.row_compiler import LogRows, ResultRows
from connector_runner.sources.mysql.decode.undecodable import UndecodableError
from connector_runner.sources.mysql.server.definitions import choose_key
from connector_runner.sources.mysql.types.charsets import (
    PYTHON_CODECS,
    encode_raw,
    is_supported,
    key_decoder,
    text_decoder,
)
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
    assert values.log_datetime(digits)(packed.to_bytes(5, "big") + fraction) == moment


def test_dates_that_are_none() -> None:
    assert values.Dates()[b"\0\0\0"] == "0000-00-00"
    assert values.Dates()[(2020 << 9 | 2 << 5 | 31).to_bytes(3, "little")] == "2020-02-31"
    assert values.field_date(b"") == "0000-00-00"
    assert values.field_timestamp(b"") == "0000-00-00T00:00:00Z"
    assert values.log_timestamp(6)(bytes(7)) == "0000-00-00T00:00:00Z"
    assert values.field_datetime(struct.pack("<HBB", 2024, 2, 0)) == "2024-02-00T00:00:00"
    assert values.log_timestamp(0)((1).to_bytes(4, "big")) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_old_temporal_types() -> None:
    assert values.log_datetime_old(20240229235959) == datetime(2024, 2, 29, 23, 59, 59)
    assert values.log_timestamp_old(0) == "0000-00-00T00:00:00Z"
    assert values.log_time_old((-123456).to_bytes(3, "little", signed=True)) == "-12:34:56"


def small_json(value: object) -> bytes:
    """A document of one level in the small format."""
    if isinstance(value, str):
        raw = value.encode()
        return b"\x0c" + bytes([len(raw)]) + raw
    if isinstance(value, bool) or value is None:
        return b"\x04" + bytes([{None: 0, True: 1, False: 2}[value]])
    if isinstance(value, float):
        return b"\x0b" + struct.pack("<d", value)
    assert isinstance(value, int)
    return b"\x09" + struct.pack("<q", value)


@given(
    st.one_of(
        st.text(max_size=100),
        st.booleans(),
        st.none(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_json_scalars_mean_the_same(value: object) -> None:
    text = json_binary.json_text(
        small_json(value) if not isinstance(value, str) or len(value.encode()) < 128 else b"\x0c\x00"
    )
    if not isinstance(value, str) or len(value.encode()) < 128:
        assert json.loads(text) == value


def test_json_differences() -> None:
    tree = json_binary.parse(b"\x00" + struct.pack("<HHHHBH", 1, 12, 11, 1, 5, 7) + b"a")
    assert json_binary.render(tree) == '{"a": 7}'
    change = bytes([1, 5]) + b'$."b"' + bytes([len(small_json("x"))]) + small_json("x")
    assert json_binary.render(json_diff.apply_differences(tree, change)) == '{"a": 7, "b": "x"}'
    assert json_binary.render(json_diff.apply_differences(tree, bytes([2, 3]) + b"$.a")) == '{"b": "x"}'
    with pytest.raises(ValueError, match="does not fit"):
        json_diff.apply_differences(tree, bytes([2, 3]) + b"$.z")


def path_bytes(path: str, value: bytes, operation: int = 0) -> bytes:
    raw = path.encode()
    return bytes([operation, len(raw)]) + raw + (b"" if operation == 2 else bytes([len(value)]) + value)


@pytest.mark.parametrize(
    ("operation", "path", "found"),
    [
        (0, "$.l[last]", '{"a": 7, "l": [1, 2, "x"]}'), (0, '$ . "l" [ last - 1 ] ', '{"a": 7, "l": [1, "x", 3]}'), (0, "$.a[0]", '{"a": "x", "l": [1, 2, 3]}'),
        (0, "$.a[last]", '{"a": "x", "l": [1, 2, 3]}'), (0, "$[0].a", '{"a": "x", "l": [1, 2, 3]}'), (0, "$", '"x"'), (1, "$.l[last]", '{"a": 7, "l": [1, 2, "x", 3]}'),
        (1, "$.l[9]", '{"a": 7, "l": [1, 2, 3, "x"]}'), (1, "$.l[last-9]", '{"a": 7, "l": ["x", 1, 2, 3]}'), (1, '$."a.b[0]"', '{"a": 7, "l": [1, 2, 3], "a.b[0]": "x"}'),
        (1, "$.\u00e9", '{"a": 7, "l": [1, 2, 3], "é": "x"}'), (2, "$.l[last-2]", '{"a": 7, "l": [2, 3]}'), (2, "$.l", '{"a": 7}'),
    ],
)  # fmt: skip
def test_paths_of_differences(operation: int, path: str, found: str) -> None:
    tree = {"a": "7", "l": ["1", "2", "3"]}
    assert json_binary.render(json_diff.apply_differences(tree, path_bytes(path, small_json("x"), operation))) == found


@pytest.mark.parametrize("path", ["$.l[3]", "$.l[last-3]", "$.z", "$.a.b", "$.l[*]", "$.l[1 to 2]", "$**.a"])
def test_paths_that_do_not_fit(path: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_diff.apply_differences({"a": "7", "l": ["1", "2", "3"]}, path_bytes(path, small_json("x")))


@given(st.binary(max_size=60))
def test_damaged_differences_are_an_error_and_nothing_else(raw: bytes) -> None:
    with suppress(ValueError):
        json_diff.apply_differences({"a": "7"}, raw)


def test_json_numbers_and_bytes_as_the_server_prints_them() -> None:
    """Decimals never with an exponent; base64 in lines of 76."""
    decimal = bytes([20, 10]) + pack_decimal("0.0000001000", 20, 10)
    assert json_binary.json_text(b"\x0f\xf6" + bytes([len(decimal)]) + decimal) == "0.0000001000"
    text = json_binary.json_text(b"\x0f\x0f" + bytes([58]) + b"ab" * 29)
    assert text.startswith('"base64:type15:YWJh')
    assert text.count("\\n") == 1


@given(st.binary(max_size=60))
def test_damaged_json_is_an_error_and_nothing_else(raw: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(json_binary.json_text(raw), str)


def test_a_damaged_count_is_noticed_at_once() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        json_binary.json_text(b"\x01" + b"\xff\xff\xff\xff" * 2 + bytes(20))


def test_text_never_loses_a_byte() -> None:
    assert text_decoder("latin1")(bytes(range(256)))[0x80:0x82] == "€\x81"
    assert text_decoder("utf8mb4")(b"a\xff") == "a\udcff"
    assert not is_supported("martian")
    with pytest.raises(LookupError, match="martian"):
        text_decoder("martian")


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


@given(
    st.sampled_from(
        ["latin1", "cp1250", "greek", "swe7", "big5", "cp932", "eucjpms", "gb18030", "sjis", "ujis", "euckr"]
    ),
    st.binary(max_size=12),
)
def test_no_bytes_are_lost_in_any_charset(charset: str, raw: bytes) -> None:
    """What has no character can be written again as it was."""
    text = text_decoder(charset)(raw)
    written = encode_raw(charset, text)
    assert written is None or text_decoder(charset)(written) == text


@pytest.mark.parametrize(
    "charset", sorted(set(PYTHON_CODECS) | {"armscii8", "dec8", "geostd8", "keybcs2", "latin1", "swe7"})
)
def test_every_byte_can_be_read(charset: str) -> None:
    """Also one below 0x80 that has no character: swe7 has none for 0x7f."""
    for raw in [*(bytes([byte]) for byte in range(256)), *(bytes([lead, 0x7F]) for lead in range(256))]:
        text = text_decoder(charset)(raw)
        written = encode_raw(charset, text)
        assert written is None or written == raw


def test_keys_refuse_codes_that_read_alike() -> None:
    assert key_decoder("cp932")(b"\x81\xbe") == text_decoder("cp932")(b"\x87\x9c") == "\u222a"
    with pytest.raises(UndecodableError, match="0x879c"):
        key_decoder("cp932")(b"\x87\x9c")
    with pytest.raises(UndecodableError, match="0xa5"):
        key_decoder("armscii8")(b"\xa5")
    assert key_decoder("latin1")(b"\xe9") == "é"


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
