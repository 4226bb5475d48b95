"""Appends many rows by COPY, which PostgreSQL takes much faster than arrays.

COPY's binary format knows no conversions: a column of another type would take the bytes for some other value. So the types are
looked at within the transaction, under the lock that the insertion takes anyway.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain, repeat

import psycopg

from connector_runner.datasets.letters import incident_rows
from connector_runner.datasets.names import METADATA
from connector_runner.datasets.plan import History
from connector_runner.protocols.batch import Batch
from connector_runner.sinks.postgresql.failures import Meaning, meaning_of
from connector_runner.sinks.postgresql.session import BEGIN, COMMIT, ROLLBACK, Command, Session, StatementError
from connector_runner.sinks.postgresql.statements import FenceSql, RowSql
from connector_runner.sinks.postgresql.values import TEXT, TYPES, Cells, array_parameter, encode_texts

# With fewer rows the further round trips cost more than COPY gains.
LEAST_ROWS = 500
HEADER, TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
# Whether COPY does what INSERT would, and the transaction's time in microseconds since 2000.
CHECK = """SELECT relkind IN ('r', 'p') AND NOT relhasrules AND NOT relrowsecurity AND $3 = (
  SELECT string_agg(atttypid::text, ' ' ORDER BY place) FROM unnest($2::text[]) WITH ORDINALITY AS wanted(name, place)
  JOIN pg_attribute ON attrelid = pg_class.oid AND attname = name AND NOT attisdropped AND attgenerated = ''),
  (extract(epoch FROM now() - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint
FROM pg_class WHERE oid = to_regclass($1)"""


class UnfitForCopyError(Exception):
    """The table takes rows by INSERT only: other types that are converted, rules, row-level security."""


class BulkWriter:
    """For one schema in append mode."""

    def __init__(self, fence: FenceSql, rows: RowSql) -> None:
        self._fence = fence
        self._rows = rows
        self._owner = b"".join(encode_texts(rows.owner))
        names = [*rows.schema.names, "_op", "_position", "_connector", "_stream", "_written_at"]
        oids = [*(kind.oid for kind in rows.types), *(TYPES[METADATA[name]].oid for name in names[-5:])]
        self._count = struct.pack(">h", len(names))
        self._lock = Command(f"LOCK TABLE {rows.names.rows} IN ROW EXCLUSIVE MODE")
        listed = array_parameter(TEXT.oid, encode_texts(names))
        self._check = Command(CHECK, [rows.names.rows.encode(), listed, " ".join(map(str, oids)).encode()])
        self._copy = f"COPY {rows.names.rows} ({rows.append_columns}) FROM STDIN (FORMAT binary)".encode()

    async def write(self, session: Session, advance: Command, cells: Sequence[Cells], batches: Sequence[Batch]) -> None:
        """All of it, or nothing.

        Args:
            session: Used by nobody else meanwhile.
            advance: The fence.
            cells: The columns of the rows, as `RowSql.history_cells` gives them.
            batches: Of the transaction, for their incidents.

        Raises:
            UnfitForCopyError: The rows have to be written in another way.
            StatementError: The transaction failed; `place` 0 is the fence.
        """
        begun, fenced = session.send([BEGIN]), session.send([advance, self._lock, self._check])
        try:
            await begun
            answer = (await fenced)[-1]
            if answer.ntuples != 1 or answer.get_value(0, 0) != b"t":
                raise UnfitForCopyError
            await self._send(session, cells, int(answer.get_value(0, 1) or 0))
            incidents = incident_rows(batches)
            await session.run(*([self._fence.incidents(incidents)] if incidents else []), COMMIT)
        except BaseException as error:
            if not session.is_lost:
                await session.run(ROLLBACK)
            if isinstance(error, StatementError) and error.place > 0 and _is_unfit(error):
                raise UnfitForCopyError from error
            raise

    async def _send(self, session: Session, cells: Sequence[Cells], micros: int) -> None:
        rest = self._owner + struct.pack(">iq", 8, micros)
        data = b"".join(chain.from_iterable(zip(repeat(self._count), *cells, repeat(rest))))
        try:
            async with session.ordinary() as connection, connection.cursor() as cursor, cursor.copy(self._copy) as copy:
                await copy.write(HEADER)
                await copy.write(data)
                await copy.write(TRAILER)
        except psycopg.Error as error:
            raise StatementError(error.sqlstate or "08006", error.diag.message_primary or str(error), 1) from None


def _is_unfit(error: StatementError) -> bool:
    return meaning_of(error.sqlstate) in {Meaning.SCHEMA, Meaning.ACTION}


def is_bulk(history: Sequence[History]) -> bool:
    """Whether a transaction of these steps is worth a COPY, and can be one."""
    return len(history) == 1 and not history[0].replaced and len(history[0].rows) >= LEAST_ROWS
