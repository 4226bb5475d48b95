"""Compares what is read, by copy and by log, with what the server says of the same values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tests.integration.mysql.conftest import Database
from tests.integration.mysql.reading import Reading


def witness(kind: str, name: str) -> str:
    """What the server is asked, as bytes."""
    base = kind.split("(")[0].split(" ")[0].lower()
    if base == "float":
        return f"CAST({name} + 0e0 AS CHAR)"
    if base == "bit":
        return f"CAST({name} + 0 AS CHAR)"
    if "blob" in base or "binary" in base or base in {"geometry", "vector"}:
        return f"HEX({name})"
    if "char" in base or "text" in base or base in {"enum", "set", "json"}:
        return f"HEX(CONVERT({name} USING utf8mb4))"
    return f"CAST({name} AS CHAR)"


def shown(kind: str, value: Any, told: str) -> Any:
    """Our value in the witness's form."""
    base = kind.split("(")[0].split(" ")[0].lower()
    if isinstance(value, bytes):
        return ("00000000" if base == "geometry" else "") + value.hex().upper()
    if isinstance(value, float):
        return value.hex() if value.hex() == float(told).hex() else repr(value)
    if base in {"date", "datetime", "timestamp"}:
        if not isinstance(value, datetime):
            return str(value).replace("T", " ").removesuffix("Z")
        return value.replace(tzinfo=None).isoformat(" ")
    if isinstance(value, date | Decimal | int):
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    if base in {"time", "uuid", "inet6", "inet4"}:
        return value
    return value.encode("utf-8", "surrogateescape").hex().upper()


def told_form(kind: str, told: str) -> Any:
    """The witness's answer, as `shown` gives ours."""
    base = kind.split("(")[0].split(" ")[0].lower()
    if base in {"float", "double"}:
        return float(told).hex()
    if base == "year" or "int" in base:
        return str(int(told))
    if base in {"datetime", "timestamp"} and "." in told:
        whole, _, fraction = told.partition(".")
        digits = fraction.ljust(6, "0")
        return whole if not int(digits) else f"{whole}.{digits}"
    return told


async def compare(database: Database, columns: Mapping[str, Sequence[str]], *, options: str = "") -> int:
    """Fills a table, reads it by copy, then by log, and compares each value; returns how many were compared."""
    names = {f"c{place}": kind for place, kind in enumerate(columns)}
    definition = ", ".join(f"{name} {kind}" for name, kind in names.items())
    session = "SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'"
    database.execute(f"CREATE TABLE t (id INT PRIMARY KEY, {definition}) CHARACTER SET utf8mb4 {options}")
    with database.server.session(database=database.name, init_command=session) as cursor:
        for number in range(max(map(len, columns.values()))):
            cursor.execute(f"INSERT INTO t (id) VALUES ({number})")
            for name, values in zip(names, columns.values(), strict=True):
                if number < len(values):
                    cursor.execute(f"UPDATE IGNORE t SET {name} = {values[number]} WHERE id = {number}")
    questions = ", ".join(witness(kind, name) for name, kind in names.items())
    (count,) = database.query("SELECT COUNT(*) FROM t")[0]
    told = database.server.query(f"SELECT id, {questions} FROM t", init_command=session, database=database.name)
    compared = 0
    async with Reading(database.server, f"{database.name}.t") as reading:
        await reading.until(lambda: len(reading.table) == count)
        database.execute(session, f"INSERT INTO t SELECT id + 1000, {', '.join(names)} FROM t")
        await reading.until(lambda: len(reading.table) == 2 * int(str(count)))
        for number, *answers in told:
            for way, key in (("copy", number), ("log", number + 1000)):
                for name, value, answer in zip(names, reading.table[key,][1:], answers, strict=True):
                    kind = names[name]
                    if answer is None:
                        assert value is None, f"{kind}, row {number}, {way}: {value!r}"
                        continue
                    told_text = answer.decode() if isinstance(answer, bytes) else str(answer)
                    assert shown(kind, value, told_text) == told_form(kind, told_text), f"{kind}, row {number}, {way}"
                    compared += 1
    return compared
