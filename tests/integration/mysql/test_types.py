"""Every column type with extreme values: what the copy stores is what the log stores, and what a client reads."""

from __future__ import annotations

import signal
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.running import Runner

NULL = object()
# column: (type, [(SQL, expected)]); the rows are made of the n-th value of each, the last one repeated.
COMMON: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    "ti": ("TINYINT", [("-128", -128), ("127", 127)]),
    "tu": ("TINYINT UNSIGNED", [("255", 255), ("0", 0)]),
    "si": ("SMALLINT", [("-32768", -32768)]),
    "su": ("SMALLINT UNSIGNED", [("65535", 65535)]),
    "mi": ("MEDIUMINT", [("-8388608", -8388608), ("8388607", 8388607)]),
    "mu": ("MEDIUMINT UNSIGNED", [("16777215", 16777215)]),
    "ii": ("INT", [("-2147483648", -2147483648)]),
    "iu": ("INT UNSIGNED ZEROFILL", [("4294967295", 4294967295)]),
    "bi": ("BIGINT", [("-9223372036854775808", -(2**63))]),
    "bu": ("BIGINT UNSIGNED", [("18446744073709551615", 2**64 - 1), ("0", 0)]),
    "b1": ("BIT(1)", [("b'1'", 1), ("b'0'", 0)]),
    "b9": ("BIT(9)", [("b'100000001'", 257)]),
    "b64": ("BIT(64)", [("x'FFFFFFFFFFFFFFFF'", 2**64 - 1), ("b'1'", 1)]),
    "dec": ("DECIMAL(65,30)", [
        ("99999999999999999999999999999999999.999999999999999999999999999999", Decimal("9" * 35 + "." + "9" * 30)),
        ("-0.000000000000000000000000000001", Decimal("-0.000000000000000000000000000001")), ("0", Decimal("0." + "0" * 30)),
    ]),
    "dec2": ("DECIMAL(10,2)", [("-12345678.90", Decimal("-12345678.90")), ("1.50", Decimal("1.50"))]),
    "dec0": ("DECIMAL(20,0)", [("12345678901234567890", Decimal(12345678901234567890)), ("-7", Decimal(-7))]),
    "f4": ("FLOAT", [("0.1", 0.10000000149011612), ("-3.4028234e38", -3.4028234663852886e38), ("16777217", 16777216.0)]),
    "f8": ("DOUBLE", [("0.1", 0.1), ("-1.7976931348623157e308", -1.7976931348623157e308), ("5e-324", 5e-324)]),
    "d": ("DATE", [("'1000-01-01'", date(1000, 1, 1)), ("'0000-00-00'", "0000-00-00"), ("'9999-12-31'", date(9999, 12, 31)),
                   ("'2020-02-00'", "2020-02-00")]),
    "dt": ("DATETIME", [("'2024-02-29 23:59:59'", datetime(2024, 2, 29, 23, 59, 59)), ("'0000-00-00 00:00:00'", "0000-00-00T00:00:00"),
                        ("'9999-12-31 23:59:59'", datetime(9999, 12, 31, 23, 59, 59))]),
    "dt6": ("DATETIME(6)", [("'1000-01-01 00:00:00.000001'", datetime(1000, 1, 1, 0, 0, 0, 1)),
                            ("'0000-00-00 00:00:00.000000'", "0000-00-00T00:00:00")]),
    "dt3": ("DATETIME(3)", [("'2024-02-29 23:59:59.987'", datetime(2024, 2, 29, 23, 59, 59, 987000))]),
    "ts": ("TIMESTAMP NULL", [("'1970-01-01 00:00:01'", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)), ("'0000-00-00 00:00:00'", "0000-00-00T00:00:00Z"),
                              ("'2038-01-19 03:14:07'", datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC))]),
    "ts6": ("TIMESTAMP(6) NULL", [("'2024-06-01 12:00:00.123456'", datetime(2024, 6, 1, 12, 0, 0, 123456, tzinfo=UTC))]),
    "t": ("TIME", [("'-838:59:59'", "-838:59:59"), ("'00:00:00'", "00:00:00"), ("'838:59:59'", "838:59:59"), ("'-00:00:01'", "-00:00:01")]),
    "t6": ("TIME(6)", [("'-12:34:56.000001'", "-12:34:56.000001"), ("'00:00:00'", "00:00:00.000000"), ("'-00:00:00.500000'", "-00:00:00.500000"),
                       ("'838:59:58.999999'", "838:59:58.999999")]),
    "t2": ("TIME(2)", [("'-01:00:00.25'", "-01:00:00.25"), ("'12:00:00.99'", "12:00:00.99")]),
    "t4": ("TIME(4)", [("'-01:00:00.0001'", "-01:00:00.0001"), ("'-00:00:00.9999'", "-00:00:00.9999")]),
    "y": ("YEAR", [("1901", 1901), ("0", 0), ("2155", 2155)]),
    "c": ("CHAR(10)", [("'  ab  '", "  ab"), ("''", ""), ("'ünï🎈'", "ünï🎈")]),
    "cw": ("CHAR(255)", [("REPEAT('🎈',255)", "🎈" * 255), ("'x'", "x")]),
    "vc": ("VARCHAR(300)", [("REPEAT('é', 300)", "é" * 300), ("''", ""), ("'a\\0b  '", "a\0b  ")]),
    "l1": ("VARCHAR(20) CHARACTER SET latin1", [("'café €'", "café €"), ("x'81'", "\x81")]),
    "gbk": ("VARCHAR(20) CHARACTER SET gbk", [("'中文'", "中文")]),
    "u16": ("VARCHAR(20) CHARACTER SET utf16", [("'a🎈'", "a🎈")]),
    "sj": ("CHAR(20) CHARACTER SET sjis", [("'日本'", "日本")]),
    "tt": ("TINYTEXT", [("'tiny'", "tiny")]),
    "tx": ("TEXT CHARACTER SET latin1", [("REPEAT('ÿ', 5000)", "ÿ" * 5000), ("''", "")]),
    "mt": ("MEDIUMTEXT", [("REPEAT('m', 70000)", "m" * 70000), ("'m'", "m")]),
    "lt": ("LONGTEXT", [("'long'", "long")]),
    "bn": ("BINARY(8)", [("'ab'", b"ab\0\0\0\0\0\0"), ("x'0001000000000000'", b"\0\1\0\0\0\0\0\0"), ("'ab  '", b"ab  \0\0\0\0")]),
    "vb": ("VARBINARY(300)", [("x'00FF00'", b"\0\xff\0"), ("''", b"")]),
    "bl": ("BLOB", [("x'00FF'", b"\0\xff"), ("''", b"")]),
    "tb": ("TINYBLOB", [("x'01'", b"\1")]),
    "mb": ("MEDIUMBLOB", [("REPEAT(x'FE', 70000)", b"\xfe" * 70000), ("x'FE'", b"\xfe")]),
    "lb": ("LONGBLOB", [("x'00'", b"\0")]),
    "en": ("ENUM('', 'a''b', 'ü', 'x\\\\y')", [("'a''b'", "a'b"), ("'ü'", "ü"), ("''", ""), ("'x\\\\y'", "x\\y")]),
    "se": ("SET('r','g','b','ü')", [("'r,b'", "r,b"), ("''", ""), ("'ü,r'", "r,ü")]),
    "pt": ("POINT", [("ST_GeomFromText('POINT(1 2)', 4326)" , NULL), ("POINT(-1.5, 2)", bytes.fromhex("0101000000000000000000f8bf0000000000000040"))]),
    "ge": ("GEOMETRY", [("LINESTRING(POINT(0,0), POINT(1,1))", bytes.fromhex("010200000002000000" + "00" * 16 + "000000000000f03f" * 2))]),
    "gs": ("INT GENERATED ALWAYS AS (ti * 2) STORED", [("DEFAULT", -256), ("DEFAULT", 254)]),
    "gv": ("INT GENERATED ALWAYS AS (ti * 3) VIRTUAL", [("DEFAULT", -384), ("DEFAULT", 381)]),
    "iv": ("INT DEFAULT 7 INVISIBLE", [("8", 8)]),
}  # fmt: skip
MYSQL = {
    "js": ("JSON", [
        ("""'{"b": 1, "aa": [1.0, -2.5e-7, 1e100, true, null, "x\\\\"\\\\\\\\\\\\n\\\\u0001é🎈"], "": {"n": 18446744073709551615}}'""",
         '{"": {"n": 18446744073709551615}, "b": 1, "aa": [1.0, -0.00000025, 1e100, true, null, "x\\"\\\\\\n\\u0001é🎈"]}'),
        ("JSON_OBJECT('d', DATE'2020-01-02', 't', TIME'-12:00:01.5', 'dt', TIMESTAMP'2020-01-02 03:04:05', 'n', 1.10, 'big', -9223372036854775808)",
         '{"d": "2020-01-02", "n": 1.10, "t": "-12:00:01.500000", "dt": "2020-01-02 03:04:05.000000", "big": -9223372036854775808}'),
        ("JSON_ARRAY(REPEAT('x', 70000), 1)", '["' + "x" * 70000 + '", 1]'), ("'[]'", "[]"), ("'\"s\"'", '"s"'), ("'null'", "null"),
    ]),
}  # fmt: skip
MARIADB = {
    "js": ("JSON", [("""'{"b": 1,"a":2 }'""", '{"b": 1,"a":2 }')]),
    "uu": ("UUID", [("'123e4567-e89b-12d3-a456-426655440000'", "123e4567-e89b-12d3-a456-426655440000"),
                    ("'00000000-0000-0000-0000-000000000000'", "00000000-0000-0000-0000-000000000000"),
                    ("'ffffffff-ffff-7fff-bfff-ffffffffff00'", "ffffffff-ffff-7fff-bfff-ffffffffff00")]),
    "i6": ("INET6", [("'2001:db8::ff00:42:8329'", "2001:db8::ff00:42:8329"), ("'::ffff:192.0.2.128'", "::ffff:192.0.2.128"), ("'::'", "::"),
                     ("'1::'", "1::"), ("'::1.2.3.4'", "::1.2.3.4"), ("'::1'", "::1"), ("'2001:db8:0:1:1:1:1:1'", "2001:db8::1:1:1:1:1")]),
    "i4": ("INET4", [("'192.0.2.1'", "192.0.2.1"), ("'10.0.0.0'", "10.0.0.0")]),
}  # fmt: skip
ROWS = 7  # at least as many as the longest list of values


