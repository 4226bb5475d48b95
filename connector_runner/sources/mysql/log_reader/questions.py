"""The log reader's questions: only the server, or the rest of its log, can answer them."""

from __future__ import annotations

from dataclasses import dataclass

from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.lookahead import Lookahead
from connector_runner.sources.mysql.types.table import FoundTable


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


Question = DescribeTable | LookAhead
Answer = FoundTable | None
