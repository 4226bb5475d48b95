"""Runs the log reader: a thread that reads the socket, gets its questions answered, and hands over batches, limited in bytes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque

from connector_runner.protocols.errors import ConnectorError
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.log_reader.log_reader import LogReader
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.answers import Answers
from connector_runner.sources.mysql.streaming.dump import has_more, open_dump, read_block

# The most bytes of batches that wait to be taken.
QUEUE_BYTES = 4 << 20
# How often the server is asked whether the tables are still there; where one is left out while the others go on, also whether they may
# be read, which is reported within seconds.
PRESENCE_SECONDS, ISOLATING_SECONDS = 60.0, 10.0
# A table that may not be read is asked for again after this time: a REVOKE is often followed by a GRANT.
CONFIRM_SECONDS = 2.0


class LogThread:
    """Follows the log from a position; PyMySQL blocks, so it runs in a thread that `close` can always end.

    Args:
        settings: The server's address and the account.
        reader: The log reader; owned by the thread.
        start: The position to begin at.
        answers: Answers the reader's questions.
    """

    def __init__(self, settings: Settings, reader: LogReader, start: LogPosition, answers: Answers) -> None:
        self._settings, self._reader, self._start, self._answers = settings, reader, start, answers
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._space = threading.Condition()
        self._queue: deque[LogBatch] = deque()
        self._bytes = 0
        self._error: ConnectorError | None = None
        self._end: LogPosition | None = None
        self._is_closed = False
        self._connection: Connection | None = None
        self._asks_at = time.monotonic() + self._presence_seconds
        self._thread = threading.Thread(target=self._run, name="binlog", daemon=True)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    @property
    def has_news(self) -> bool:
        """Whether `next` returns, or raises, at once; or the reader has stopped where it should."""
        return bool(self._queue) or self._error is not None or self.end is not None

    @property
    def end(self) -> LogPosition | None:
        """Where the reader has stopped (its `until`), once all batches were taken."""
        return None if self._queue else self._end

    async def wait(self) -> None:
        """Waits until there is a batch or an error; takes nothing, so that it may be cancelled at any time."""
        while not self.has_news:
            self._ready.clear()
            if not self.has_news:
                await self._ready.wait()

    async def next(self) -> LogBatch:
        """The next batch.

        Raises:
            ConnectorError: The thread failed with it; it is raised after all earlier batches.
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
            await self.wait()

    async def close(self) -> None:
        """Ends the thread and its connection."""
        self._is_closed = True
        self._answers.close()
        with self._space:
            self._space.notify()
        if self._connection is not None:
            self._connection.abort()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 60)

    # --- in the thread

    def _hand_over(self, batch: LogBatch) -> None:
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
        while not self._is_closed:
            self._reader.receive_data(read_block(connection))
            self._work()
            if self._reader.end is not None:
                self._end = self._reader.end
                self._wake()
                return
            if not has_more(connection):
                self._ask_for_tables()
                self._reader.receive_idle()
                self._work()

    def _ask_for_tables(self) -> None:
        """Finds out now and then whether the tables are still there and may be read: the log does not show that."""
        reader = self._reader
        if time.monotonic() >= self._asks_at:
            presence = self._answers.read_presence(reader.tables)
            reader.receive_missing(presence.missing, presence.position)
            reader.receive_denied(presence.denied)
            self._asks_at = time.monotonic() + (CONFIRM_SECONDS if reader.has_doubts else self._presence_seconds)

    @property
    def _presence_seconds(self) -> float:
        return ISOLATING_SECONDS if self._reader.isolates else PRESENCE_SECONDS

    def _work(self) -> None:
        """Hands over batches and answers questions until the reader needs more of the log."""
        reader = self._reader
        while not self._is_closed:
            batches, questions = reader.events_received(), reader.questions_to_ask()
            for batch in batches:
                self._hand_over(batch)
            for question in questions:
                reader.receive_answer(self._answers.answer(question))
            if not batches and not questions:
                return

    def _fail(self, error: ConnectorError) -> None:
        if not self._is_closed:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        # Waking costs a system call; only needed when no wake was sent since the last wait.
        if not self._ready.is_set() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ready.set)
