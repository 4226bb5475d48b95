"""The log reader's questions, which only the server, or another part of its log, can answer; and what is decided with the answers."""

from __future__ import annotations

from dataclasses import dataclass

from connector_runner.protocols.batch import Incident
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.ddl.statements import Statements
from connector_runner.sources.mysql.log_reader.log_batch import Again
from connector_runner.sources.mysql.log_reader.lookahead import Lookahead
from connector_runner.sources.mysql.log_reader.prepared import PreparedSearch
from connector_runner.sources.mysql.types.names import TableName
from connector_runner.sources.mysql.types.table import FoundTable, TableDefinition


@dataclass(frozen=True, slots=True)
class DescribeTable:
    """What is the table's present definition? The answer is as in information_schema; None if the table does not exist.

    Attributes:
        database, name: The table.
        patience: Seconds to wait for a table that does not exist.
    """

    database: str
    name: str
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class LookAhead:
    """What comes next in the log? Its bytes from the position on go to `lookahead`, until it is done or the log ends; the answer is None."""

    position: LogPosition
    lookahead: Lookahead


@dataclass(frozen=True, slots=True)
class FindPrepared:
    """Where was a transaction prepared? The log's files go to `search`, one after another from its last one back, until it has found it."""

    search: PreparedSearch


Question = DescribeTable | LookAhead | FindPrepared
Answer = FoundTable | None


@dataclass(frozen=True)
class Context:
    """What is known at the position of the decision: the definition up to there, the position, the statements, and all followed tables."""

    known: TableDefinition
    position: LogPosition
    statements: Statements
    followed: frozenset[TableName] = frozenset()


@dataclass(frozen=True)
class Decision:
    """How the log continues.

    Attributes:
        definition: The definition of the rows that follow.
        again: What the copy must do.
        incident: The incident to report, if any.
        replay: The events of a prepared transaction that commits, to be handled now.
    """

    definition: TableDefinition
    again: Again | None = None
    incident: Incident | None = None
    replay: tuple[bytes, ...] | None = None
