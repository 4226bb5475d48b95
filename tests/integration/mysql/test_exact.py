"""Copy, log and server say the same of every value: the server's own conversions are the witness, not samples written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.integration.mysql.conftest import Database, is_mariadb, variants
from tests.integration.mysql.exact import compare
from tests.integration.mysql.reading import Reading
from tests.servers.charset_tables import ask

EACH = variants("mysql-gtids", "mariadb")
CODES_A_ROW = 8000
# Values that cost trouble, by type; those that a server refuses are left out by it.
NUMBERS: dict[str, Sequence[str]] = {
    **{
        f"{name}{sign}": [str(low if sign == "" else 0), str(high), "0", "1", "100"]
        for name, low, high in (
            ("TINYINT", -128, 127), ("SMALLINT", -(2**15), 2**15 - 1), ("MEDIUMINT", -(2**23), 2**23 - 1), ("INT", -(2**31), 2**31 - 1),
            ("BIGINT", -(2**63), 2**63 - 1),
        )
        for sign, high in (("", high), (" UNSIGNED", 2 * high + 1), (" UNSIGNED ZEROFILL", 2 * high + 1))
    },
    **{
        f"DECIMAL({digits},{scale})": [
            "0", "-0.0", f"1e{digits - scale - 1}" if digits > scale else "0.5", "-" + "9" * (digits - scale) + "." + "9" * scale,
            "9" * (digits - scale) + "." + "9" * scale, f"-1e-{scale}", f"1e-{scale}", "0.5", "-0.5",
        ]
        for digits, scale in ((65, 30), (65, 0), (30, 30), (10, 2), (9, 0), (10, 0), (18, 9), (19, 9), (20, 10), (1, 0), (1, 1), (38, 18), (5, 5))
    },
    "FLOAT": ["0", "-0.0", "0.1", "1e-45", "1.17549435e-38", "3.4028234e38", "-3.4028234e38", "16777217", "123456.789", "1e10"],
    "FLOAT(7,3)": ["1234.5678", "-0.0005", "9999.999"],
    "DOUBLE": ["0", "-0.0e0", "0.1", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "1e22", "9007199254740993", "1e15", "123456789.123456789"],
    "DOUBLE(10,4)": ["1234.56785", "-0.00005"],
    "BIT(1)": ["0", "1"], "BIT(7)": ["127"], "BIT(8)": ["255"], "BIT(9)": ["511", "1"], "BIT(63)": ["9223372036854775807"],
    "BIT(64)": ["18446744073709551615", "1", "9223372036854775808"],
    "YEAR": ["0", "1901", "1970", "2000", "2155", "1999", "2069"],
}  # fmt: skip
DAYS = [
    "0000-00-00",
    "1000-01-01",
    "9999-12-31",
    "2020-02-31",
    "2020-02-00",
    "2020-00-00",
    "0000-01-01",
    "0001-01-01",
    "0099-12-31",
    "1582-10-10",
    "2024-02-29",
]
CLOCKS = ["00:00:00", "23:59:59.999999", "12:30:45.5", "00:00:00.000001", "23:59:59.499999", "01:02:03.10"]
TIMES: dict[str, Sequence[str]] = {
    "DATE": [f"'{day}'" for day in DAYS],
    **{f"DATETIME({digits})": [f"'{day} {clock}'" for day in DAYS for clock in CLOCKS] for digits in range(7)},
    **{
        f"TIMESTAMP({digits}) NULL": [
            f"'{moment}'" for moment in ("0000-00-00 00:00:00", "1970-01-01 00:00:01", "1970-01-01 00:00:01.999999", "2038-01-19 03:14:07",
                                         "2024-03-31 01:30:00.123456", "2000-02-29 23:59:59.5")
        ] for digits in range(7)
    },
    **{
        f"TIME({digits})": [
            f"'{sign}{clock}'" for sign in ("", "-") for clock in ("838:59:59", "838:59:58.999999", "00:00:00.000001", "00:00:00.5", "23:59:59.999999",
                                                                 "100:00:00.1", "00:00:01", "00:00:00", "33:59:00.000009", "00:01:00.99")
        ] for digits in range(7)
    },
}  # fmt: skip
BINARIES: dict[str, Sequence[str]] = {
    **{
        kind: ["''", "x'00'", "x'ff'", "x'0000'", "x'20'", "x'ff00'", f"REPEAT(x'ab', {size})", f"CONCAT(REPEAT(x'00', {size - 1}), x'01')"]
        for kind, size in (("BINARY(1)", 1), ("BINARY(16)", 16), ("BINARY(255)", 255), ("VARBINARY(255)", 255), ("VARBINARY(256)", 256),
                           ("TINYBLOB", 255), ("BLOB", 65535), ("MEDIUMBLOB", 70000), ("LONGBLOB", 300))
    },
    "GEOMETRY": ["POINT(1, -2.5)", "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))')", "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')"],
}  # fmt: skip
TEXTS: dict[str, Sequence[str]] = {
    "CHAR(1)": ["''", "' '", "'é'"], "CHAR(255)": ["REPEAT('é', 255)", "'  a  '", "''"], "VARCHAR(0)": ["''"], "VARCHAR(255)": ["REPEAT('日', 255)", "'a '"],
    "VARCHAR(64)": ["REPEAT('🎈', 64)", "' '"], "TINYTEXT": ["REPEAT('x', 255)", "''"], "TEXT": ["REPEAT('é', 30000)"], "MEDIUMTEXT": ["REPEAT('a', 70000)", "'\\0'"],
    "LONGTEXT": ["'\\\\\\'\\\"\\n'"],
    "ENUM('a','B','é','c,d','it''s')": ["'a'", "'b'", "'é'", "'c,d'", "5"],
    f"ENUM({','.join(repr(f'l{n}') for n in range(300))})": ["1", "255", "256", "300"],
    "SET('a','B','é')": ["''", "'a'", "'a,é'", "7"], f"SET({','.join(repr(f'l{n}') for n in range(64))})": ["18446744073709551615", "9223372036854775808", "1", "0"],
}  # fmt: skip
MYSQL_JSON = [
    "JSON_ARRAY(0.0000001, CAST(0 AS DECIMAL(20,10)), CAST('-0.5' AS DECIMAL(30,30)), CAST('1e30' AS DECIMAL(65,30)), 1e-7, -0e0)",
    "JSON_ARRAY(REPEAT(x'00ff', 28), REPEAT(x'00ff', 29), CAST(REPEAT('ab', 600) AS BINARY), x'', b'1010')",
    "JSON_ARRAY(1e14, 1e15, 1e16, 1.5e15, 1e-14, 1e-15, 1e-16, 1.5e-15, 0.1e0, 1.7976931348623157e308, 5e-324, 123456789.123456789e0, 1e22)",
    "JSON_ARRAY(TIMESTAMP'2020-01-02 03:04:05.6', DATE'2020-02-03', TIME'-12:00:01.5', TIME'31:59:59.999999', CAST('2020-01-01' AS DATETIME(3)))",
    "JSON_ARRAY(18446744073709551615, -9223372036854775808, 9223372036854775807, 65535, 65536, -32769, 2147483648, -2147483649)",
    "JSON_OBJECT('b', 1, 'aa', 2, '', 3, 'é', 4, '日', 5, '🎈', 6, 'a\\nb', 7)",
    "CONCAT('[\"', REPEAT('x', 70000), '\", 65536, 1.5, null, true, {\"k\": [[[]]]}]')",
    "CAST(ST_GeomFromText('POINT(1 2)') AS JSON)", "'\"\\\\u0000\\\\u001f\\\\u007f\\\\\"\\\\\\\\\\\\/\"'", "'[]'", "'{}'", "'null'", "'0'",
]  # fmt: skip
MARIADB: dict[str, Sequence[str]] = {
    "JSON": ["'{\"b\": 1,  \"a\":[1 ]}'", "'1e5'"],
    "UUID": ["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'123e4567-e89b-12d3-a456-426655440000'",
             "'123e4567-e89b-72d3-a456-426655440000'", "'00000000-0000-1000-8000-000000000100'"],
    "INET6": ["'::'", "'::1'", "'1::'", "'::ffff:1.2.3.4'", "'::1.2.3.4'", "'2001:db8:0:1:1:1:1:1'", "'1:0:0:2:0:0:0:3'", "'::2:3:4:5:6:7:8'", "'ff00::'", "'::100'"],
    "INET4": ["'0.0.0.0'", "'255.255.255.255'", "'10.0.0.0'", "'0.0.0.1'"],
    "YEAR(2)": ["'00'", "'69'", "'70'", "'99'", "2001", "1971"],
}  # fmt: skip


@pytest.mark.parametrize("variant", EACH)
@pytest.mark.parametrize("group", ["numbers", "times", "binaries", "texts"])
async def test_boundary_values(database: Database, variant: str, group: str) -> None:
    columns = {"numbers": NUMBERS, "times": TIMES, "binaries": BINARIES, "texts": TEXTS}[group]
    assert await compare(database, columns) > sum(map(len, columns.values()))


@pytest.mark.parametrize("variant", variants("mysql-gtids"))
async def test_json_documents(database: Database, variant: str) -> None:
    assert await compare(database, {"JSON": MYSQL_JSON}) == 2 * len(MYSQL_JSON)


@pytest.mark.parametrize("variant", variants("mariadb"))
async def test_types_of_mariadb(database: Database, variant: str) -> None:
    assert await compare(database, MARIADB) == 2 * sum(map(len, MARIADB.values()))


CASES = [
    "'abc'",
    "'  a '",
    "''",
    "'ÄäßñŁő'",
    "'ЖДабв'",
    "'αβΩ'",
    "'אבג'",
    "'جدة'",
    "'日本語、\uff5e∥\uff0d'",
    "'中文字'",
    "'가나'",
    "'กขฃ'",
    "'ἀ🎈'",
    "'\\\\~|{}[]'",
]


@pytest.mark.parametrize("variant", EACH)
async def test_every_charset_in_every_text_type(database: Database, variant: str) -> None:
    """ENUM and SET as well, whose labels the log has as numbers only."""
    kinds: dict[str, Sequence[str]] = {}
    for charset in charsets_of(database):
        suffix = f"CHARACTER SET {charset}"
        kinds |= {f"{kind} {suffix}": CASES for kind in ("CHAR(20)", "VARCHAR(100)", "TEXT")}
        labels = labels_of(database, charset)
        kinds |= {f"ENUM({labels}) {suffix}": ["1", "2"], f"SET({labels}) {suffix}": ["1", "3"]}
    assert await compare(database, kinds, options="ENGINE=MyISAM") > 40 * 60


def labels_of(database: Database, charset: str) -> str:
    """Two labels, one of them beyond ASCII if the set has such a character."""
    for label in ("日", "中", "가", "ก", "Ж", "ő", "Ä", "β", "א"):
        ((back,),) = database.query(f"SELECT CONVERT(CONVERT(_utf8mb4'{label}' USING {charset}) USING utf8mb4)")
        if back == label:
            return f"'{label}','x'"
    return "'x','y'"


def charsets_of(database: Database) -> list[str]:
    return [
        str(name)
        for (name,) in database.query("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS ORDER BY 1")
        if name != "binary"
    ]


def unicode_codes(charset: str, planes: int) -> list[bytes]:
    codec = {"ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be"}.get(
        charset, "utf-8"
    )
    last = 0x10000 if charset in {"ucs2", "utf8", "utf8mb3"} else planes * 0x10000
    return [chr(code).encode(codec) for code in range(last) if not 0xD800 <= code < 0xE000]


async def compare_codes(database: Database, codes: Mapping[str, Sequence[bytes]]) -> None:
    """Many codes a row, a column for each set, in both ways, with the server's own conversion."""
    columns = ", ".join(f"{charset}_ MEDIUMTEXT CHARACTER SET {charset}" for charset in codes)
    database.execute(f"CREATE TABLE t (id INT PRIMARY KEY, {columns}) ENGINE=MyISAM")
    count = max(map(len, codes.values())) // CODES_A_ROW + 1
    with database.server.session(database=database.name, init_command="SET sql_mode = 'TRADITIONAL'") as cursor:
        for row in range(count):
            cursor.execute(f"INSERT INTO t (id) VALUES ({row})")
            for charset, each in codes.items():
                if raw := b"".join(each[row * CODES_A_ROW : (row + 1) * CODES_A_ROW]):
                    cursor.execute(f"UPDATE t SET {charset}_ = x'{raw.hex()}' WHERE id = {row}")
    questions = ", ".join(f"CAST(CONVERT({charset}_ USING utf8mb4) AS BINARY)" for charset in codes)
    told: list[tuple[Any, ...]] = database.server.query(f"SELECT id, {questions} FROM t", database=database.name)
    async with Reading(database.server, f"{database.name}.t") as reading:
        await reading.until(lambda: len(reading.table) == count)
        database.execute(f"INSERT INTO t SELECT id + 1000, {', '.join(f'{charset}_' for charset in codes)} FROM t")
        await reading.until(lambda: len(reading.table) == 2 * count)
    for number, *texts in told:
        for way, key in (("copy", number), ("log", number + 1000)):
            for charset, value, text in zip(codes, reading.table[key,][1:], texts, strict=True):
                found = None if value is None else value.encode("utf-8", "surrogateescape")
                assert found == text, f"{charset}, {way}"


