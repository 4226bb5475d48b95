"""A Java consumer and a Python consumer with read_committed see the same records, and they are the dataset."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.source import WriteMode
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.pipeline import SMALL, batch, context, run_to_end
from tests.servers.kafka import KafkaServer, kafka

pytestmark = pytest.mark.fault  # a Java program is compiled
UPSERT, DELETE, *_ = Operation
PROGRAM = Path(__file__).parents[2] / "servers" / "java" / "ReadCommitted.java"
Record = tuple[int, int, bytes | None, bytes | None]


def read_by_java(server: KafkaServer, topic: str) -> list[Record]:
    command = ["java", "-cp", f"{kafka() / 'libraries'}/*", str(PROGRAM), server.address, topic]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    records: list[Record] = []
    for line in done.stdout.splitlines():
        partition, offset, *texts = line.split(" ")
        key, value = (None if text == "-" else base64.b64decode(text[1:]) for text in texts)
        records.append((int(partition), int(offset), key, value))
    return sorted(records, key=lambda record: record[:2])


@pytest.mark.parametrize("mode", list(WriteMode))
async def test_two_clients_see_the_same(kafka_server: KafkaServer, tmp_path: Path, mode: WriteMode) -> None:
    """Between the transactions of the runner there is one of a producer that gave up."""
    dataset = KafkaDataset(kafka_server, tmp_path)
    admin = kafka_server.admin()  # its answers come only as long as it lives
    settings = {"cleanup.policy": "compact" if mode is WriteMode.UPSERT else "delete"}
    admin.create_topics([NewTopic("rows", 3, 1, config=settings)])["rows"].result(30)
    first = [batch(SMALL, n, *((UPSERT, (k, f"{n}/{k}")) for k in range(40))) for n in range(1, 4)]
    await run_to_end(first, context(dataset, write_mode=mode))
    aborted = Producer({"bootstrap.servers": kafka_server.address, "transactional.id": "somebody"})
    aborted.init_transactions(30)
    aborted.begin_transaction()
    for key in range(40):
        aborted.produce("rows", b'{"k":0,"v":"aborted"}', b'{"k":%d}' % key)
    aborted.flush(30)
    aborted.abort_transaction(30)
    last = batch(SMALL, 4, (DELETE, (3, "3/3")), (UPSERT, (41, "x")))
    await run_to_end([*first, last], context(dataset, write_mode=mode, run=2))
    by_python = [
        (message.partition() or 0, message.offset() or 0, message.key(), message.value())
        for message in dataset.topics.committed("rows")
    ]
    assert read_by_java(kafka_server, "rows") == by_python
    assert len(by_python) == 3 * 40 + 2
    assert {partition for partition, *_ in by_python} == {0, 1, 2}
    if mode is WriteMode.UPSERT:
        assert dataset.read(SMALL, "rows") == [*((k, f"3/{k}") for k in range(40) if k != 3), (41, "x")]
