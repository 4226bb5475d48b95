"""What the topics hold, as far as "insert if absent" and "replace a prefix" need it: keys, in a history also rows.

A topic can't be asked for a key. So the state is read from the topic, when it is first needed and then at each claim, kept in the
connection's private file, and changed with each transaction, whose rollback takes it back too. The file has a limit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Message

from connector_runner.datasets.write_plan import NAMES
from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sinks.kafka.client import Client, whole
from connector_runner.sinks.kafka.errors import explain_full
from connector_runner.sinks.kafka.records import without_operation

PATIENCE = float("inf")
"""What is behind an open transaction of somebody else counts, too."""
MANY = 10_000
MEBIBYTE = 1 << 20
LOOKS_AFTER = 500
"""After how many changes the size of the file is looked at again."""
Entry = tuple[bytes, bytes | None]


class StateTooLargeError(ActionRequiredError):
    """What one stream's topic holds takes more than the limit."""

    reason = "InvalidDataset"


class KeyState:
    """The keys of streams; those of one stream are known once it was loaded.

    Args:
        local: The connection's private file.
        client: Where the topics are.
        limit: The most that the file may take, in MiB.
    """

    def __init__(self, local: sqlite3.Connection, client: Client, limit: int) -> None:
        self._local = local
        self._client = client
        self._limit = limit
        self._loaded: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._changes = 0
        self._pages = limit * MEBIBYTE // int(local.execute("PRAGMA page_size").fetchone()[0])
        local.execute(
            'CREATE TABLE "local state" (stream INTEGER, key BLOB, value BLOB, number INTEGER, PRIMARY KEY (stream, key)) '
            "WITHOUT ROWID"
        )

    def is_loaded(self, stream: str) -> bool:
        """Whether the keys of a stream are known."""
        return stream in self._loaded

    def keep_only(self, streams: Collection[str]) -> None:
        """Forgets all others: another topic, or what others have written meanwhile, may be what counts when they come back."""
        for stream in self._loaded.keys() - set(streams):
            del self._loaded[stream]
            self._local.execute('DELETE FROM "local state" WHERE stream = ?', [self._places[stream]])

    def load(self, stream: str, topic: str, partitions: int, owner: tuple[str, str] | None) -> None:
        """Reads the keys of a stream from its topic.

        Args:
            stream: The stream.
            topic: Its topic.
            partitions: How many it has.
            owner: In a history: connector and stream, whose rows alone count.
        """
        self._places.setdefault(stream, len(self._places))
        self._local.execute("BEGIN")
        try:
            self._loaded[stream] = 0
            entries: list[Entry] = []
            for message in self._client.read(whole({topic: partitions}), PATIENCE):
                if owner is None:
                    if (key := message.key()) is not None:
                        entries.append((key, None if message.value() is None else b""))
                elif (found := _entry_of_history(message, owner)) is not None:
                    kept, row = found
                    if kept is None and row is None:  # rows without a key are taken back all at once
                        entries.clear()
                        self._remove(stream, b"")
                    else:
                        entries.append((kept if kept is not None else self.number(stream), row))
                if len(entries) >= MANY:
                    self.change(stream, entries)
                    entries = []
            self.change(stream, entries)
            self._local.execute("COMMIT")
        except BaseException:
            del self._loaded[stream]
            if self._local.in_transaction:  # a full disk may have ended it
                self._local.execute("ROLLBACK")
            raise

    def number(self, stream: str) -> bytes:
        """A key for a row that has none."""
        self._loaded[stream] += 1
        return self._loaded[stream].to_bytes(8, "big")

    def change(self, stream: str, entries: Sequence[Entry]) -> None:
        """Keys that were stored (with their rows, if those matter) or deleted (None), in order."""
        first, place = self._changes, self._places[stream]
        self._changes += len(entries)
        with self._room(stream):
            self._local.executemany(
                'INSERT INTO "local state" VALUES (?, ?, ?, ?) '
                "ON CONFLICT DO UPDATE SET value = excluded.value, number = excluded.number",
                [(place, key, value, number) for number, (key, value) in enumerate(entries, first)],
            )
            if gone := [(place, key) for key, value in entries if value is None]:
                self._local.executemany(
                    'DELETE FROM "local state" WHERE stream = ? AND key = ? AND value IS NULL', gone
                )
        if self._changes // LOOKS_AFTER != first // LOOKS_AFTER:
            self._require_limit(stream)

    @contextmanager
    def _room(self, stream: str) -> Iterator[None]:
        """Says what is full when the file can't grow."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise explain_full(error, f"what the topic of stream {stream} holds") or error from error

    def _require_limit(self, stream: str) -> None:
        used, free = (int(self._local.execute(f"PRAGMA {what}_count").fetchone()[0]) for what in ("page", "freelist"))
        if used - free > self._pages:
            raise StateTooLargeError(
                f"what the topic of stream {stream} holds takes more than {self._limit} MiB on the runner's disk, which its inserts and "
                "replacements need to know; raise the option state.max.mib, and give the temporary folder (/tmp in a pod) that room",
            )

    def has(self, stream: str, key: bytes) -> bool:
        """Whether a key is there."""
        found = self._local.execute(
            'SELECT 1 FROM "local state" WHERE stream = ? AND key = ?', [self._places[stream], key]
        )
        return found.fetchone() is not None

    def take(self, stream: str, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields the keys that begin so in the order in which they were stored, with their rows; then removes them.

        They are read from the file as they are taken: a TRUNCATE takes all, which memory may not hold.
        """
        where, values = self._range(stream, prefix)
        with self._room(stream):
            yield from self._local.execute(
                f'SELECT key, value FROM "local state" WHERE {where} ORDER BY number', values
            )
            self._remove(stream, prefix)

    def _remove(self, stream: str, prefix: bytes) -> None:
        where, values = self._range(stream, prefix)
        self._local.execute(f'DELETE FROM "local state" WHERE {where}', values)

    def _range(self, stream: str, prefix: bytes) -> tuple[str, Sequence[int | str | bytes]]:
        """The condition for keys that begin so, with its values; b"" for all keys."""
        if not prefix:
            return "stream = ?", [self._places[stream]]
        return "stream = ? AND key >= ? AND key < ?", [
            self._places[stream],
            prefix,
            prefix[:-1] + bytes([prefix[-1] + 1]),
        ]


def _entry_of_history(message: Message, owner: tuple[str, str]) -> tuple[bytes | None, bytes | None] | None:
    """Key and row (None: deleted) of a record of this owner; None for records of others."""
    found, value = dict(message.headers() or ()), message.value()
    if value is None or (found.get("connector"), found.get("stream")) != tuple(name.encode() for name in owner):
        return None
    row, operation = without_operation(value)
    return message.key(), None if operation == NAMES[Operation.DELETE] else row