@pytest.mark.parametrize("variant", EACH)
@pytest.mark.parametrize("is_long", [False, pytest.param(True, marks=pytest.mark.fault)])
async def test_every_code_of_every_charset(database: Database, variant: str, is_long: bool) -> None:
    """The four-byte codes of GB 18030 and the planes beyond the first only in the long suite."""
    codes: dict[str, Sequence[bytes]] = {}
    for charset in charsets_of(database):
        if charset.startswith(("utf", "ucs")):
            codes[charset] = unicode_codes(charset, 17 if is_long else 1)
        elif is_long == (charset == "gb18030"):
            with database.server.session(database=database.name, init_command="SET sql_mode = ''") as cursor:
                found = ask(cursor, charset)
            codes[charset] = [code for code, character in found.items() if character is not None]
            assert len(codes[charset]) >= 100
    await compare_codes(database, codes)


@pytest.mark.parametrize("variant", EACH)
async def test_codes_without_a_character_are_kept(database: Database, variant: str) -> None:
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9) CHARACTER SET cp1256, b VARCHAR(9) CHARACTER SET greek, c VARCHAR(9) CHARACTER SET big5)",
        "INSERT INTO t VALUES (1, x'418a', x'41a4', x'41a3c0')",
    )
    async with Reading(database.server, f"{database.name}.t") as reading:
        await reading.until(lambda: len(reading.table) == 1)
        database.execute("INSERT INTO t SELECT id + 1, a, b, c FROM t")
        await reading.until(lambda: len(reading.table) == 2)
        assert reading.table[1,][1:] == reading.table[2,][1:] == ("A\udc8a", "A\udca4", "A\udca3\udcc0")