def columns_of(database: Database) -> dict[str, tuple[str, list[tuple[str, Any]]]]:
    columns = COMMON | (MARIADB if database.server.is_mariadb else MYSQL)
    # MariaDB 11.8 logs updates without generated columns; see test_newer.py.
    leaves_out = database.server.distribution.name == "mariadb-11.8"
    return {name: column for name, column in columns.items() if not leaves_out or "GENERATED" not in column[0]}


def insert_rows(database: Database, first: int) -> None:
    columns = columns_of(database)
    names = ", ".join(["id", *(f"`{name}`" for name in columns)])
    for place in range(ROWS):
        values = ", ".join(cases[min(place, len(cases) - 1)][0] for _, cases in columns.values())
        database.execute(
            "SET sql_mode='ALLOW_INVALID_DATES', time_zone='+00:00'", f"INSERT INTO t ({names}) VALUES ({first + place}, {values})"
        )  # fmt: skip
    database.execute(f"INSERT INTO t (id, ti, iv) VALUES ({first + ROWS}, NULL, NULL)")


def expected_value(cases: list[tuple[str, Any]], place: int) -> Any:
    return cases[min(place, len(cases) - 1)][1]


async def test_copy_and_log_agree_on_every_type(database: Database) -> None:
    columns = columns_of(database)
    definition = ", ".join(f"`{name}` {kind}" for name, (kind, _) in columns.items())
    database.execute(f"CREATE TABLE t (id INT PRIMARY KEY, {definition}) CHARACTER SET utf8mb4")
    insert_rows(database, 0)
    async with Reading(database.server, f"{database.name}.t") as reading:
        await reading.until(lambda: len(reading.table) == ROWS + 1)
        insert_rows(database, 100)
        await reading.until(lambda: len(reading.table) == 2 * (ROWS + 1))
        names = [column.name for column in reading.batches[0].schema.columns]
        assert names == ["id", *columns]
        assert len(columns) >= 31
        for place in range(ROWS + 1):
            copied, logged = reading.table[place,], reading.table[100 + place,]
            for name, copy, log in zip(names[1:], copied[1:], logged[1:], strict=True):
                assert repr(copy) == repr(log), f"{name}, row {place}: the copy stores {copy!r}, the log {log!r}"
                wanted = None if place == ROWS else expected_value(columns[name][1], place)
                if wanted is not NULL:
                    assert repr(copy) == repr(wanted), f"{name}, row {place}: {copy!r} instead of {wanted!r}"
        # Updates and deletes bring whole rows as well.
        database.execute("SET sql_mode=''", "UPDATE t SET si = 1 WHERE id < 100", "DELETE FROM t WHERE id >= 100")
        await reading.until(
            lambda: (
                len(reading.table) == ROWS + 1 and all(row[names.index("si")] == 1 for row in reading.table.values())
            )
        )
        for place in range(ROWS):
            for name, value in zip(names[1:], reading.table[place,][1:], strict=True):
                wanted = expected_value(columns[name][1], place)
                if name != "si" and wanted is not NULL:
                    assert repr(value) == repr(wanted), f"{name}, row {place}, after an update"


@pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb"))
@pytest.mark.parametrize("mode", ["upsert", "append"])
def test_every_type_is_stored_alike_by_copy_and_log(database: Database, mode: str, tmp_path: Path) -> None:
    """In a real dataset; what keeps each value is the sink's own matter."""
    columns = columns_of(database)
    definition = ", ".join(f"`{name}` {kind}" for name, (kind, _) in columns.items())
    database.execute(f"CREATE TABLE t (id INT PRIMARY KEY, {definition}) CHARACTER SET utf8mb4")
    insert_rows(database, 0)
    runner = Runner(tmp_path, database.server, f"{database.name}.t", "sqlite:///data.db", "types", write_mode=mode)
    runner.start()
    runner.until(lambda: len(runner.rows("id")) == ROWS + 1 and runner.is_complete())
    insert_rows(database, 100)
    runner.until(lambda: len(runner.rows("id")) == 2 * (ROWS + 1))
    names = ", ".join(f'"{name}"' for name in columns)
    copied, logged = runner.rows(f"id, {names}")[: ROWS + 1], runner.rows(f"id, {names}")[ROWS + 1 :]
    assert [row[1:] for row in copied] == [row[1:] for row in logged]
    assert runner.rows(f"id, {names}")[0][1] == -128
    assert runner.ask("SELECT * FROM types_dead_letters") == []
    if mode == "append":
        assert all("_table" not in position for (position,) in runner.ask("SELECT _position FROM types"))
    assert runner.kill(signal.SIGTERM) == 143


