"""What each error means: it passes by itself, or a person is called."""

from __future__ import annotations

import decimal
import struct
import zlib

import pymysql
import pytest

from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.sources.mysql.decode.undecodable import DecodingFailedError
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.snapshot import chunks

UNEXPECTED: list[Exception] = [
    ValueError("on purpose"), KeyError("on purpose"), IndexError("on purpose"), LookupError("on purpose"), TypeError("on purpose"), AttributeError("on purpose"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "on purpose"), struct.error("on purpose"), OverflowError("on purpose"), ZeroDivisionError("on purpose"),
    decimal.InvalidOperation("on purpose"), zlib.error("on purpose"), AssertionError("on purpose"), NotImplementedError("on purpose"), RecursionError("on purpose"), Exception("on purpose"),
]  # fmt: skip
REFUSED: list[Exception] = [
    pymysql.err.ProgrammingError(1064, "on purpose"), pymysql.err.DataError(1264, "on purpose"), pymysql.err.NotSupportedError(1235, "on purpose"),
    pymysql.err.IntegrityError(1062, "on purpose"),
    *(pymysql.err.OperationalError(code, "on purpose") for code in (1034, 1104, 1142, 1194, 1195, 1267, 1270, 1271, 1292, 1300, 1366, 1525, 3854, 4078)),
    *(pymysql.err.OperationalError(code, "on purpose") for code in (1033, 1286, 1356, 1449, 1812, 1814, 1932)),
]  # fmt: skip
PASSING: list[Exception] = [
    ConnectionResetError("on purpose"), TimeoutError("on purpose"), EOFError("on purpose"), BrokenPipeError("on purpose"), MemoryError("on purpose"),
    RuntimeError("on purpose"), TransientError("on purpose"), pymysql.err.InternalError(1815, "on purpose"), pymysql.err.InterfaceError(0, "on purpose"),
    *(pymysql.err.OperationalError(code, "on purpose") for code in (1040, 1053, 1205, 1213, 1317, 2003, 2006, 2013, 3024)),
]  # fmt: skip


@pytest.mark.parametrize("error", [*UNEXPECTED, *REFUSED, *PASSING], ids=repr)
def test_every_error_passes_or_is_for_a_person(error: Exception) -> None:
    found = translate(error, "copying d.t")
    assert "on purpose" in found.message
    assert isinstance(found, TransientError if error in PASSING else ActionRequiredError)
    assert isinstance(found, DecodingFailedError) == (error in UNEXPECTED)


def test_a_database_that_is_gone_is_a_table_that_is_gone() -> None:
    """The log says by which statement; the account is not the reason."""
    found = translate(pymysql.err.OperationalError(1049, "Unknown database 'd'"), "copying d.t")
    assert (type(found), found.reason) == (ActionRequiredError, "UnknownTable")
    assert {1049, 1146} <= chunks._CHANGED
