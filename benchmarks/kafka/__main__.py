"""Rows into a Kafka topic by the whole pipeline, beside the bare library: `python -m benchmarks.kafka [ROWS]`.

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

from benchmarks.lake.__main__ import SCHEMA, RowSource, batches
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.kafka.avro import build_schema
from connector_runner.sinks.kafka.client import BATCH_BYTES
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.pipeline import Run, context
from tests.servers.kafka import KafkaServer
from tests.servers.schema_registry import SmallRegistry

COMMIT = 10_000
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


def measure(part: str, rows: int) -> None:
    """Prints the rates of one part."""
    with tempfile.TemporaryDirectory() as name, KafkaServer() as server:
        dataset = KafkaDataset(server, Path(name))
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
    if len(sys.argv) == 3:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        count = sys.argv[1] if len(sys.argv) == 2 else "1000000"
        for each in PARTS:
            subprocess.run([sys.executable, "-m", "benchmarks.kafka", each, count], check=True)
