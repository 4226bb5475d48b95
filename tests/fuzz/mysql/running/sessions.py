"""The sessions of a history on its server."""

from __future__ import annotations

import contextlib
from typing import Any

import pymysql

from tests.fuzz.mysql.grammar.settings import CLIENT_CHARSETS
from tests.fuzz.mysql.oracle import SETTINGS
from tests.fuzz.mysql.steps import Step
from tests.servers.mysqld import DatabaseServer

_LOST = {2006, 2013, 2014, 2003, 1053, 0}
START = ("SET SESSION innodb_lock_wait_timeout = 1", "SET SESSION lock_wait_timeout = 3", "SET SESSION sql_mode = ''")
ORACLE = "oracle"
"""The session that asks the server what its rows are."""


def nearby(server: DatabaseServer) -> dict[str, Any]:
    """Options of a connection that costs little."""
    return {"unix_socket": str(server.socket), "ssl_disabled": True}


class Sessions:
    """Opened when first used; a session that is lost is opened again, without what it had set."""

    def __init__(self, server: DatabaseServer, database: str) -> None:
        self._server, self._database = server, database
        self._open: dict[str, pymysql.Connection[Any]] = {}
        self._codecs: dict[str, str] = {}

    def text(self, sql: str) -> str:
        return sql.replace("@DB@", self._database)

    def run(self, step: Step) -> str | None:
        """Says it to the server; returns the server's objection, None when it took it."""
        sql = self.text(step.sql)
        try:
            raw = sql.encode(self._codecs.get(step.session, "utf-8"))
        except UnicodeEncodeError:
            return "it can't be written in the session's character set"
        try:
            connection = self._session(step.session)
            connection.query(raw)
        except pymysql.MySQLError as error:
            code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            if code in _LOST or isinstance(error, pymysql.InterfaceError):
                self.drop(step.session)
            return str(error.args[:2])
        except (OSError, RuntimeError) as error:
            self.drop(step.session)
            return str(error)
        if step.charset:
            self._codecs[step.session] = CLIENT_CHARSETS[step.charset]
        return None

    def _session(self, name: str) -> pymysql.Connection[Any]:
        if name not in self._open:
            connection = self._server.connect(read_timeout=60, **nearby(self._server))
            self._open[name] = connection
            with connection.cursor() as cursor:
                for statement in START:
                    cursor.execute(statement)
                with contextlib.suppress(pymysql.MySQLError):
                    cursor.execute(f"USE `{self._database}`")
            if name != ORACLE:
                # Answers come in any character set: one that can't be decoded would be left half read, and the next statement,
                # which the server does, would seem to have failed.
                connection.encoding = "latin1"
        return self._open[name]

    def oracle(self) -> pymysql.cursors.Cursor:
        """A cursor whose session shows values as they are."""
        is_new = ORACLE not in self._open
        connection = self._session(ORACLE)
        cursor: pymysql.cursors.Cursor = connection.cursor()
        if is_new:
            for statement in SETTINGS:
                cursor.execute(statement)
        return cursor

    def log_end(self) -> tuple[str, int]:
        """File and offset."""
        cursor = self.oracle()
        version = str(self._server.distribution.name)
        cursor.execute("SHOW BINARY LOG STATUS" if version.startswith("mysql-9") else "SHOW MASTER STATUS")
        file, offset = cursor.fetchall()[0][:2]
        return str(file), int(offset)

    def drop(self, name: str) -> None:
        connection = self._open.pop(name, None)
        self._codecs.pop(name, None)
        if connection is not None:
            with contextlib.suppress(Exception):
                connection._force_close()  # type: ignore[attr-defined]

    def close(self) -> None:
        for name in [*self._open]:
            self.drop(name)
