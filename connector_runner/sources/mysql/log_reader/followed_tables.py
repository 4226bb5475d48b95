"""The tables that are followed through the log, what must be decided for one of them before the next event, and their batches. No I/O.

What the events alone can't decide (what does the table look like after this statement?) is kept in `interruption`; nothing more is
fed until it is decided, with `adopt` or `give_up`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from connector_runner.protocols.batch import Incident
from connector_runner.sources.mysql.binlog.position import LogPosition, LogState, join_positions
from connector_runner.sources.mysql.binlog.table_decoders import TableDecoders
from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.ddl.statements import Statements
from connector_runner.sources.mysql.log_reader.followed_table import FollowedTable
from connector_runner.sources.mysql.log_reader.log_batch import Again, Interruption, LogBatch
from connector_runner.sources.mysql.log_reader.transactions import Found, Transactions
from connector_runner.sources.mysql.types.names import TableName, fold_table
from connector_runner.sources.mysql.types.table import TableDefinition


class FollowedTables:
    """One or more tables with one position in the log.

    Args:
        starts: Each table with its position, all at the same offset of the log; at least one.
        is_mariadb: Whether the dialect is MariaDB's.
        has_gtids: Whether the server's ids make up complete sets.
        folds_case: Whether lower_case_table_names is not 0.
        charsets: Names of character sets by the number of a collation.
        isolates: Whether a table that can't be followed any further is left out while the others continue.
    """

    def __init__(
        self, starts: Sequence[tuple[TableDefinition, LogPosition]], *, is_mariadb: bool, has_gtids: bool, folds_case: bool,
        charsets: Mapping[int, str] | None, isolates: bool,
    ) -> None:  # fmt: skip
        start, (first, _) = join_positions([each for _, each in starts]), starts[0]
        self.state = LogState(start, is_mariadb=is_mariadb, has_gtids=has_gtids)
        self.tables: dict[TableName, FollowedTable] = {}
        # What has to be decided before the next event.
        self.pending: deque[tuple[FollowedTable, Interruption]] = deque()
        self._transactions = Transactions(self.state, self.tables.values(), self._interrupt, start.transaction)
        self.buffer = self._transactions.buffer
        self.statements = Statements(
            (first.database, first.name), is_mariadb=is_mariadb, folds_case=folds_case, charsets=charsets
        )
        self._is_mariadb, self._folds_case, self._isolates = is_mariadb, folds_case, isolates
        self.appeared: list[TableName] = []  # tables that statements brought into being
        self._then: Callable[[], None] | None = None  # what happens once all interruptions are decided
        self._decoders = TableDecoders[FollowedTable](
            self.tables, folds_case=folds_case, is_mariadb=is_mariadb, charsets=charsets or {}
        )
        for each in starts:
            self._follow(*each)

    def _follow(self, definition: TableDefinition, position: LogPosition) -> None:
        name = fold_table((definition.database, definition.name), folds_case=self._folds_case)
        self.statements.follow(name, position.shadows)
        table = FollowedTable(definition, position, name, partial(self.statements.shadows_of, name))
        self.tables[name] = table
        # For XA transactions that were prepared before the table was followed it is unknown whether they have rows of it.
        table.prepared = (
            *position.prepared,
            *(xid for xid in self.state.xids if xid not in (*position.prepared, *position.others)),
        )
        if table.skip:
            self.buffer.touch(table)

    @property
    def interruption(self) -> Interruption | None:
        """What must be decided before the next event, for the table `interrupted`."""
        return self.pending[0][1] if self.pending else None

    @property
    def interrupted(self) -> FollowedTable:
        """The table that the interruption concerns."""
        return self.pending[0][0]

    @property
    def definition(self) -> TableDefinition:
        """The definition of the first table."""
        return next(iter(self.tables.values())).definition

    @property
    def size(self) -> int:
        """The size in bytes of the rows that wait to be taken."""
        return self.buffer.size

    @property
    def waiting(self) -> int:
        """How many rows wait, including those of the open transaction."""
        return sum(len(table.rows) for table in self.tables.values())

    # --- decisions and batches

    def _interrupt(self, found: Found, then: Callable[[], None] | None = None) -> None:
        self.pending.extend(found)
        self._then = then

    def _go_on(self) -> None:
        """Continues after a decision what was interrupted, once there is nothing more to decide."""
        self.pending.popleft()
        if not self.pending:
            then, self._then = self._then, None
            if then is not None:
                then()

    def adopt(
        self, definition: TableDefinition, *, again: Again | None = None, incident: Incident | None = None
    ) -> None:
        """Ends the interruption: sets the table's definition from here on, and what the copy must do.

        Call `take` before, so that rows under the old definition are a separate batch.
        """
        table = self.interrupted
        table.definition = definition
        table.again = again or table.again
        table.is_changed = True
        if incident is not None:
            table.incidents.append(incident)
        self._decoders.forget(table)
        self.buffer.await_take(table)
        self._go_on()

    def replay(self, events: Sequence[bytes]) -> None:
        """Ends the interruption by a prepared transaction that commits: these are its events."""
        self._transactions.find(events)
        self._go_on()

    @property
    def replays(self) -> bool:
        """Whether rows of a prepared transaction wait for `replay_next`."""
        return self._transactions.replays

    def give_up(self, error: Exception) -> None:
        """Ends the interruption: its table can't be followed any further, the others continue."""
        self.park(self.interrupted, error)
        self._go_on()

    def lose(self, names: Collection[TableName], effect: Effect) -> None:
        """Has it decided how to continue without tables, by (database, name), that are not there or may not be read any more."""
        tables = [
            table for table in self.tables.values() if (table.definition.database, table.definition.name) in names
        ]
        self._interrupt([(table, Interruption(effect)) for table in tables])

    def park(self, table: FollowedTable, error: Exception) -> None:
        """Parks a table at a position where it can resume: its rows of the open transaction are not handed over."""
        self.buffer.leave(table, error)
        self._decoders.forget(table)
        self.statements.leave(table.name)
        del self.tables[table.name]

    def take(self, *, whole: bool = True) -> list[LogBatch]:
        """Takes what there is to hand over, a batch for each table that has something; all but the last have `has_more`.

        Args:
            whole: Whether to take only finished transactions; else also the part of the open one that has arrived.
        """
        batches = self.buffer.take(next(iter(self.tables.values()), None), whole=whole)
        if batches and self.appeared and not self.pending:
            batches[-1].appeared, self.appeared = tuple(self.appeared), []
        return batches
