"""Writers that never stop: inserts, updates of rows and of keys, deletes, long transactions, rollbacks."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pymysql

from tests.servers.mysqld import ADMIN_PASSWORD, DatabaseServer

KEYS = 6000
# The share of transactions that are long enough to be handed over in parts.
LONG = 0.01
READER = "reader"


class Load:
    """Threads that change `table` until stopped; lost connections are made again, so servers may be killed meanwhile."""

    def __init__(
        self, server: DatabaseServer, database: str, table: str = "t", *, writers: int = 3, seed: int = 1
    ) -> None:
        self.server, self.database, self.table = server, database, table
        self.changes = 0
        self._stop = threading.Event()
        self._pause = 0.0
        self._threads = [
            threading.Thread(target=self._write, args=(random.Random(seed * 100 + n),), daemon=True)
            for n in range(writers)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self, random_: random.Random) -> None:
        while not self._stop.is_set():
            try:
                connection = self.server.connect(database=self.database, autocommit=False)
                try:
                    while not self._stop.is_set():
                        self._transaction(connection, random_)
                finally:
                    connection.close()
            except (pymysql.MySQLError, OSError, RuntimeError):
                time.sleep(0.05)

    def _transaction(self, connection: pymysql.Connection[Any], random_: random.Random) -> None:
        count = random_.choice([1, 1, 1, 3, 10, 200])
        if random_.random() < LONG:
            with connection.cursor() as cursor:
                # Every row at once: more than a batch of the log holds.
                cursor.execute(
                    f"UPDATE {self.table} SET amount = amount + 1, note = REPEAT(%s, 40)", (random_.random(),)
                )
        try:
            with connection.cursor() as cursor:
                for _ in range(count):
                    statement, arguments = self._change(random_)
                    cursor.execute(statement, arguments)
            if random_.random() < 0.1:
                connection.rollback()
            else:
                connection.commit()
                self.changes += count
        except pymysql.err.OperationalError as error:
            if error.args[0] not in {1205, 1213}:  # lock wait, deadlock
                raise
            connection.rollback()
        except pymysql.err.IntegrityError:
            connection.rollback()

    def _change(self, random_: random.Random) -> tuple[str, tuple[Any, ...]]:
        key = random_.randrange(KEYS)
        note = random_.choice([None, "", "é" * random_.randrange(60), f"{random_.random()}"])
        kind = random_.random()
        if kind < 0.5:
            return f"REPLACE INTO {self.table} (id, name, amount, note) VALUES (%s, %s, %s, %s)", (
                key, f"n{random_.randrange(10**6)}", random_.randrange(10**6) / 100, note,
            )  # fmt: skip
        if kind < 0.75:
            return f"UPDATE {self.table} SET amount = amount + 1, note = %s WHERE id BETWEEN %s AND %s", (
                note,
                key,
                key + 3,
            )
        if kind < 0.85:
            return f"UPDATE {self.table} SET id = %s WHERE id = %s", (random_.randrange(KEYS), key)
        return f"DELETE FROM {self.table} WHERE id BETWEEN %s AND %s", (key, key + random_.randrange(3))


# What a person alters while everything runs: old rows keep their values, get new ones, lose some, get others under an old name.
ALTERATIONS = (
    "ALTER TABLE t ADD COLUMN extra INT", "ALTER TABLE t MODIFY name VARCHAR(60)", "ALTER TABLE t DROP COLUMN extra",
    "ALTER TABLE t ADD COLUMN extra INT DEFAULT 7", "CREATE INDEX i ON t (name)", "DROP INDEX i ON t",
    "ALTER TABLE t DROP COLUMN extra",
)  # fmt: skip


def create_reader(server: DatabaseServer) -> None:
    """An account of the connector's own, so that all of its sessions can be found; with the password of the administrator."""
    server.execute(
        f"CREATE USER IF NOT EXISTS {READER}@'%' IDENTIFIED BY '{ADMIN_PASSWORD}'", f"GRANT SELECT, LOCK TABLES ON *.* TO {READER}@'%'",
        f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {READER}@'%'",
    )  # fmt: skip


def create_table(server: DatabaseServer, database: str, rows: int) -> None:
    server.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(30), amount DECIMAL(12,2), note TEXT, "
        "seen TIMESTAMP(3) NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3))",
        database=database,
    )
    with server.session(database=database) as cursor:
        for start in range(0, rows, 1000):
            values = ",".join(f"({n},'start {n}',{n}.5,NULL)" for n in range(start, min(rows, start + 1000)))
            cursor.execute(f"INSERT INTO t (id, name, amount, note) VALUES {values}")
