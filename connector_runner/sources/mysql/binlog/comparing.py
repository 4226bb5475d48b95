"""Compares positions in one server's log. No I/O."""

from __future__ import annotations

from connector_runner.sources.mysql.binlog.gtid import MariaGtids, MysqlGtids
from connector_runner.sources.mysql.binlog.position import LogPosition, file_order


def order_of(log: LogPosition) -> tuple[tuple[int, str], int]:
    """A key that sorts positions of one server by where they are in its log."""
    return file_order(log.file), log.offset


def place_in_log(log: LogPosition) -> tuple[str, int, str]:
    """What is equal for two positions at the same place; by GTIDs where the file is not known."""
    return log.file, log.offset, "" if log.file else log.gtids


def has_all_of(gtids: str, others: str) -> bool:
    """Whether a position has all transactions of another one: at the same place, both do unless the log was changed for another's."""
    if not gtids or not others:
        return True
    if ":" in others:
        return MysqlGtids.parse(gtids).covers(MysqlGtids.parse(others))
    return MariaGtids.parse(gtids).covers(MariaGtids.parse(others))