@pytest.mark.parametrize("variant", variants("mysql-gtids", "mysql-compressed"))
async def test_json_that_is_changed_in_part(database: Database, variant: str) -> None:
    """binlog_row_value_options=PARTIAL_JSON: the log has only the differences."""
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT, j JSON, k JSON)",
        """INSERT INTO t VALUES (1, 1, JSON_OBJECT('a', 1, 'l', JSON_ARRAY(1, 2, 3), 'pad', REPEAT('x', 500)), '{"z": 1}'),
           (2, 2, JSON_ARRAY(1, JSON_OBJECT('deep', REPEAT('y', 500))), NULL), (3, 3, NULL, NULL)""",
    )
    partial = "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'"
    async with Reading(database.server, f"{database.name}.t") as reading:
        await reading.until(lambda: len(reading.table) == 3)
        file, offset = database.query("SHOW MASTER STATUS")[0][:2]  # earlier events may have texts in other charsets
        database.execute(
            partial,
            "UPDATE t SET j = JSON_SET(j, '$.a', 22) WHERE id = 1",
            "UPDATE t SET j = JSON_REPLACE(j, '$.l[1]', 'changed', '$.a', NULL), k = JSON_SET(k, '$.z', 2) WHERE id = 1",
            "UPDATE t SET j = JSON_REMOVE(j, '$.l[0]'), v = 10 WHERE id = 1",
            "UPDATE t SET j = JSON_SET(j, '$[1].deep', 5), k = '{}' WHERE id = 2",
            "UPDATE t SET j = JSON_SET(j, '$.l[last]', 'end') WHERE id = 1",
            """UPDATE t SET j = JSON_SET(j, '$ . "l" [ last - 1 ]', 'before', '$.pad[0]', 'short', '$."q u"', 8) WHERE id = 1""",
            "UPDATE t SET j = JSON_ARRAY_APPEND(JSON_ARRAY_INSERT(j, '$.l[last-1]', 'in'), '$.l', 'more') WHERE id = 1",
            "UPDATE t SET j = JSON_REMOVE(JSON_SET(j, '$.l[99]', 'far'), '$.l[last-2]') WHERE id = 1",
            "UPDATE t SET j = JSON_SET(j, '$[last].deep[last]', 'd', '$[last-1]', 0), k = JSON_SET(k, '$.\u00e9', 1) WHERE id = 2",
            "UPDATE t SET j = JSON_SET(j, '$.a', 1), id = id + 10 WHERE id IN (1, 3)",
        )
        wanted = {(key,): (key, v, j, k) for key, v, j, k in database.query("SELECT id, v, j, k FROM t")}
        assert set(wanted) == {(11,), (2,), (13,)}
        await reading.until(lambda: reading.table == wanted)
    if variant.endswith("-gtids"):
        events = database.query(f"SHOW BINLOG EVENTS IN '{file}' FROM {offset}")
        assert "Update_rows_partial" in {row[2] for row in events}


