#!/usr/bin/env bash
# confluent-kafka 2.16.1 on Kafka 4.4.0: a fenced producer commits empty transactions without an error, and a lone late one is called fenced by a newer one.
#
# A second producer with the same transactional.id fences the first. One would guess that the first one's next transaction fails, whatever is in it,
# so that an idle writer can find out by an empty one whether it is still the owner. begin and commit of a transaction without records never
# ask the broker: they succeed for ever. The first record brings _FENCED, at the commit.
# The other way round one would guess that _FENCED means somebody else. A producer that was slower than its transaction.timeout.ms, with
# nobody beside it, gets the same code, as a fatal error that speaks of a "newer instance": the broker raised its epoch when it ended the transaction.
#
# Seen with confluent-kafka 2.16.1 (PyPI) and Kafka 4.4.0 (Maven org.apache.kafka:kafka_2.13:4.4.0). Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
broker_pid=
trap '[ -z "$broker_pid" ] || { kill -9 "$broker_pid" && wait "$broker_pid"; } 2> /dev/null || true; rm -rf "$home"' EXIT
cat > "$home/pom.xml" << 'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>look</groupId>
  <artifactId>look</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.4.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
XML
mvn -q -B -f "$home/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$home/libraries" > /dev/null
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check confluent-kafka==2.16.1
read -r broker controller < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(found.getsockname()[1] for found in sockets))')
cat > "$home/server.properties" << PROPERTIES
process.roles=broker,controller
node.id=1
log.dirs=$home/data
listeners=PLAINTEXT://127.0.0.1:$broker,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$broker
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
PROPERTIES
java=(java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$home/libraries/*")
"${java[@]}" kafka.tools.StorageTool format --config "$home/server.properties" --cluster-id look-at-fences-1 > "$home/log" 2>&1
"${java[@]}" kafka.Kafka "$home/server.properties" >> "$home/log" 2>&1 &
broker_pid=$!
"$home/venv/bin/python" - "127.0.0.1:$broker" << 'PYTHON'
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

ADDRESS = {"bootstrap.servers": sys.argv[1], "log_level": 0, "error_cb": lambda _: None}


def wait_until(holds):
    for _ in range(600):
        try:
            if holds():
                return
        except KafkaException:
            pass
        time.sleep(0.2)
    raise SystemExit("it took too long")


admin = AdminClient(ADDRESS)
wait_until(lambda: admin.list_topics(timeout=1).brokers)
for topic in ("fence", "late"):
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()


def producer(transactional_id, **settings):
    made = Producer({**ADDRESS, "transactional.id": transactional_id, **settings})
    made.init_transactions(60)
    return made


def outcome(action):
    try:
        action()
    except KafkaException as error:
        print("   ", error.args[0])
        return error.args[0].code()
    return "done"


first = producer("one")
first.begin_transaction()
first.produce("fence", b"1")
first.commit_transaction(60)
newer = producer("one")
print("fenced, empty transactions:")
for _ in range(3):
    first.begin_transaction()
    assert outcome(lambda: first.commit_transaction(60)) == "done", "it is noticed now"
print("    done\nfenced, a record:")
first.begin_transaction()
first.produce("fence", b"2")
assert outcome(lambda: first.commit_transaction(60)) == KafkaError._FENCED, "this has changed"

print("late, and alone:")
late = producer("two", **{"transaction.timeout.ms": 1000})
late.begin_transaction()
late.produce("late", b"3")
late.flush(60)
reader = Consumer({**ADDRESS, "group.id": "g", "isolation.level": "read_committed"})
place = TopicPartition("late", 0)
# The last stable offset moves behind the marker when the broker has ended the transaction.
wait_until(lambda: reader.get_watermark_offsets(place, timeout=5)[1] >= 1)
assert outcome(lambda: late.commit_transaction(60)) == KafkaError._FENCED, "it is another error now"
PYTHON
