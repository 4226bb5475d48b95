"""Checks whether a checkpoint and a server belong together: the same server, one with the same history, or an unrelated one."""

from __future__ import annotations

from dataclasses import replace

from connector_runner.protocols.errors import START_OVER, SourceChangedError
from connector_runner.sources.mysql.binlog.gtid import MariaGtids, MysqlGtids, has_history
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.scan import read_maria_gtids

_CURE = f"point it back, choose another datasetId, or {START_OVER}"


def check_resume(
    connection: Connection, settings: Settings, server: Server, recorded: str, position: LogPosition
) -> LogPosition:
    """The position at which the stream can resume on this server.

    Args:
        connection: The connection to query the server.
        settings: The settings with which its log is read.
        server: Its facts.
        recorded: The identity that the checkpoint was made with.
        position: The checkpoint's position.

    Raises:
        SourceChangedError: The server has another history.
        LogGoneError: It is the same server, but it no longer has the transactions of the checkpoint.
    """
    found = server.identity
    if not server.has_gtids or not position.gtids:
        if recorded != found:
            raise SourceChangedError(
                _stranger(recorded, found, "without GTIDs a position means nothing on another server")
            )
        if position.gtids and not position.file:
            raise LogGoneError(
                f"{found} no longer sends its log by GTID (gtid_mode is {server.variables.get('gtid_mode')}), and the checkpoint "
                "knows no file. Set gtid_mode = ON again, or onLogGap: resnapshot to copy the table again"
            )
        return position if server.has_gtids else replace(position, gtids="")
    if server.is_mariadb:
        return _check_mariadb(connection, settings, server, recorded, position)
    executed = MysqlGtids.parse(server.variables.get("gtid_executed", ""))
    known = MysqlGtids.parse(position.gtids)
    if not executed.covers(known):
        if recorded == found:
            raise LogGoneError(_lost(found, position))
        raise SourceChangedError(_stranger(recorded, found, f"it never executed {position.gtids}"))
    purged = MysqlGtids.parse(server.variables.get("gtid_purged", ""))
    if not known.covers(purged):
        raise LogGoneError(
            f"{found} has purged transactions that were not read yet: it has no log for {purged}, the dataset has {known}. Set "
            "onLogGap: resnapshot to copy the table again, and keep logs longer (binlog_expire_logs_seconds)"
        )
    return position if recorded == found else replace(position, file="", offset=4)


def _check_mariadb(
    connection: Connection, settings: Settings, server: Server, recorded: str, position: LogPosition
) -> LogPosition:
    known = MariaGtids.parse(position.gtids)
    there = _gtids_at(connection, position.file, position.offset)
    if there is not None and MariaGtids.parse(there) == known:
        return position  # byte for byte the log that was read
    if recorded == server.identity:
        if _gtids_at(connection, position.file, 4) is not None:
            # The result may come from an index beside the log (from 11.4 on). Before this becomes an error, the log itself is read.
            read = read_maria_gtids(settings, position.file, position.offset)
            if read == known:
                return position
            # By its identity it is the server that wrote these transactions, but its file of that name is a different one.
            why = (
                f"its {position.file} holds other transactions ({read or 'none that end'} at {position.offset}, the dataset has "
                f"{known}): it was reset, or is another server with the same server_id"
            )
            raise SourceChangedError(_stranger(recorded, server.identity, why))
        if not has_history(server.variables.get("gtid_binlog_state", ""), known):
            raise LogGoneError(_lost(server.identity, position))
    elif not has_history(server.variables.get("gtid_binlog_state", ""), known):
        raise SourceChangedError(_stranger(recorded, server.identity, f"it never had {position.gtids}"))
    return replace(position, file="", offset=4)


def _gtids_at(connection: Connection, file: str, offset: int) -> str | None:
    """The GTID position at an offset of MariaDB's log; None without such a file, or where no event starts."""
    found = connection.value("SELECT BINLOG_GTID_POS(%s, %s)", (file, offset)) if file else None
    return None if found is None else str(found)


def _stranger(recorded: str, found: str, why: str) -> str:
    return f"the dataset was filled from {recorded}, but the configuration now leads to {found}, and {why}; {_CURE}"


def _lost(found: str, position: LogPosition) -> str:
    return (
        f"{found} no longer knows {position.gtids}, which the dataset has: it was reset or restored from a backup. Set "
        f"onLogGap: resnapshot to copy the table again; else {_CURE}"
    )
