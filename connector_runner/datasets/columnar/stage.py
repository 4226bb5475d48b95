"""Everything of a connection that is staged and not committed: files and changes by stream and table, dead letters and incidents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeAlias

import pyarrow as pa

from connector_runner.datasets.columnar.beside import Beside
from connector_runner.datasets.columnar.changes import Changes
from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.columnar.intents import Intent, app_of
from connector_runner.datasets.columnar.staged_files import StagedFile, write_changes
from connector_runner.datasets.columnar.tables import Table
from connector_runner.protocols.batch import Row
from connector_runner.protocols.errors import TransientError

Written: TypeAlias = pa.Table | Sequence[tuple[int, Row]]
"""Rows to be appended, or operations to be merged."""
WAITING_BYTES = 64 << 20
"""How much of all files together is in memory at most, before it is written into them."""
OPEN_FILES = 32
"""How many files are open at most: each has buffers of its own, those of uploads of some MiB."""


class Stage:
    """What waits for the next commit.

    Args:
        connector: Who writes.
        table: Returns a table by name.
        beside: Dead letters and incidents.
    """

    def __init__(self, connector: str, table: Callable[[str], Table], beside: Beside) -> None:
        self._connector = connector
        self._table = table
        self._beside = beside
        self._files: dict[tuple[str, str], dict[str, list[StagedFile]]] = {}
        self._changes: dict[tuple[str, str], tuple[Columns, Changes]] = {}

    @property
    def size(self) -> int:
        """The bytes of the largest part's files, or of all that is in memory, whichever is more."""
        files = [sum(file.size for file in files) for parts in self._files.values() for files in parts.values()]
        held = sum(file.held for file in self._all_files())
        changes = sum(changes.size for _, changes in self._changes.values())
        return max([held + changes, *files])

    def prepare(self) -> None:
        """Does what `take` needs and what may have to be tried again; nothing is taken yet."""
        self._beside.prepare()

    def take(self, written: Iterable[tuple[Columns, str, Written]]) -> None:
        """Takes what a transaction has written, once it is prepared.

        Raises:
            ConnectorError: A part of it may be taken: it must be read from the source again by another run.
        """
        self._beside.take()
        for columns, table, rows in written:
            stream = (columns.schema.stream, table)
            if not isinstance(rows, pa.Table):
                self._changes.setdefault(stream, (columns, Changes(columns.schema)))[1].add(rows)
                continue
            for part, part_rows in self._table(table).parts(rows):
                files = self._files.setdefault(stream, {}).setdefault(part, [])
                if not files or files[-1].is_closed or not files[-1].has(part_rows.schema):
                    schema = self._table(table).file_schema(part_rows.schema)
                    files.append(StagedFile(self._table(table).staging, schema, self._app(columns.schema.stream)))
                files[-1].add(part_rows)
        self._limit()

    def _limit(self) -> None:
        """Keeps memory within its limits, however many tables and partitions there are."""
        unfinished = [file for file in self._all_files() if not file.is_closed]
        waiting = sum(file.waiting_bytes for file in unfinished)
        while waiting > WAITING_BYTES:
            largest = max(unfinished, key=lambda file: file.waiting_bytes)
            waiting -= largest.waiting_bytes
            largest.write()
        opened = sorted((file for file in unfinished if file.is_open), key=lambda file: file.size)
        for file in opened[OPEN_FILES:]:
            with suppress(TransientError):  # a store that can't be reached now is asked again at the commit
                file.close()

    def _all_files(self) -> Iterator[StagedFile]:
        for parts in self._files.values():
            for files in parts.values():
                yield from files

    def seal(self, record: str) -> list[Intent]:
        """Ends the files, and says what becomes of them."""
        intents = []
        for (stream, table), files in self._files.items():
            parts = [(part, file) for part, listed in files.items() for file in listed]
            for _, file in parts:
                file.close()
            app, version = self._next_version(stream, table)
            names, rows = tuple(file.name for _, file in parts), sum(file.rows for _, file in parts)
            labels = tuple(part for part, _ in parts) if any(files) else ()
            intents.append(Intent(table, app, version, record, names, rows=rows, parts=labels))
        with self._removed_if_it_fails() as written:
            for (stream, table), (columns, changes) in self._changes.items():
                if changes:
                    into = self._table(table)
                    name = write_changes(into.staging, columns, changes, self._app(stream), into.file_schema)
                    written.append((table, name))
                    removed = into.removal(columns, list(changes.prefixes)) if changes.prefixes else ""
                    app, version = self._next_version(stream, table)
                    intents.append(
                        Intent(table, app, version, record, changes=name, key=columns.schema.key, removed=removed)
                    )
            return intents + self._beside.seal(record)

    @contextmanager
    def _removed_if_it_fails(self) -> Iterator[list[tuple[str, str]]]:
        """Table and name of files that nobody names yet: they are written anew with the next try."""
        written: list[tuple[str, str]] = []
        try:
            yield written
        except BaseException:
            with suppress(OSError):  # of a store that can't be reached now they are removed when they are old
                for table, name in written:
                    self._table(table).remove_staged([name])
            raise

    def _app(self, stream: str) -> str:
        return app_of(self._connector, stream)

    def _next_version(self, stream: str, table: str) -> tuple[str, int]:
        app = self._app(stream)
        self._table(table).refresh()
        return app, self._table(table).transaction(app) + 1

    def note_named(self) -> None:
        """A commit of the ledger is tried that names what is sealed.

        It may arrive, whatever is heard of it, and another runner may carry it out: those files are never removed from here.
        """
        for file in self._all_files():
            file.may_be_named = True
        self._beside.note_named()

    def clear(self) -> None:
        """The ledger has decided what becomes of it."""
        self._files.clear()
        self._changes.clear()
        self._beside.clear()

    def discard(self) -> None:
        """Removes it, but for files that the ledger may name."""
        for file in self._all_files():
            with suppress(OSError):
                file.discard()
        self._beside.discard()
        self.clear()
