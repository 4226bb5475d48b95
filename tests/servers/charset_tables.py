"""Makes `connector_runner/sources/mysql/types/charset_tables.json` from a real server's own conversion to Unicode.

    python -m tests.servers.charset_tables

MySQL 8.0.31 is queried for the character of every code of every set; MariaDB 10.11 gives the same results (tests compare
both, and the newer servers). Only differences from Python's codecs are stored.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pymysql

from connector_runner.sources.mysql.types.charsets import PYTHON_CODECS, TABLES, UNASSIGNED
from tests.servers.mysql import VERSION, mysql
from tests.servers.mysqld import DatabaseServer

HIGH, DIGITS, ALL = range(0x81, 0xFF), range(0x30, 0x3A), range(256)
ROWS_AT_ONCE = 50_000
Codes = dict[bytes, str | None]


def codes_of(charset: str) -> list[bytes]:
    """Every byte sequence that can be one character of a set that is not a Unicode set."""
    one = [bytes([first]) for first in ALL]
    two = [bytes([first, second]) for first in range(0x80, 256) for second in ALL]
    match charset:
        case "ujis" | "eucjpms":
            return one + two + [b"\x8f" + code for code in two]
        case "gb18030":
            return one + two + [bytes([a, b, c, d]) for a in HIGH for b in DIGITS for c in HIGH for d in DIGITS]
        case "big5" | "gbk" | "gb2312" | "euckr" | "sjis" | "cp932":
            return one + two
    return one


def ask(cursor: pymysql.cursors.Cursor, charset: str) -> Codes:
    """The character of each code that the set accepts; None if it has none."""
    found: Codes = {}
    codes = codes_of(charset)
    for at in range(0, len(codes), ROWS_AT_ONCE):
        cursor.execute("DROP TABLE IF EXISTS raw, typed")
        cursor.execute("CREATE TABLE raw (code VARBINARY(4)) ENGINE=MyISAM")
        values = ", ".join(f"(x'{code.hex()}')" for code in codes[at : at + ROWS_AT_ONCE])
        cursor.execute(f"INSERT INTO raw VALUES {values}")
        cursor.execute(f"CREATE TABLE typed (code VARBINARY(4), c VARCHAR(4) CHARACTER SET {charset}) ENGINE=MyISAM")
        cursor.execute("INSERT IGNORE INTO typed SELECT code, code FROM raw")
        cursor.execute("SELECT code, CAST(c AS BINARY), CAST(CONVERT(c USING utf8mb4) AS BINARY) FROM typed")
        for code, stored, text in cursor.fetchall():
            character = text.decode()
            if stored == code and (len(character) == 1 or character == "??"):
                found[code] = None if "?" in character and code != b"?" else character
    return found


def runs(codes: dict[bytes, str]) -> dict[str, str]:
    """Consecutive codes as one entry: {first code: characters}."""
    found: dict[str, str] = {}
    start, last = "", b""
    for code, character in sorted(codes.items(), key=lambda item: (len(item[0]), item[0])):
        is_next = len(code) == len(last) and code[:-1] == last[:-1] and code[-1] == last[-1] + 1
        start = start if is_next else code.hex()
        found[start] = found.get(start, "") + character
        last = code
    return found


def seconds_of(cursor: pymysql.cursors.Cursor, charset: str, codes: Codes) -> list[str]:
    """Codes of a character for which the server itself writes another one."""
    by_character: dict[str, list[bytes]] = defaultdict(list)
    for code, character in codes.items():
        if character is not None:
            by_character[character].append(code)
    others = []
    for character, several in by_character.items():
        if len(several) > 1:
            cursor.execute(f"SELECT CAST(CONVERT(_utf8mb4 x'{character.encode().hex()}' USING {charset}) AS BINARY)")
            ((written,),) = cursor.fetchall()
            others += [code.hex() for code in several if code != written]
    return sorted(others)


def build(cursor: pymysql.cursors.Cursor) -> dict[str, object]:
    """The tables of all sets."""
    tables: dict[str, dict[str, object]] = {"bytes": {}, "codes": {}, "seconds": {}}
    cursor.execute("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS ORDER BY 1")
    for (charset,) in cursor.fetchall():
        if charset == "binary" or charset.startswith(("utf", "ucs")):
            continue
        codes, codec = ask(cursor, charset), PYTHON_CODECS.get(charset)
        differing = {
            code: text or UNASSIGNED for code, text in codes.items() if not codec or text != _decode(code, codec)
        }
        if differing and max(map(len, codes)) == 1:
            tables["bytes"][charset] = "".join(codes.get(bytes([byte])) or UNASSIGNED for byte in ALL)
        elif differing:
            tables["codes"][charset] = runs(differing)
        if others := seconds_of(cursor, charset, codes):
            tables["seconds"][charset] = others
    return {"made by": f"tests/servers/charset_tables.py from the conversions of MySQL {VERSION}", **tables}


def _decode(code: bytes, codec: str) -> str | None:
    try:
        return code.decode(codec)
    except UnicodeDecodeError:
        return None


def main() -> None:
    with DatabaseServer(mysql()) as server:
        server.execute("CREATE DATABASE d")
        with server.session(database="d", init_command="SET sql_mode = '', sql_log_bin = 0") as cursor:
            tables = build(cursor)
    Path(str(TABLES)).write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    main()
