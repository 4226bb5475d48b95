"""Rows into a Kafka topic by the whole pipeline, beside the bare library: `python -m benchmarks.kafka [ROWS]`.

`python -m benchmarks.kafka claim COMMITS` measures how long a claim takes after many commits instead, and
`python -m benchmarks.kafka debezium [ROWS]` MYSQL into Kafka beside Debezium into Kafka.

Each part runs in a process of its own, against a broker of its own. Its rate is told by the clock, and by the processor time of all
of its threads, so that it matters less what the broker and others do meanwhile.
"""

from __future__ import annotations

import asyncio
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fastavro
import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from benchmarks.kafka.debezium import measure as compare
from benchmarks.lake.rows import SCHEMA, RowSource, batches
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_sink
from connector_runner.sinks.kafka.avro import build_schema
from connector_runner.sinks.kafka.client import BATCH_BYTES
from tests.kit.kafka_dataset import KafkaDataset, Topics
from tests.kit.pipeline import Run, context
from tests.servers.kafka import KafkaServer
from tests.servers.schema_registry import SmallRegistry

COMMIT = 10_000
LEDGER = "_connector_checkpoints.default.test"
PARTS = ("source", "bare", "wait", "no-wait", "append", "avro", "avro-bare")
SETTINGS = {
    "transactional.id": "bare", "batch.size": BATCH_BYTES, "linger.ms": 5, "compression.type": "lz4",
    "queue.buffering.max.messages": 1_000_000, "queue.buffering.max.kbytes": 65536,
}  # fmt: skip


Encode = Callable[[Sequence[Any]], bytes]
_to_json = msgspec.json.Encoder().encode


def json_value(row: Sequence[Any]) -> bytes:
    """The row by msgspec."""
    return _to_json(dict(zip(SCHEMA.names, row, strict=True)))


def build_avro_value() -> Encode:
    """The row by fastavro, with the header of a registry's schema."""
    schema = fastavro.parse_schema(json.loads(build_schema(SCHEMA, "rows", append=False)))

    def encode(row: Sequence[Any]) -> bytes:
        text = io.BytesIO()
        text.write(b"\0\0\0\0\1")
        fastavro.schemaless_writer(text, schema, dict(zip(SCHEMA.names, row, strict=True)))
        return text.getvalue()

    return encode


def write_bare(server: KafkaServer, rows: int, encode: Encode) -> None:
    """The same keys and values in transactions of 10,000."""
    admin = server.admin()  # its answers come only as long as it lives
    (made,) = admin.create_topics([NewTopic("rows", 1, 1, config={"cleanup.policy": "compact"})]).values()
    made.result(30)
    producer = Producer({"bootstrap.servers": server.address, **SETTINGS})
    producer.init_transactions(30)
    sent = 0
    for batch in batches(rows):
        if sent % COMMIT == 0:
            producer.begin_transaction()
        for row in batch.rows:
            key, value = _to_json({"id": row[0]}), encode(row)
            while True:
                try:
                    producer.produce("rows", value, key)
                    break
                except BufferError:
                    producer.poll(0.1)
        sent += len(batch.rows)
        if sent % COMMIT == 0:
            producer.commit_transaction(30)


async def carry(dataset: KafkaDataset, rows: int, part: str) -> None:
    """The whole pipeline."""
    mode = WriteMode.APPEND if part == "append" else WriteMode.UPSERT
    options: dict[str, str] = {}
    with SmallRegistry() as registry:
        if part == "avro":
            options = {"format": "avro", "schema.registry.url": registry.url}
        sink = context(dataset, write_mode=mode, read_options=lambda: options)
        await Run(lambda: RowSource(rows), sink, wait=part == "wait").engine.run()


async def claim_after(dataset: KafkaDataset, commits: int) -> None:
    """The time of a claim, and what the ledger's topic holds then, while its commits become more."""
    made = 0
    for run, goal in enumerate((0, commits // 4, commits // 2, commits), 1):
        if goal:
            made = commit_many(dataset.server, made, goal)
        sink, start = build_sink(context(dataset, run=run)), time.monotonic()
        await sink.claim()
        seconds = time.monotonic() - start
        await sink.close()
        held = len(dataset.topics.committed(LEDGER))
        print(f"{made:9,} commits: the claim takes {seconds:.2f} s; the ledger holds {held:,} records", flush=True)


def commit_many(server: KafkaServer, made: int, goal: int) -> int:
    """Transactions like those of a runner: the newest record of the ledger once more."""
    producer = Producer({"bootstrap.servers": server.address, **SETTINGS, "linger.ms": 0})
    producer.init_transactions(30)
    (newest,) = [each for each in Topics(server).committed(LEDGER) if each.key() and each.value()][-1:]
    while made < goal:
        producer.begin_transaction()
        producer.produce(LEDGER, newest.value(), newest.key())
        producer.commit_transaction(30)
        made += 1
    return made


def measure(part: str, rows: int) -> None:
    """Prints the rates of one part."""
    with tempfile.TemporaryDirectory() as name, KafkaServer() as server:
        dataset = KafkaDataset(server, Path(name))
        if part == "claim":
            asyncio.run(claim_after(dataset, rows))
            return
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        if part == "source":
            for _ in batches(rows):
                pass
        elif part in {"bare", "avro-bare"}:
            write_bare(server, rows, json_value if part == "bare" else build_avro_value())
        else:
            asyncio.run(carry(dataset, rows, part))
        after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - start
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        memory = after.ru_maxrss // 1024
        print(
            f"{part:9} {rows / cpu:12,.0f} rows a CPU second, {rows / seconds:12,.0f} rows/s, {memory} MB", flush=True
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["debezium"]:
        compare(int(sys.argv[2]) if len(sys.argv) == 3 else 1_000_000)
    elif len(sys.argv) == 3:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        count = sys.argv[1] if len(sys.argv) == 2 else "1000000"
        for each in PARTS:
            subprocess.run([sys.executable, "-m", "benchmarks.kafka", each, count], check=True)
