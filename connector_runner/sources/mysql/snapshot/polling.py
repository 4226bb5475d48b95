"""FULL_TABLE and INCREMENTAL: plain reads without the log, for what the log can't provide (views, tables without a key)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence

import pymysql

from connector_runner.protocols.batch import Batch, Operation, Position, Row
from connector_runner.protocols.errors import START_OVER, ActionRequiredError
from connector_runner.protocols.source import Checkpoint, Report, require_same_source
from connector_runner.sources.mysql.decode.undecodable import DecodingFailedError
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import connect
from connector_runner.sources.mysql.server.definitions import read_definition
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.settings import Mode, Settings
from connector_runner.sources.mysql.snapshot.chunk import select_list
from connector_runner.sources.mysql.snapshot.chunks import ChunkReader, DefinitionChangedError
from connector_runner.sources.mysql.types.literals import after_condition, can_resume_after, literal, quote_name
from connector_runner.sources.mysql.types.table import FoundTable


class Poller:
    """Reads a table or view in order of a cursor: once (FULL_TABLE) or repeatedly (INCREMENTAL).

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
        key = self._definition.key
        columns = [self._definition.columns[place] for place in self._definition.key_places]
        self._has_key = can_resume_after(columns, self._definition.order, is_mariadb=server.is_mariadb)
        self._order: tuple[str, ...] = key if self._has_key else ()
        if self._is_incremental:
            cursor = settings.cursor_column
            self._order = (cursor, *(name for name in self._order if name != cursor))
        position = self._resumable(server, checkpoint)
        last = position.get("last")
        self._last: tuple[str, ...] | None = tuple(last) if last is not None else None
        self._done = int(position.get("done", 0)) if self._last else 0
        self._closed = asyncio.Event()
        self._thread: asyncio.Future[tuple[list[Row], int] | None] | None = None

    def _resumable(self, server: Server, checkpoint: Checkpoint | None) -> Position:
        """The checkpoint's position, if this configuration can resume from it.

        Raises:
            ActionRequiredError: It belongs to another mode, cursor or server.
        """
        position = checkpoint.position if checkpoint else {}
        if not self._is_incremental:
            # Each run copies the table again, so that only a run of the same kind can be resumed.
            is_same = checkpoint is not None and checkpoint.identity == server.identity
            return position if is_same and position.get("order") in (None, list(self._order)) else {}
        what = f"the dataset's checkpoint of {self._definition.id}"
        cure = f"choose another datasetId, or {START_OVER}"
        if "log" in position:
            raise ActionRequiredError(f"{what} is of mode LOG_BASED, not INCREMENTAL; {cure}", reason="ModeChanged")
        if checkpoint is not None:
            require_same_source(checkpoint.identity, server.identity)
        found = position.get("order", list(self._order))
        if position.get("last") is not None and found != list(self._order):
            raise ActionRequiredError(
                f"{what} is in order of {', '.join(found)}, which means nothing in order of {', '.join(self._order)} "
                f"(config.cursorColumn); {cure}",
                reason="CursorChanged",
            )
        return position

    async def batches(self) -> AsyncIterator[Batch]:
        """See `Source.batches`."""
        schema = self._definition.schema
        if not self._is_incremental and self._last is None:
            yield Batch(schema, [()], self._position(None), bytes([Operation.REPLACE]))
        while not self._closed.is_set():
            count = 0
            settled, reading = self._last, self._read()
            while (arrived := await self._next(reading)) is not None:
                rows, size = arrived
                if not rows:
                    continue
                count += len(rows)
                self._done += len(rows)
                settled = self._settled(rows, settled)
                self._last = self._literals(rows[-1])
                yield Batch(schema, rows, self._position(settled), None, size)
            has_more = count >= self._settings.chunk_rows and self._has_limit
            self._report.progress(self._done, self._estimate_total() if has_more else self._done, "rows")
            if count and settled != self._last:
                yield Batch(schema, [], self._position(self._last))
            if has_more:
                continue
            if not self._is_incremental:
                # The next run starts over: the position shows that this one is complete.
                yield Batch(schema, [], self._position(None))
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_seconds):
                    await self._closed.wait()

    def _estimate_total(self) -> int | None:
        """Of about how many rows there are more; None if there are more than was estimated."""
        rows = self._table.rows
        return rows if rows is not None and self._done < rows else None

    def _position(self, last: tuple[str, ...] | None) -> Position:
        return {"last": last and list(last), "done": self._done, "order": list(self._order)}

    @property
    def _has_limit(self) -> bool:
        """Whether reads have a limit. Without a key, rows with the same cursor look the same: a limit could split them."""
        return self._has_key

    def _settled(self, rows: Sequence[Row], before: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The cursor up to which the read has all rows; without a key that is the cursor before the last one."""
        last = self._literals(rows[-1])
        if self._has_key or not self._order:
            return last
        place = self._definition.names.index(self._order[0])
        other = next((row for row in reversed(rows) if row[place] != rows[-1][place]), None)
        if other is not None:
            return self._literals(other)
        return before if self._last == last else self._last

    async def _next(self, reading: Iterator[tuple[list[Row], int]]) -> tuple[list[Row], int] | None:
        """The next rows of the read; the thread outlives a cancelled wait, and `close` waits for it."""
        self._thread = asyncio.ensure_future(asyncio.to_thread(next, reading, None))
        return await asyncio.shield(self._thread)

    def _read(self) -> Iterator[tuple[list[Row], int]]:
        try:
            connection = self._reader.plain()
            if self._closed.is_set():  # while this thread was connecting
                self._reader.close()
                return
            yield from self._reader.stream(connection, self._definition, self._statement())
        except Exception as error:
            self._reader.close()
            failure = translate(error, f"reading {self._definition.id}")
            if isinstance(failure, DecodingFailedError) and self._has_changed():
                raise DefinitionChangedError(failure.message) from None
            raise failure from error

    def _has_changed(self) -> bool:
        """Whether the table has another definition than when it was opened."""
        connection = connect(self._settings, purpose="definitions")
        try:
            return read_definition(connection, self._definition.database, self._definition.name) != self._definition
        except pymysql.MySQLError as error:
            raise translate(error, f"reading the definition of {self._definition.id}") from None
        finally:
            connection.discard()

    def _statement(self) -> str:
        definition, order = self._definition, self._order
        statement = (
            f"SELECT {select_list(definition)} FROM {quote_name(definition.database)}.{quote_name(definition.name)}"  # noqa: S608
        )
        conditions = [after_condition(order, self._last)] if self._last else []
        if self._is_incremental:
            conditions.append(f"{quote_name(self._settings.cursor_column)} IS NOT NULL")
        if conditions:
            statement += f" WHERE {' AND '.join(f'({condition})' for condition in conditions)}"
        if order:
            statement += f" ORDER BY {', '.join(map(quote_name, order))}"
        if self._has_limit:
            statement += f" LIMIT {self._settings.chunk_rows}"
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
