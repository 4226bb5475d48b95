"""The log as a thread that reads, decodes and hands over batches within a bound of bytes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from connector_runner.protocols.errors import ConnectorError, TransientError
from connector_runner.sources.mysql.binlog.packets import PacketSplitter
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.binlog_decoder import BinlogDecoder
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.dump import has_more, open_dump, read_block
from connector_runner.sources.mysql.streaming.resolver import Resolver

# A batch of the log is handed over at this size, also in the middle of a transaction.
BATCH_BYTES = 256 << 10
# The position is handed over at least once in as much log, also when it is all of other tables.
QUIET_BYTES = 16 << 20
# Batches that wait to be taken hold at most this much.
QUEUE_BYTES = 4 << 20


def work(
    assembler: BinlogDecoder, answer: Callable[[BinlogDecoder], None], hand_over: Callable[[LogBatch | None], None]
) -> None:
    """What follows an event that was fed: questions are answered, large batches handed over, compressed transactions unpacked.

    Raises:
        ConnectorError: `answer` raises it; what came before was handed over.
    """
    while True:
        while assembler.question is not None:
            hand_over(assembler.take())
            answer(assembler)
            hand_over(assembler.take())
        if assembler.size >= BATCH_BYTES:
            batch = assembler.take()
            hand_over(batch)
            if batch is None or not batch.rows:
                hand_over(assembler.take(whole=False))
        if not assembler.frames.is_packed or not assembler.frames.unpack():
            return


class LogThread:
    """Follows the log from a position; PyMySQL blocks, so it lives in a thread that `close` can always end.

    Args:
        settings: Whereto.
        assembler: Knows the table and the position.
        start: Where to begin.
        resolver: Answers the assembler's questions.
    """

    def __init__(self, settings: Settings, assembler: BinlogDecoder, start: LogPosition, resolver: Resolver) -> None:
        self._settings, self._assembler, self._start, self._resolver = settings, assembler, start, resolver
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._space = threading.Condition()
        self._queue: deque[LogBatch] = deque()
        self._bytes = 0
        self._error: ConnectorError | None = None
        self._is_closed = False
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="binlog", daemon=True)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    @property
    def assembler(self) -> BinlogDecoder:
        """What is known of the table; owned by the thread."""
        return self._assembler

    async def next(self) -> LogBatch:
        """The next batch.

        Raises:
            ConnectorError: The thread met it, after all batches before it.
        """
        while True:
            if self._queue:
                with self._space:
                    batch = self._queue.popleft()
                    self._bytes -= batch.size
                    self._space.notify()
                return batch
            if self._error is not None:
                raise self._error
            self._ready.clear()
            if not self._queue and self._error is None:
                await self._ready.wait()

    async def close(self) -> None:
        """Ends the thread and its connection."""
        self._is_closed = True
        with self._space:
            self._space.notify()
        if self._connection is not None:
            self._connection.abort()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 60)

    # --- in the thread

    def _feed(self, buffer: bytes, start: int, end: int) -> None:
        self._assembler.frames.feed(buffer, start, end)
        work(self._assembler, self._resolver.answer, self._hand_over)

    def _hand_over(self, batch: LogBatch | None, *, is_at_end: bool = False) -> None:
        if batch is None:
            return
        batch.is_at_end = is_at_end
        with self._space:
            while self._bytes > QUEUE_BYTES and not self._is_closed:
                self._space.wait()
            self._queue.append(batch)
            self._bytes += batch.size
        self._wake()

    def _run(self) -> None:
        try:
            self._read()
        except ConnectorError as error:
            self._fail(error)
        except Exception as error:
            self._fail(translate(error, "reading the binary log"))
        finally:
            if self._connection is not None:
                self._connection.abort()
                self._connection.discard()

    def _read(self) -> None:
        connection = self._connection = open_dump(self._settings, self._start, server_id=self._settings.server_id)
        splitter, rest, quiet = PacketSplitter(self._feed), b"", 0
        while not self._is_closed:
            block = read_block(connection)
            rest = rest + block if rest else block
            rest = rest[splitter.split(rest) :]
            if splitter.has_ended:
                raise TransientError("the server ended the stream of its log")
            quiet += len(block)
            is_at_end = not has_more(connection)
            if is_at_end or quiet > QUIET_BYTES:
                self._hand_over(self._assembler.take(), is_at_end=is_at_end)
                quiet = 0

    def _fail(self, error: ConnectorError) -> None:
        if not self._is_closed:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        # Waking costs a system call; only needed when nobody was told since the last wait.
        if not self._ready.is_set() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ready.set)