@pytest.mark.fault
@pytest.mark.parametrize("variant", ["mariadb-11.8", "mariadb-11.8-compressed"])
async def test_vectors_of_mariadb(database: Database, variant: str) -> None:
    """VARCHAR in its log, with and without names there."""
    assert is_mariadb(variant)
    values = ["VEC_FromText('[1,-2.5,300]')", "VEC_FromText('[0,0,0]')"]
    wide = ["VEC_FromText(CONCAT('[1', REPEAT(',2', 99), ']'))"]
    assert await compare(database, {"VECTOR(3)": values, "VECTOR(100)": wide, "VARCHAR(10)": ["'é'"]}) == 8


@pytest.mark.parametrize("variant", EACH)
async def test_labels_of_bytes(database: Database, variant: str) -> None:
    """MariaDB names their character set binary, MySQL names none."""
    assert (
        await compare(
            database,
            {"ENUM('a','é') CHARACTER SET binary": ["1", "2"], "SET('a','é') CHARACTER SET binary": ["3", "2"]},
        )
        == 8
    )


@pytest.mark.parametrize("variant", EACH)
async def test_labels_of_bytes_are_the_same_text_in_copy_and_log(database: Database, variant: str) -> None:
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a','é') CHARACTER SET binary, s SET('a','b') CHARACTER SET binary)",
        "INSERT INTO t VALUES (1, 2, 3)",
    )
    async with Reading(database.server, f"{database.name}.t") as reading:
        await reading.until(lambda: len(reading.table) == 1)
        database.execute("INSERT INTO t VALUES (2, 2, 3)")
        await reading.until(lambda: len(reading.table) == 2)
    assert reading.table[1,] == (1, "é", "a,b")
    assert reading.table[2,] == (2, "é", "a,b")
