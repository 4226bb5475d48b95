"""Three brokers that are also the controllers, with three copies of everything, of which two must have each record."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from confluent_kafka.admin import AdminClient

from tests.kit.waiting import wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.ports import free_port

COPIES = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    # The brokers themselves, which ask for the votes before any ACL is known.
    "super.users": "User:ANONYMOUS",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "transaction.state.log.num.partitions": "4",
    # Moves leaders within seconds, also while the machine is busy.
    "broker.session.timeout.ms": "4000",
}
STATES = 4
"""Partitions of the topic with the transactions' states."""


class _Node(KafkaServer):
    """One of the three."""

    def __init__(self, number: int, controllers: list[int]) -> None:
        voters = ",".join(f"{each}@127.0.0.1:{port}" for each, port in enumerate(controllers, 1))
        super().__init__({"node.id": str(number), "controller.quorum.voters": voters, **COPIES})
        self.number = number
        found = self._settings.read_text().splitlines()
        own = f"CONTROLLER://127.0.0.1:{controllers[number - 1]}"
        lines = [
            f"listeners=PLAINTEXT://{self.address},{own}" if line.startswith("listeners=") else line for line in found
        ]
        self._settings.write_text("\n".join(lines) + "\n")
        meta = self.directory / "data" / "meta.properties"
        kept = [line for line in meta.read_text().splitlines() if not line.startswith(("node.id", "directory.id"))]
        meta.write_text("\n".join([*kept, f"node.id={number}", f"directory.id={_directory()}"]) + "\n")

    PATIENCE = 180.0

    def is_ready(self) -> bool:
        """Whether it has joined the others."""
        return self.number in self.admin().list_topics(timeout=2).brokers


def _directory() -> str:
    """An id as Kafka writes it: 16 bytes in base64 for URLs."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")


class KafkaCluster:
    """Three nodes.

    Attributes:
        nodes: By number, from 1 on.
    """

    def __init__(self) -> None:
        controllers = [free_port() for _ in range(3)]
        self.nodes = {number: _Node(number, controllers) for number in (1, 2, 3)}

    def __enter__(self) -> KafkaCluster:
        try:
            with ThreadPoolExecutor(3) as pool:  # the first one answers only when another is there
                list(pool.map(_Node.start, self.nodes.values()))
            wait_until(lambda: len(self.admin().list_topics(timeout=5).brokers) == 3, "three brokers are there", 120)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self:
            node.destroy()

    def __iter__(self) -> Iterator[_Node]:
        return iter(self.nodes.values())

    @property
    def address(self) -> str:
        """All three."""
        return ",".join(node.address for node in self)

    def admin(self) -> AdminClient:
        """A client that manages topics."""
        settings: dict[str, Any] = {"bootstrap.servers": self.address, "log_level": 0, "error_cb": lambda _: None}
        return AdminClient(settings)

    def leader(self, topic: str, partition: int) -> _Node:
        """The node that leads a partition."""
        return self.nodes[self.admin().list_topics(topic, timeout=20).topics[topic].partitions[partition].leader]

    def coordinator(self, transactional_id: str) -> _Node:
        """The node that coordinates the transactions of an id, as brokers choose it: by Java's hash of the text."""
        digest = 0
        for letter in transactional_id:
            digest = (31 * digest + ord(letter)) & 0xFFFFFFFF
        signed = digest - (1 << 32) if digest >> 31 else digest
        return self.leader("__transaction_state", (signed & 0x7FFFFFFF) % STATES)

    def in_sync(self) -> bool:
        """Whether every partition has its three copies."""
        topics = self.admin().list_topics(timeout=20).topics.values()
        return all(len(part.isrs) == 3 for topic in topics for part in topic.partitions.values())
