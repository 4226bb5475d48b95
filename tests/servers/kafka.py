"""Apache Kafka from Maven: one node in KRaft mode, without ZooKeeper and without installation."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.servers.fetch import once, run_client
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

VERSION = "4.4.0"
POM = Path(__file__).with_name("kafka.pom.xml")
CLUSTER = "connector-tests-cluster"
# The first tier of the compiler and the serial collector: a server that lives for a test starts sooner with them.
JAVA = [
    "-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
]  # fmt: skip
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    # One node: everything that is replicated by default has one copy.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A topic that a test did not ask for would hide a mistake.
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # ACLs count, but what has none is allowed.
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
    # A killed broker may register again after this time.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    # How often late transactions are looked for.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
}


def kafka() -> Path:
    """The folder with the libraries and a formatted log folder to copy; the first call fetches it."""
    return once(f"kafka-{VERSION}", _fetch)


def _fetch(home: Path) -> None:
    copy = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    run_client([*copy, f"-Dversion.kafka={VERSION}", f"-DoutputDirectory={home / 'libraries'}"])
    settings = home / "format.properties"
    _write(settings, {"log.dirs": str(home / "template"), **_addresses({"PLAINTEXT": 9092}, 9093)})
    run_client([*_java(home), "kafka.tools.StorageTool", "format", "--config", str(settings), "--cluster-id", CLUSTER])
    settings.unlink()


def _java(home: Path) -> list[str]:
    return ["java", *JAVA, "-cp", f"{home / 'libraries'}/*"]


def _addresses(ports: Mapping[str, int], controller: int) -> dict[str, str]:
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    return {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
    }


def _write(path: Path, settings: Mapping[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in {**SETTINGS, **settings}.items()))


class KafkaServer(ServerProcess):
    """A broker with its data.

    Args:
        settings: Further settings of the broker, by their names in server.properties.
        listeners: Further ports, by name of the listener.

    Attributes:
        ports: The port of each listener.
    """

    NOT_READY = (KafkaException,)

    def __init__(self, settings: Mapping[str, str] | None = None, listeners: Sequence[str] = ()) -> None:
        super().__init__("kafka")
        self._home = kafka()
        data = self.directory / "data"
        shutil.copytree(self._home / "template", data)
        self._settings = self.directory / "server.properties"
        self.ports = {"PLAINTEXT": self.port, **{name: free_port() for name in listeners}}
        _write(self._settings, {"log.dirs": str(data), **_addresses(self.ports, free_port()), **(settings or {})})

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        return [*_java(self._home), "kafka.Kafka", self._settings]

    def spawn_options(self) -> dict[str, Any]:
        return {"stdin": subprocess.DEVNULL}

    def is_ready(self) -> bool:
        """Whether the broker is registered and answers."""
        return bool(self.admin().list_topics(timeout=1).brokers)

    def admin(self) -> AdminClient:
        """A client that manages topics; its messages about a broker that is gone are not shown."""
        settings: dict[str, Any] = {"bootstrap.servers": self.address, "log_level": 0, "error_cb": lambda _: None}
        return AdminClient(settings)
