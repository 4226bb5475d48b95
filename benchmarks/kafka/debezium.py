"""MYSQL into Kafka beside Debezium embedded into Kafka: the same broker, the same table, JSON without schemas in both.

Each is a process of its own, watched from outside: rows by the end of its topic, from its first rows to its last, and processor time and
memory as Linux counts them. First the copy of the table, then, after a restart, the log of transactions of 50,000 rows.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import NewTopic, OffsetSpec

from benchmarks.mysql.peers.programs import debezium_command
from benchmarks.mysql.workload import STREAM, load_bulk, running
from tests.servers.kafka import KafkaServer
from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer

QUIET = 5.0
"""How long a topic that has all rows must stay as it is."""
DEADLINE = 900.0
TOPICS = {"debezium": f"bench.{STREAM}", "connector": "ours"}


@dataclass
class Figures:
    """What one process needed for so many rows."""

    rows: int
    seconds: float
    processor: float
    memory: int

    def __str__(self) -> str:
        return f"{self.rows / self.seconds:10,.0f} rows/s, {self.rows / self.processor:10,.0f} rows a CPU second, {self.memory:5,} MB"


def end_of(server: KafkaServer, topic: str) -> int:
    """The offset after everything that was written."""
    admin = server.admin()  # its answers come only as long as it lives
    wanted = {TopicPartition(topic, 0): OffsetSpec.latest()}  # type: ignore[no-untyped-call]
    (answer,) = admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED).values()
    offset: int = answer.result(30).offset
    return offset


def processor_of(pid: int) -> float:
    """Processor seconds of a process with all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_of(pid: int) -> int:
    """The most memory that it had, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def watch(process: subprocess.Popen[bytes], server: KafkaServer, topic: str, rows: int) -> Figures:
    """Follows a process until its topic has so many more rows; then it is asked to end."""
    before = end_of(server, topic)
    began = 0.0
    start_rows, start_used, last_used = 0, 0.0, 0.0
    seen, last, deadline = before, time.monotonic(), time.monotonic() + DEADLINE
    while seen - before < rows or time.monotonic() - last < QUIET:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{topic} has {seen - before:,} of {rows:,} rows; the process says {process.poll()}")
        now = end_of(server, topic)
        if now != seen:
            seen, last, last_used = now, time.monotonic(), processor_of(process.pid)
            if not began:
                began, start_rows, start_used = last, seen - before, last_used
        time.sleep(0.02)
    figures = Figures(rows - start_rows, last - began, last_used - start_used, peak_of(process.pid))
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    return figures


def our_command(server: DatabaseServer, broker: KafkaServer, folder: Path) -> Sequence[str]:
    """A runner by hand."""
    config = {
        "host": server.host, "port": server.port, "user": ADMIN_USER, "password": ADMIN_PASSWORD, "ssl": {"mode": "DISABLED"},
    }  # fmt: skip
    connector = {
        "apiVersion": "apperate.io/v1", "kind": "Connector", "metadata": {"name": "bench"},
        "spec": {"connectorType": "MYSQL", "datasetId": "bench", "config": config, "selectedStream": STREAM},
    }  # fmt: skip
    dataset = {
        "apiVersion": "apperate.io/v1", "kind": "Dataset", "metadata": {"name": "bench"},
        "spec": {"url": f"kafka://{broker.address}/{TOPICS['connector']}?partitions=1"},
    }  # fmt: skip
    manifest = folder / "connector.yaml"
    manifest.write_text(yaml.safe_dump_all([connector, dataset]))
    return [str(Path(sys.executable).parent / "connector-runner"), "run", "-f", str(manifest)]


def measure(rows: int) -> None:
    """Prints the figures of both, and their ratios."""
    with tempfile.TemporaryDirectory() as name, running("mysql") as server, KafkaServer() as broker:
        folder = Path(name)
        admin = broker.admin()
        for made in admin.create_topics([NewTopic(topic, 1, 1) for topic in TOPICS.values()]).values():
            made.result(30)
        environment = {
            **os.environ,
            "PEER_PASSWORD": ADMIN_PASSWORD,
            "PEER_TABLES": STREAM,
            "PEER_BROKERS": broker.address,
        }
        sides: dict[str, Callable[[], Sequence[str]]] = {
            "connector": lambda: our_command(server, broker, folder),
            "debezium": lambda: debezium_command(server, folder, "kafka", [1 << 60], "-Xmx512m"),
        }
        for part in ("copy", "log"):
            load_bulk(server, rows)
            found: dict[str, Figures] = {}
            for side, command in sides.items():
                with (folder / f"{side}.log").open("ab") as log:
                    process = subprocess.Popen(command(), cwd=folder, env=environment, stdout=log, stderr=log)
                    try:
                        found[side] = watch(process, broker, TOPICS[side], rows)
                    except BaseException:
                        process.kill()
                        print((folder / f"{side}.log").read_text()[-3000:], file=sys.stderr)
                        raise
                print(f"{part:5} {side:10} {found[side]}", flush=True)
            ours, theirs = found["connector"], found["debezium"]
            speed = (ours.rows / ours.seconds) / (theirs.rows / theirs.seconds)
            cpu = (ours.rows / ours.processor) / (theirs.rows / theirs.processor)
            print(
                f"{part:5} ratio: {speed:.2f} by the clock, {cpu:.2f} by processor time, memory {ours.memory / theirs.memory:.2f}"
            )
