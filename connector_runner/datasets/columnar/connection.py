"""A connection whose transactions commit in tables of a lake: statements of the ledger run on a local copy, and what they change is committed.

The copy (SQLite, in memory) is filled from the ledger's table. A flush stages the files, commits the ledger with what it has decided for
each table, and carries that out. Who dies in between leaves it to the next one, which finds it in the ledger.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from connector_runner.datasets.columnar.beside import Beside, apps_of
from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.columnar.intents import GONE, Intent, decode_intents, encode_intents
from connector_runner.datasets.columnar.pacing import Pacing
from connector_runner.datasets.columnar.records import record_of
from connector_runner.datasets.columnar.stage import Stage, Written
from connector_runner.datasets.columnar.tables import Key, Lake, Rows, Table
from connector_runner.datasets.fencing import COLUMNS
from connector_runner.datasets.ledger_statements import build_ledger_statements
from connector_runner.datasets.names import CHECKPOINTS, TableNames
from connector_runner.datasets.procedure import Cursor
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError

TRIES = 20
Values = tuple[Any, ...] | None
Target = Mapping[Key, Values]
_TRIGGERS = "".join(
    f"CREATE TEMP TRIGGER note_{what} AFTER {what} ON {CHECKPOINTS} BEGIN "
    + "".join(f"INSERT INTO changed VALUES ({row}.connector, {row}.stream, {row}.table_name);" for row in rows)
    + "END;\n"
    for what, rows in {"INSERT": ["new"], "UPDATE": ["old", "new"], "DELETE": ["old"]}.items()
)
_INSERT = f"INSERT INTO {CHECKPOINTS} ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


class LakeConnection:
    """See `BlockingConnection`.

    Attributes:
        stages: Whether a COMMIT may leave rows staged until the next `flush`; set while rows are written.
        lost: Why what was staged is lost, for as long as this connection lives: the source must be read again.

    Args:
        lake: The tables, and when they are committed.
        connector: Who writes.
    """

    def __init__(self, lake: Lake, connector: str) -> None:
        self.lake = lake
        self.stages = False
        self.lost: ConnectorError | None = None
        self._connector = connector
        self._local = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._local.execute(build_ledger_statements(TableNames("", ""), lake.dialect).create_checkpoints)
        self._local.executescript("CREATE TEMP TABLE changed (connector, stream, table_name);\n" + _TRIGGERS)
        self._stage = Stage(connector, self.table, Beside(self._local, self.table, connector))
        self._ledger = lake.ledger
        self._base: Rows = {}
        self._tables: dict[str, Table] = {}
        self._written: list[tuple[Columns, str, Written]] = []
        self._pacing = Pacing(lake.commit_seconds, lake.target_bytes)
        self._unknown: tuple[Target, Sequence[Intent]] | None = None
        self._tried: list[Target] = []  # by commits that may still arrive
        self._done: list[Intent] = []
        self._carried = ""  # what the ledger names of this connector, and was carried out

    # the local copy

    def load(self) -> None:
        """Fills the copy from the ledger, which may be missing."""
        self._base, _ = self._ledger.read()
        self._fill(self._base.values())

    def _fill(self, rows: Iterable[Sequence[Any]]) -> None:
        self._local.execute("BEGIN")
        self._local.execute(f"DELETE FROM {CHECKPOINTS}")
        self._local.executemany(_INSERT, rows)
        self._local.execute("DELETE FROM changed")
        self._local.execute("COMMIT")

    def complete(self, connectors: Collection[str], *, without_gone: bool = False) -> None:
        """Carries out what the ledger has decided for these connectors' tables, and a killed run has left.

        Args:
            connectors: Whose decisions.
            without_gone: Whether one whose staged file, or whose key, is gone is left out; its rows must be read from the source again.
        """
        _, pending = self._ledger.read()
        for connector in connectors:
            with suppress(*(GONE if without_gone else ())):
                self._carry_out(decode_intents(pending.get(connector, "")))
        self._carried = pending.get(self._connector, "") if self._connector in connectors else self._carried

    def remove_old_staged(self, claimed: Iterable[Key]) -> int:
        """Removes what earlier runs have staged long ago for streams that are claimed now; returns how many files.

        Never before the claim, and never files of others: whoever is not fenced off may still decide to commit them.
        """
        held: Iterable[Key] = self._local.execute(f"SELECT connector, stream, table_name FROM {CHECKPOINTS}").fetchall()
        apps = apps_of(set(claimed), set(held))
        there = self.lake.existing(apps)
        return sum(self.table(name).remove_old_staged(listed) for name, listed in apps.items() if name in there)

    def table(self, name: str) -> Table:
        """A table of the lake."""
        if name not in self._tables:
            self._tables[name] = self.lake.table(name)
        return self._tables[name]

    # the connection

    @property
    def in_transaction(self) -> bool:
        """See `BlockingConnection.in_transaction`."""
        return self._local.in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """See `Connection.execute`."""
        if sql == "BEGIN":
            self._begin()
        elif sql == "COMMIT":
            self._commit()
        elif sql == "ROLLBACK":
            self._roll_back()
        else:
            return self._local.execute(sql, parameters)
        return self._local.execute("SELECT 1 WHERE 0")

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> Cursor:
        """See `BlockingConnection.executemany`."""
        return self._local.executemany(sql, parameters)

    def close(self) -> None:
        """See `BlockingConnection.close`; what is staged and not committed is removed."""
        self._stage.discard()
        self._local.close()
        self.lake.close()

    # writing

    def write(self, columns: Columns, table: str, rows: Written) -> None:
        """Adds rows to the open transaction: to be appended, or operations to be merged."""
        self._written.append((columns, table, rows))

    def due_in(self) -> float | None:
        """In how many seconds what is staged must be committed; None if nothing is. May be called from any thread."""
        return self._pacing.due_in(time.monotonic())

    def _begin(self) -> None:
        """Opens a transaction; what is staged is committed before one that does more than to write rows."""
        if self._unknown is not None:
            raise TransientError("the outcome of a commit is not known yet", reason="DatasetUnavailable")
        if not self.stages:
            self.flush()
        self._local.execute("BEGIN")

    def _commit(self) -> None:
        """Stages what the open transaction has written, and commits at once unless that may wait."""
        self._stage.prepare()
        self._stage.take(self._written)
        self._written.clear()
        if self.stages and self.lake.commit_seconds:
            self._local.execute("COMMIT")
            self._pacing.staged(self._stage.size, time.monotonic())
            return
        self._flush()
        self._local.execute("COMMIT")

    def _roll_back(self) -> None:
        self._written.clear()
        if not self._pacing.is_waiting and self._unknown is None:
            self._stage.discard()
        self._local.execute("ROLLBACK")

    def flush(self) -> None:
        """Commits everything that is staged.

        Raises:
            TransientError: The ledger was changed by another holder: `reload` tells.
        """
        if self._pacing.is_waiting:
            self._flush()

    def _flush(self) -> None:
        changed: list[Key] = self._local.execute(
            "SELECT DISTINCT connector, stream, table_name FROM changed"
        ).fetchall()
        target = {key: self._local_row(key) for key in changed}
        intents = self._stage.seal(record_of(self._connector, target))
        if changed or intents:
            self._unknown = (target, intents)
            try:
                self._commit_ledger(target, intents)
            except _ChangedError as error:
                self._unknown = None
                raise TransientError(str(error), reason="DatasetUnavailable") from None
            self._decided()
            self._carry_out(intents)
            self._carried = encode_intents(intents)
        else:
            self._pacing.clear()

    def _local_row(self, key: Key) -> Values:
        found = self._local.execute(
            f"SELECT * FROM {CHECKPOINTS} WHERE connector = ? AND stream = ? AND table_name = ?", key
        ).fetchone()
        return None if found is None else tuple(found)

    def _commit_ledger(self, target: Target, intents: Sequence[Intent]) -> None:
        self._ledger.create()
        for _ in range(TRIES):
            rows, pending = self._ledger.read()
            if self._is_committed(rows, target):
                return
            self._require_unchanged(rows, target)
            if (left := pending.get(self._connector, "")) not in {"", self._carried}:
                # Of a run with another fence, for another stream: what it has decided would be forgotten.
                self._carry_out(decode_intents(left))
            for key, row in target.items():
                if row is None:
                    rows.pop(key, None)
                else:
                    rows[key] = row
            self._stage.note_named()
            self._tried.append(target)
            if self._ledger.commit(rows, {**pending, self._connector: encode_intents(intents)}):
                self._base, self._tried = rows, []
                return
        raise _ChangedError(f"the ledger in {self.lake.where} is changed again and again")

    def _is_committed(self, rows: Rows, target: Target) -> bool:
        """Whether an earlier try has committed, and its answer was lost."""
        if not target or any(rows.get(key) != row for key, row in target.items()) or rows == self._base:
            return False
        self._base = rows
        return True

    def _require_unchanged(self, rows: Rows, target: Target) -> None:
        """Checks that nobody has changed what this transaction depends on."""
        for key in rows.keys() | self._base.keys():
            before, now = self._base.get(key), rows.get(key)
            if key in target or (key[0] == self._connector and not self.stages):
                is_same = before == now
            else:  # a claim depends on who holds what, but not on how far that is
                is_same = self.stages or _holder(before) == _holder(now)
            if not is_same:
                raise _ChangedError(
                    f"somebody else has written to the ledger in {self.lake.where} in this moment; it is read again"
                )

    def _decided(self) -> None:
        """The ledger has what was staged."""
        if self._unknown is not None:
            done, self._done, self._unknown = self._done, list(self._unknown[1]), None
        else:
            done = []
        self._stage.clear()
        self._local.execute("DELETE FROM changed")
        self._pacing.clear()
        for intent in done:  # carried out before the present ones were decided
            if intent.changes and self.table(intent.table).exists:
                with suppress(OSError):  # it is removed when it is old
                    self.table(intent.table).remove_staged([intent.changes])

    def _carry_out(self, intents: Iterable[Intent]) -> None:
        gone: ActionRequiredError | None = None
        for intent in intents:
            if self.table(intent.table).exists:  # else its user has removed it
                try:
                    self.table(intent.table).carry_out(intent)
                except GONE as error:  # the others are carried out all the same
                    gone = gone or error
        if gone is not None:
            raise gone

    # after a failure

    def reload(self) -> None:
        """Reads the ledger; what is staged is kept while nobody else has written to this connector's rows, else it is `lost`."""
        rows, _ = self._ledger.read()
        if self._unknown is not None and self._is_committed(rows, self._unknown[0]):
            self._tried = []
            self._decided()
        elif self._unknown is not None and not self._pacing.is_waiting:
            self._stage.clear()  # was rolled back; the commit may still arrive, so the files stay until they are old
        self._unknown = None
        own = [key for key in rows.keys() | self._base.keys() if key[0] == self._connector]
        if any(rows.get(key) != self._base.get(key) for key in own):
            if self._pacing.is_waiting:
                self.lost = self.lost or self._why_lost(rows)
            self._stage.clear()  # whoever has written there may have been this runner itself, whose answer was late
            self._pacing.clear()
            self._fill(rows.values())
        else:
            self._local.execute(f"DELETE FROM {CHECKPOINTS} WHERE connector <> ?", [self._connector])
            self._local.executemany(_INSERT, [row for key, row in rows.items() if key[0] != self._connector])
            self._local.execute("DELETE FROM changed WHERE connector <> ?", [self._connector])
            if not self._pacing.is_waiting:
                mine = [rows[key] for key in own if key in rows]
                self._local.execute(f"DELETE FROM {CHECKPOINTS} WHERE connector = ?", [self._connector])
                self._local.executemany(_INSERT, mine)
                self._local.execute("DELETE FROM changed")
        self._base = rows
        self.complete([self._connector])

    def _why_lost(self, rows: Rows) -> ConnectorError:
        if any(all(rows.get(key) == row for key, row in target.items()) for target in self._tried):
            return ConnectorError(
                f"a commit to the ledger in {self.lake.where} has arrived after its answer was given up; what was staged since is read "
                "from the source again by the next run",
                reason="DatasetUnavailable",
            )
        return ActionRequiredError(
            f"the ledger in {self.lake.where} was changed by hand, and what was staged is lost; the next run reads it again",
            reason="DatasetError",
        )


class _ChangedError(Exception):
    """The ledger is not as this transaction found it."""


def _holder(row: Values) -> Sequence[Any]:
    """Connector, stream, table, epoch, uid, run."""
    return () if row is None else (*row[:4], *row[5:7])
