"""Every error that can leave any loop, raised on purpose: a person is called after a few tries, or the pipeline waits and tries again."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import pymysql
import pytest

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.sources.mysql import discovery
from connector_runner.sources.mysql.binlog.row_events import TableDecoder
from connector_runner.sources.mysql.decode.row_compiler import ResultRows
from connector_runner.sources.mysql.position import StreamPosition
from connector_runner.sources.mysql.snapshot.chunks import ChunkReader
from connector_runner.sources.mysql.streaming import log_based
from connector_runner.sources.mysql.streaming.answers import Answers
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.reading import Reading

# What no rule of the runner expects, and what the server refuses each time: for a person. (All kinds: tests/unit/mysql/test_failures.py.)
FOR_A_PERSON: list[Exception] = [
    ValueError("on purpose"), LookupError("unknown encoding: martian"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "on purpose"), struct.error("on purpose"),
    zlib.error("on purpose"), pymysql.err.ProgrammingError(1064, "on purpose"), pymysql.err.OperationalError(1104, "on purpose"),
]  # fmt: skip
PASSING: list[Exception] = [
    ConnectionResetError("on purpose"), MemoryError("on purpose"), TransientError("on purpose"),
    pymysql.err.OperationalError(1205, "on purpose"), pymysql.err.OperationalError(2013, "on purpose"),
]  # fmt: skip
CHANGED: list[Exception] = [pymysql.err.OperationalError(code, "on purpose") for code in (1176, 1412)]
# A loop: (what raises, the options with which it is met, what brings the stream there once the copy is complete).
LOOPS: dict[str, tuple[Any, str, dict[str, Any], str]] = {
    "rows of the copy": (ResultRows, "decode", {}, ""),
    "statements of the copy": (ChunkReader, "stream", {}, ""),
    "rows of the log": (TableDecoder, "decode", {}, "INSERT INTO t VALUES (2, 2)"),
    "batches of the log": (log_based.LogBasedStream, "_from_log", {}, "INSERT INTO t VALUES (2, 2)"),
    "chunks": (log_based.LogBasedStream, "_store", {}, ""),
    "questions about statements": (Answers, "answer", {}, "ALTER TABLE t ADD COLUMN w INT"),
    "polls": (ResultRows, "decode", {"mode": "INCREMENTAL", "cursorColumn": "id", "pollSeconds": 1}, ""),
    "full copies": (ResultRows, "decode", {"mode": "FULL_TABLE"}, ""),
    "the start": (discovery, "read_tables", {}, ""),
    "checkpoints": (StreamPosition, "from_json", {}, "resume"),
}


def fail(error: Exception, calls: list[int]) -> Callable[..., Any]:
    def failing(*_arguments: Any, **_options: Any) -> Any:
        calls.append(1)
        raise error

    return failing


@pytest.mark.parametrize("variant", variants("mysql-gtids", long=("mariadb",)))
@pytest.mark.parametrize("loop", LOOPS)
async def test_every_error_of_every_loop(
    database: Database, variant: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_based, "TRY_SECONDS", 0.001)
    where, name, options, statement = LOOPS[loop]
    changed = CHANGED if loop == "statements of the copy" else []
    for number, error in enumerate([*FOR_A_PERSON, *PASSING, *changed]):
        database.execute(
            "DROP TABLE IF EXISTS t", "CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)"
        )
        calls: list[int] = []
        reading = Reading(database.server, f"{database.name}.t", connector=f"test/{number}", **options)
        if statement:
            await reading.until(reading.is_copied)
            if statement == "resume":
                await reading.crash()
        with monkeypatch.context() as patch:
            patch.setattr(where, name, fail(error, calls))
            if statement not in {"", "resume"}:
                database.execute(statement)
            with pytest.raises(ConnectorError) as told:
                await reading.until(lambda: False)
        await reading.close()
        wanted = TransientError if error in PASSING else ActionRequiredError
        assert isinstance(told.value, wanted), f"{error!r}: {told.value!r}"
        assert "on purpose" in told.value.message or "martian" in told.value.message
        assert 1 <= len(calls) <= 2 * log_based.TRIES, "counted anew when the log has moved on"
        assert len(reading.told.losses) >= len(calls) - 1, "each further try was told"