@pytest.mark.parametrize("kind", ["DATE", "DATETIME(6)", "TIMESTAMP(3) NULL", "TIME(2)"])
async def test_old_rows_of_one_type_are_what_a_client_reads(database: Database, kind: str) -> None:
    """Against PyMySQL as a witness, over many values."""
    database.execute(f"CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v {kind})")
    values = [
        f"('20{n:02d}-{n % 12 + 1:02d}-{n % 28 + 1:02d} {n % 24:02d}:{n % 60:02d}:07.{n:06d}')" for n in range(38)
    ]
    if kind.startswith("TIME("):
        values = [f"('{'-' if n % 2 else ''}{n * 20}:{n % 60:02d}:07.{n:02d}')" for n in range(40)]
    database.execute("SET time_zone='+00:00', sql_mode=''", f"INSERT INTO t (v) VALUES {', '.join(values)}")
    shown = database.server.query(
        f"SELECT id, CAST(v AS CHAR) FROM {database.name}.t", init_command="SET time_zone='+00:00'"
    )
    async with Reading(database.server, f"{database.name}.t") as reading:
        await reading.until(lambda: len(reading.table) == len(values))
        database.execute("UPDATE t SET id = id + 1000, v = v")
        await reading.until(lambda: min(reading.table)[0] > 1000)
        for number, text in shown:
            value = reading.table[number + 1000,][1]
            if isinstance(value, datetime):
                value = value.replace(tzinfo=None).isoformat(" ", "microseconds" if "6" in kind else "milliseconds")
            assert str(value) == text
