"""Asks a server for its binary log and yields the events as they arrive."""

from __future__ import annotations

import hashlib
import select
import struct
import uuid

import pymysql

from connector_runner.protocols.errors import TransientError
from connector_runner.sources.mysql.binlog.gtid import MysqlGtids
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import Connection, connect
from connector_runner.sources.mysql.settings import Settings

_REGISTER, _DUMP, _DUMP_GTID = 0x15, 0x12, 0x1E
_NON_BLOCKING = 1
HEARTBEAT_SECONDS = 1
# The server sends a heartbeat each second: a longer silence means a dead connection.
SILENCE_SECONDS = 30.0


def open_dump(settings: Settings, position: LogPosition, *, server_id: int, blocks: bool = True) -> Connection:
    """Opens a connection that streams the log from `position` on.

    Args:
        settings: The server's address and the account.
        position: Where to start; its `rows` are for the reader to skip.
        server_id: The id that the server sees; the newer of two readers with the same id evicts the older.
        blocks: Whether the stream waits for more at the log's end (else it ends there).

    Raises:
        ConnectorError: The server can't be reached, or refuses.
    """
    connection = connect(settings, purpose="binlog", read_seconds=SILENCE_SECONDS)
    try:
        _prepare(connection, position, server_id)
        flags = 0 if blocks else _NON_BLOCKING
        if position.gtids and not connection.is_mariadb:
            gtids = MysqlGtids.parse(position.gtids).encode()
            payload = struct.pack("<HIIQI", flags, server_id, 0, 4, len(gtids)) + gtids
            connection.send_command(_DUMP_GTID, payload)
        else:
            starts_by_gtid = connection.is_mariadb and position.gtids
            file, offset = ("", 4) if starts_by_gtid else (position.file, position.offset)
            connection.send_command(_DUMP, struct.pack("<IHI", offset, flags, server_id) + file.encode())
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        connection.abort()
        raise translate(error, "asking for the binary log") from None
    return connection


def _prepare(connection: Connection, position: LogPosition, server_id: int) -> None:
    """Sets the session variables that the server reads when the dump begins."""
    identity = uuid.UUID(bytes=hashlib.sha256(str(server_id).encode()).digest()[:16])
    assignments = [
        f"@master_heartbeat_period = {HEARTBEAT_SECONDS * 10**9}",
        f"@source_heartbeat_period = {HEARTBEAT_SECONDS * 10**9}",
        "@master_binlog_checksum = @@GLOBAL.binlog_checksum",
        "@source_binlog_checksum = @@GLOBAL.binlog_checksum",
        f"@slave_uuid = '{identity}'",
        f"@replica_uuid = '{identity}'",
    ]
    if connection.is_mariadb:
        # Capability 4: GTID events are sent unchanged. Strict: a position that the log does not have is an error.
        assignments += ["@mariadb_slave_capability = 4", "@slave_gtid_ignore_duplicates = 0"]
        if position.gtids:
            assignments += [f"@slave_connect_state = '{position.gtids}'", "@slave_gtid_strict_mode = 1"]
    connection.query(f"SET {', '.join(assignments)}")
    # SHOW REPLICAS lists registered replicas, this one by this name.
    name = b"connector-runner"
    payload = struct.pack("<IB", server_id, len(name)) + name + b"\0\0" + struct.pack("<HII", 0, 0, 0)
    connection.send_command(_REGISTER, payload)
    connection._read_ok_packet()


def has_more(connection: Connection) -> bool:
    """Whether more bytes have arrived already."""
    sock = connection.socket
    pending = getattr(sock, "pending", None)
    if pending is not None and pending():
        return True
    ready = select.poll()  # unlike `select`, it takes descriptors above 1,023
    ready.register(sock, select.POLLIN)
    return bool(ready.poll(0))


def read_block(connection: Connection) -> bytes:
    """The bytes that have arrived.

    Raises:
        TransientError: The connection is gone, or silent.
    """
    try:
        block = connection.read_block()
    except TimeoutError:
        raise TransientError(f"the server sent nothing, not even a heartbeat, for {SILENCE_SECONDS:.0f} s") from None
    except (OSError, ValueError, AttributeError) as error:
        raise TransientError(f"the connection for the binary log broke: {error}") from None
    if not block:
        raise TransientError("the server closed the connection for the binary log")
    return block
