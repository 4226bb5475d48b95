"""Edge values and random ones of every column type, as SQL expressions. Pure: the same draw gives the same text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.fuzz.mysql import texts
from tests.fuzz.mysql.draw import Draw
from tests.fuzz.mysql.shapes import Column

INTEGER_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
BLOB_SIZES = {
    "tinytext": 60,
    "text": 300,
    "mediumtext": 300,
    "longtext": 300,
    "tinyblob": 200,
    "blob": 400,
    "mediumblob": 400,
    "longblob": 400,
}
GEOMETRIES = {
    "point": ("POINT(1 2)", "POINT(-1.5 0)", "POINT(0 0)"),
    "linestring": ("LINESTRING(0 0, 1 1)", "LINESTRING(1 1, 2 3, -4 5)"),
    "polygon": ("POLYGON((0 0, 0 3, 3 3, 3 0, 0 0))",),
    "multipoint": ("MULTIPOINT(0 0, 1 1)",),
    "multilinestring": ("MULTILINESTRING((0 0, 1 1), (2 2, 3 3))",),
    "multipolygon": ("MULTIPOLYGON(((0 0, 0 3, 3 3, 3 0, 0 0)))",),
    "geometrycollection": ("GEOMETRYCOLLECTION(POINT(1 2), LINESTRING(0 0, 1 1))",),
}
DATES = ("1000-01-01", "9999-12-31", "1970-01-01", "2024-02-29", "2020-12-31", "0001-01-01")
ODD_DATES = ("0000-00-00", "2020-02-31", "2020-00-00", "2020-01-00", "0000-01-01", "2023-02-29", "1999-11-31")
TIMES = ("00:00:00", "23:59:59", "12:34:56.789012", "00:00:00.000001", "23:59:59.999999", "01:02:03.5")
SPANS = ("-838:59:59", "838:59:59", "-00:00:01", "-00:00:00.000001", "-12:30:00.5", "100:00:00", "838:59:58.999999")
STAMPS = (
    "1970-01-01 00:00:01",
    "2038-01-19 03:14:07",
    "2024-03-31 02:30:00",
    "2024-10-27 02:30:00",
    "2001-09-09 01:46:40.123456",
)
FLOATS = (
    "0",
    "-0e0",
    "1e-45",
    "1.17549435e-38",
    "3.4028234663852886e38",
    "-3.4e38",
    "0.1",
    "16777217",
    "-1.5",
    "1e10",
    "0.3333333333333333",
)
DOUBLES = (
    "0",
    "-0e0",
    "5e-324",
    "2.2250738585072014e-308",
    "1.7976931348623157e308",
    "-1e308",
    "0.1",
    "9007199254740993",
    "1e15",
    "1e16",
    "123456789012345678",
    "0.000001",
)


def literal(column: Column, draw: Draw, *, nulls: float = 0.15) -> str:
    """An expression for the column; NULL with that probability when the column may be."""
    if column.nullable and draw.chance(nulls):
        return "NULL"
    return _MAKERS[column.base](column, draw)


def _integer(column: Column, draw: Draw) -> str:
    bits = INTEGER_BITS[column.base]
    low, high = (0, 2**bits - 1) if column.is_unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if draw.chance(0.4):
        return str(draw.pick([low, high, 0, 1, max(low, -1), low + 1, high - 1]))
    return str(draw.number(max(low, -300), min(high, 300)))


def _decimal(column: Column, draw: Draw) -> str:
    precision, scale = (*column.numbers, 10, 0)[:2] if len(column.numbers) != 1 else (column.numbers[0], 0)
    whole = precision - scale
    digits = draw.pick(["9", "0", "1"])
    if draw.chance(0.4):
        number = digits * whole + ("." + digits * scale if scale else "")
    else:
        number = str(draw.number(0, 10 ** min(whole, 12) - 1)) if whole else "0"
        if scale:
            number += "." + "".join(draw.pick("0123456789") for _ in range(draw.number(1, scale)))
    return ("-" if draw.chance(0.4) and not column.is_unsigned else "") + (number or "0")


def _float(_column: Column, draw: Draw) -> str:
    return draw.pick(FLOATS) if draw.chance(0.6) else repr(draw.random.uniform(-1e6, 1e6))


def _double(_column: Column, draw: Draw) -> str:
    return draw.pick(DOUBLES) if draw.chance(0.6) else repr(draw.random.uniform(-1, 1) * 10 ** draw.number(-30, 30))


def _bit(column: Column, draw: Draw) -> str:
    size = column.numbers[0] if column.numbers else 1
    return f"b'{draw.random.choice([0, 1, 2**size - 1, draw.random.getrandbits(size)]):b}'"


def _text(column: Column, draw: Draw) -> str:
    longest = column.numbers[0] if column.numbers else BLOB_SIZES.get(column.base, 1)
    if column.charset == "binary":
        return _bytes(column, draw)
    if column.is_json and draw.is_mariadb:
        return texts.literal(_document(draw))
    if column.base in {"text", "mediumtext", "longtext"} and draw.chance(0.02):
        return f"REPEAT({texts.literal(texts.text(draw, 5) or 'x')}, {draw.number(200, 3000)})"
    return texts.literal(texts.text(draw, longest, column.charset))


def _bytes(column: Column, draw: Draw) -> str:
    longest = column.numbers[0] if column.numbers else BLOB_SIZES.get(column.base, 1)
    raw = draw.pick(
        [
            b"",
            b"\0",
            b"a\0",
            b"a ",
            b"\xff" * 3,
            b"\0\1\0",
            bytes(draw.random.randbytes(draw.number(0, min(longest, 40)))),
        ]
    )
    return texts.hexed(raw[:longest])


def _label(column: Column, draw: Draw) -> str:
    if draw.chance(0.4 if "" in column.labels else 0.15):
        return draw.pick(["''", "0", "'no such label'"])
    if column.base == "enum" or draw.chance(0.3):
        return str(draw.number(1, len(column.labels) if column.base == "enum" else 2 ** len(column.labels) - 1))
    return texts.literal(",".join(draw.some(column.labels, 0, 3)))


def _date(_column: Column, draw: Draw) -> str:
    return (
        f"'{draw.pick(ODD_DATES if draw.chance(0.25) else DATES)}'"
        if draw.chance(0.6)
        else f"'{draw.number(1970, 2030)}-{draw.number(1, 12):02}-{draw.number(1, 28):02}'"
    )


def _datetime(column: Column, draw: Draw) -> str:
    return f"{_date(column, draw)[:-1]} {draw.pick(TIMES)}'"


def _timestamp(_column: Column, draw: Draw) -> str:
    if draw.chance(0.1):
        return "'0000-00-00 00:00:00'"
    if draw.is_mariadb and draw.dialect.version >= (11, 5) and draw.chance(0.1):
        return "'2106-02-07 06:28:15'"
    return (
        f"'{draw.pick(STAMPS)}'"
        if draw.chance(0.6)
        else f"'{draw.number(1971, 2037)}-0{draw.number(1, 9)}-15 {draw.pick(TIMES)}'"
    )


def _time(_column: Column, draw: Draw) -> str:
    return f"'{draw.pick(SPANS if draw.chance(0.6) else TIMES)}'"


def _year(_column: Column, draw: Draw) -> str:
    return draw.pick(["0", "1901", "2155", "2024", "1970", "70", "69", "'0'", "'00'"])


def _document(draw: Draw, depth: int = 0) -> str:
    return json.dumps(_json_value(draw, depth), ensure_ascii=draw.chance(0.5))


def _json_value(draw: Draw, depth: int) -> Any:
    if depth > 2 or draw.chance(0.5):
        return draw.pick(
            [
                0,
                1,
                -1,
                2**63 - 1,
                -(2**63),
                2**64 - 1,
                32768,
                65536,
                -32769,
                1.5,
                1e100,
                -2.5e-7,
                0.1,
                1e15,
                1e16,
                1e17,
                123456.789,
                True,
                False,
                None,
                "",
                "x",
                "é日🎈",
                'a"b\\c\n\u0001',
                "y" * 130,
            ]
        )
    if draw.chance(0.5):
        return [_json_value(draw, depth + 1) for _ in range(draw.number(0, 4))]
    return {
        draw.pick(["", "a", "bb", "k" * 10, "é", "z z"]): _json_value(draw, depth + 1) for _ in range(draw.number(0, 4))
    }


JSON_EXPRESSIONS = (
    "JSON_OBJECT('d', DATE'2020-01-02', 't', TIME'-12:00:01.5', 'dt', TIMESTAMP'2020-01-02 03:04:05', 'n', 1.10)",
    "JSON_ARRAY(0.0000001, CAST(0 AS DECIMAL(20,10)), 1e-7, -0.00, CAST(1 AS DECIMAL(65,30)), 12345678901234567890.123)",
    "JSON_ARRAY(CAST(REPEAT('x', 57) AS BINARY), CAST(REPEAT('y', 58) AS BINARY), CAST(REPEAT('z', 200) AS BINARY), CAST('' AS BINARY))",
    "JSON_ARRAY(CAST(0 AS UNSIGNED), CAST(-1 AS SIGNED), 1.0, 1e0, 100.0, 0e0, -0e0, CAST('1970-01-01' AS DATE), b'101')",
    "JSON_ARRAY(REPEAT('long', 20000), 1)",
    "'null'",
    "'[]'",
    "'{}'",
    "'\"\"'",
)


def _json(_column: Column, draw: Draw) -> str:
    return draw.pick(JSON_EXPRESSIONS) if draw.chance(0.35) else texts.literal(_document(draw))


def _geometry(column: Column, draw: Draw) -> str:
    base = "geometrycollection" if column.base == "geomcollection" else column.base
    shape = draw.pick(GEOMETRIES[base if base in GEOMETRIES else draw.pick([*GEOMETRIES])])
    return f"ST_GeomFromText('{shape}'{draw.pick(['', ', 0', ', 4326'])})"


def _uuid(_column: Column, draw: Draw) -> str:
    return (
        f"'{draw.pick(['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '123e4567-e89b-12d3-a456-426655440000', '123e4567-e89b-42d3-a456-426655440100', '01890a5d-ac96-774b-bcce-b302099a8000'])}'"
        if draw.chance(0.5)
        else f"'{draw.random.randbytes(16).hex()}'"
    )


def _inet6(_column: Column, draw: Draw) -> str:
    return f"'{draw.pick(['::', '::1', '1::', '2001:db8::ff00:42:8329', '::ffff:192.0.2.128', '2001:db8:0:1:1:1:1:0', 'fe80::', '::1.2.3.4', '1:0:0:2::3'])}'"


def _inet4(_column: Column, draw: Draw) -> str:
    return f"'{draw.pick(['0.0.0.0', '10.0.0.0', '192.0.2.1', '255.255.255.255', '1.0.0.0'])}'"  # noqa: S104


def _vector(column: Column, draw: Draw) -> str:
    size = column.numbers[0] if column.numbers else 3
    numbers = ",".join(draw.pick(["0", "1", "-2.5", "0.1", "1e10", "3e-30"]) for _ in range(size))
    return f"{'VEC_FromText' if draw.is_mariadb else 'STRING_TO_VECTOR'}('[{numbers}]')"


_MAKERS: dict[str, Callable[[Column, Draw], str]] = {
    **dict.fromkeys(INTEGER_BITS, _integer), "decimal": _decimal, "float": _float, "double": _double, "bit": _bit,
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), _text),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), _bytes),
    "enum": _label, "set": _label, "date": _date, "datetime": _datetime, "timestamp": _timestamp, "time": _time, "year": _year,
    "json": _json, **dict.fromkeys((*GEOMETRIES, "geometry", "geomcollection"), _geometry),
    "uuid": _uuid, "inet6": _inet6, "inet4": _inet4, "vector": _vector,
}  # fmt: skip
