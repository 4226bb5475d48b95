"""FULL_TABLE and INCREMENTAL: plain reads without the log, for what the log can't give (views, tables without a key)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence

import pymysql

from connector_runner.protocols.batch import Batch, Operation, Row
from connector_runner.protocols.source import Checkpoint, Report
from connector_runner.sources.mysql.chunks import ChunkReader
from connector_runner.sources.mysql.definitions import FoundTable
from connector_runner.sources.mysql.failures import translate
from connector_runner.sources.mysql.literals import after_condition, can_resume_after, literal, quote_name
from connector_runner.sources.mysql.server import Server
from connector_runner.sources.mysql.settings import Mode, Settings


class Poller:
    """Reads a table or view in order of a cursor: once (FULL_TABLE) or again and again (INCREMENTAL).

    FULL_TABLE goes by the key, or in one piece without one; each run empties the dataset's table first and ends with the
    last row. INCREMENTAL goes by (cursorColumn, key) and never sees deletes, nor rows that commit late with a smaller cursor.
    """

    def __init__(
        self, settings: Settings, server: Server, table: FoundTable, checkpoint: Checkpoint | None, report: Report
    ) -> None:
        self._settings, self._table, self._report = settings, table, report
        self._reader = ChunkReader(settings, server)
        self._definition = table.definition
        self._is_incremental = settings.mode is Mode.INCREMENTAL
        position = checkpoint.position if checkpoint else {}
        last = position.get("last")
        self._last: tuple[str, ...] | None = tuple(last) if last is not None else None
        self._done = int(position.get("done", 0)) if self._last else 0
        self._closed = asyncio.Event()
        self._thread: asyncio.Future[tuple[list[Row], int] | None] | None = None

    @property
    def _order(self) -> tuple[str, ...]:
        key = self._definition.key
        if not self._is_incremental:
            return key if can_resume_after([self._definition.columns[i] for i in self._definition.key_places]) else ()
        cursor = self._settings.cursor_column
        return (cursor, *(name for name in key if name != cursor))

    async def batches(self) -> AsyncIterator[Batch]:
        """See `Source.batches`."""
        schema = self._definition.schema
        if not self._is_incremental and self._last is None:
            yield Batch(schema, [()], {"last": None, "done": 0}, bytes([Operation.REPLACE]))
        while not self._closed.is_set():
            count = 0
            reading = self._read()
            while (arrived := await self._next(reading)) is not None:
                rows, size = arrived
                if not rows:
                    continue
                count += len(rows)
                self._last = self._literals(rows[-1])
                self._done += len(rows)
                yield Batch(schema, rows, {"last": self._last and list(self._last), "done": self._done}, None, size)
            self._report.progress(self._done, self._table.rows, "rows")
            if count >= self._settings.chunk_rows and self._order:
                continue
            if not self._is_incremental:
                # The next run starts over: the position says that this one is complete.
                yield Batch(schema, [], {"last": None, "done": self._done})
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), self._settings.poll_seconds)

    async def _next(self, reading: Iterator[tuple[list[Row], int]]) -> tuple[list[Row], int] | None:
        """What the read gives next; the thread outlives a cancelled wait, and `close` waits for it."""
        self._thread = asyncio.ensure_future(asyncio.to_thread(next, reading, None))
        return await asyncio.shield(self._thread)

    def _read(self) -> Iterator[tuple[list[Row], int]]:
        try:
            connection = self._reader.plain()
            if self._closed.is_set():  # while this thread was connecting
                self._reader.close()
                return
            yield from self._reader.stream(connection, self._definition, self._statement())
        except (pymysql.MySQLError, OSError, RuntimeError) as error:
            self._reader.close()
            raise translate(error, f"reading {self._definition.id}") from None

    def _statement(self) -> str:
        definition, order = self._definition, self._order
        columns = ", ".join(map(quote_name, definition.names))
        statement = f"SELECT {columns} FROM {quote_name(definition.database)}.{quote_name(definition.name)}"  # noqa: S608
        conditions = [after_condition(order, self._last)] if self._last else []
        if self._is_incremental:
            conditions.append(f"{quote_name(self._settings.cursor_column)} IS NOT NULL")
        if conditions:
            statement += f" WHERE {' AND '.join(f'({condition})' for condition in conditions)}"
        if order:
            statement += f" ORDER BY {', '.join(map(quote_name, order))} LIMIT {self._settings.chunk_rows}"
        return statement

    def _literals(self, row: Row) -> tuple[str, ...] | None:
        places: Sequence[int] = [self._definition.names.index(name) for name in self._order]
        return tuple(literal(self._definition.columns[place], row[place]) for place in places) or None

    async def close(self) -> None:
        """Ends the read and the connection."""
        self._closed.set()
        self._reader.abort()
        if self._thread is not None:
            await asyncio.gather(self._thread, return_exceptions=True)
        self._reader.close()
