"""Replication between two servers of a test, in the words of each dialect and version."""

from __future__ import annotations

import time

import pymysql

from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer

UNKNOWN_STATEMENT = 1064


def log_updates(variant: str, value: str) -> str:
    """The option: whether a replica's log has what it applies."""
    return f"--log-{'slave' if variant.startswith('mariadb') else 'replica'}-updates={value}"


def follow(replica: DatabaseServer, primary: DatabaseServer) -> None:
    """Makes a server another one's replica, by GTID."""
    port = primary.port
    if replica.is_mariadb:
        reset(replica)
        replica.execute(
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='{ADMIN_USER}', "
            f"MASTER_PASSWORD='{ADMIN_PASSWORD}', MASTER_USE_GTID=slave_pos", "START SLAVE",
        )  # fmt: skip
    else:
        replica.execute(
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='{ADMIN_USER}', "
            f"SOURCE_PASSWORD='{ADMIN_PASSWORD}', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1", "START REPLICA",
        )  # fmt: skip


def stop_following(replica: DatabaseServer) -> None:
    """As before a failover."""
    replica.execute("STOP SLAVE" if replica.is_mariadb else "STOP REPLICA")


def name_a_primary(server: DatabaseServer) -> None:
    """A server with the settings of a replica that has no source."""
    server.execute(
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='x'"
        if server.is_mariadb
        else "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=1, SOURCE_USER='x'"
    )


def reset(server: DatabaseServer) -> None:
    """Throws away its log and all ids."""
    try:
        server.execute("RESET MASTER")
    except pymysql.err.ProgrammingError as error:
        if error.args[0] != UNKNOWN_STATEMENT:
            raise
        server.execute("RESET BINARY LOGS AND GTIDS")  # MySQL 8.4 and later


def await_rows(server: DatabaseServer, count: int) -> None:
    """Waits until d.t has this many rows."""
    deadline = time.monotonic() + 60
    while True:
        try:
            if server.query("SELECT COUNT(*) FROM d.t")[0][0] == count:
                return
        except pymysql.MySQLError:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "the replica does not follow"
        time.sleep(0.1)


def purge_to_last(server: DatabaseServer) -> None:
    """Throws away all files of the log but the last."""
    deadline = time.monotonic() + 60
    while len(logs := server.query("SHOW BINARY LOGS")) > 1:  # a file is kept while a reader that just left may use it
        assert time.monotonic() < deadline, f"not purged: {logs}"
        server.execute(f"PURGE BINARY LOGS TO '{logs[-1][0]}'")
        time.sleep(0.05)
