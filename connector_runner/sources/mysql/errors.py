"""The server's errors, by number and text: which pass by themselves, which a person must fix, and how. No I/O."""

from __future__ import annotations

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, InvalidConfigError, TransientError


class LogGoneError(ActionRequiredError):
    """The server no longer has the log from the position on (error 1236 by its text)."""

    reason = "LogPurged"


class UnloggedChangeError(LogGoneError):
    """The table was changed without a statement in the log."""

    reason = "UnloggedChange"


class UnknownDefinitionError(LogGoneError):
    """The log has rows of the table without a known definition: rows between two statements, in a log without column names."""

    reason = "UnknownDefinition"


class ServerIdTakenError(TransientError):
    """Another reader uses the same server id; the later one evicts the earlier."""

    reason = "ServerIdTaken"


# Error 1236 means many things; its text says which (measured on MySQL 8.0, 9.7 and MariaDB 10.11).
_GONE = (
    "could not find first log file", "purged binary logs", "purged required binary logs", "is not in the master's binlog",
    "which is not in the source's binlog", "has been purged", "missing transactions", "replicating more up-to-date",
    "has already been purged", "contains gtids", "start replication from impossible position", "impossible position",
    "client requested master to start replication from", "client requested source to start replication from",
    "slave has more gtids", "replica has more gtids", "could not find gtid state", "not found in the master's binlog",
    "binlog truncated in the middle", "bogus data in log event", "log event entry exceeded",
)  # fmt: skip
_ID_CLASH = ("same server_uuid/server_id", "same server_id", "a slave with the same", "a replica with the same")

_LOGIN = {1044, 1045, 1130, 1251, 1524, 1698, 1862, 3118, 3159, 4151, 2059, 2061}
_MISSING = {1049, 1051, 1109, 1146}
# Statements that the server refuses each time: the join is too large, a value or a mix of collations is not accepted, the table
# is damaged; a table's file, engine or tablespace is gone, or a view's table or definer.
_REFUSED = {1034, 1104, 1194, 1195, 1267, 1270, 1271, 1292, 1300, 1366, 1525} | {
    1033, 1286, 1356, 1449, 1812, 1814, 1932, 3854, 4078,
}  # fmt: skip
REFUSED = "Refused"
_DENIED = {1142, 1143, 1227, 1370, 3566}


def log_error(code: int, text: str) -> ConnectorError:
    """The runner's error for a server error that ended the stream of the log.

    Args:
        code: The server's error number.
        text: Its message.
    """
    lower = text.lower()
    if any(part in lower for part in _ID_CLASH):
        return ServerIdTakenError(
            f"the server ended the stream: another replica uses the same server id ({text}); give one of them another serverId"
        )
    if code == 1236 and any(part in lower for part in _GONE):
        return LogGoneError(
            f"the server no longer has the next part of the binary log: {text} (was it purged, or the server reset?). "
            "Set onLogGap: resnapshot to copy the table again, and keep logs longer (binlog_expire_logs_seconds)"
        )
    what = f"reading the binary log: {text} ({code})"
    return server_error(code, what) or TransientError(what)


def server_error(code: int, what: str, user: str = "") -> ConnectorError | None:
    """The runner's error for an error number that a person must fix; None for all others.

    Args:
        code: The server's (or the client library's) error number.
        what: What the runner was doing, and the message.
        user: The account, where it may be the cause.
    """
    if code in _LOGIN:
        return InvalidConfigError(
            [
                f"config.user, config.password: {what}; check the account{f' {user!r}' if user else ''}, its password and hosts"
            ],
            reason="AccessDenied",
        )
    if code in _DENIED:
        return ActionRequiredError(f"{what}; grant what is missing", reason="MissingGrant")
    if code in _MISSING:
        return ActionRequiredError(what, reason="UnknownTable")
    if code in _REFUSED:
        return ActionRequiredError(what, reason=REFUSED)
    return None
