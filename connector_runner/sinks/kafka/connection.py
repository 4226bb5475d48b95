"""A connection whose transactions commit in Kafka: statements of the ledger run on a local copy, and what they change is sent.

The copy (SQLite, in a private file that ends with the connection) is filled from the ledger's topics. A COMMIT writes what changed,
with the rows, dead letters and incidents, in one Kafka transaction; only then the copy commits. So the broker is the fence, and the
copy tells who holds it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition

from connector_runner.datasets.fencing import COLUMNS, Holder
from connector_runner.datasets.ledger_statements import build_ledger_statements
from connector_runner.datasets.names import CHECKPOINTS, TableNames
from connector_runner.datasets.procedure import Cursor
from connector_runner.protocols.errors import TransientError
from connector_runner.sinks.kafka import client as kafka
from connector_runner.sinks.kafka import ledger_records as ledger
from connector_runner.sinks.kafka.dialect import DIALECT
from connector_runner.sinks.kafka.key_state import KeyState
from connector_runner.sinks.kafka.producers import MovedError, Producers
from connector_runner.sinks.kafka.records import Headers
from connector_runner.sinks.kafka.schema_registry import SchemaRegistry
from connector_runner.sinks.kafka.transaction_time import TransactionTime

PATIENCE, NEVER = 1.0, float("inf")
OVERHEAD = 512
"""What a record may need beside key, value and headers."""
_TRIGGERS = "".join(
    f"CREATE TEMP TRIGGER note_{what} AFTER {what} ON {CHECKPOINTS} BEGIN "
    + "".join(f"INSERT INTO changed VALUES ({row}.connector, {row}.stream, {row}.table_name);" for row in rows)
    + "END;\n"
    for what, rows in {"INSERT": ["new"], "UPDATE": ["old", "new"], "DELETE": ["old"]}.items()
)
_INSERT = f"INSERT INTO {CHECKPOINTS} ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


class KafkaConnection:
    """See `BlockingConnection`.

    Attributes:
        client: The cluster.
        registry: Where the schemas of values are kept; None for values in JSON.
        keys: What the topics hold, as far as it is needed.
        marks: Streams with their topics that have needed it before.

    Args:
        client: The cluster.
        connector: Who writes.
        transactions: How long a transaction may be open.
        registry: Where the schemas of values are kept; None for values in JSON.
        limit: How much what the topics hold may take on disk, in MiB.
    """

    def __init__(
        self, client: kafka.Client, connector: str, transactions: TransactionTime,
        registry: SchemaRegistry | None = None, *, limit: int,
    ) -> None:  # fmt: skip
        self.client = client
        self.registry = registry
        self._connector = connector
        self._transactions = transactions
        self._local = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._local.execute(build_ledger_statements(TableNames("", ""), DIALECT).create_checkpoints)
        self._local.executescript("CREATE TEMP TABLE changed (connector, stream, table_name);\n" + _TRIGGERS)
        self.keys = KeyState(self._local, client, limit)
        self.marks: set[tuple[str, str]] = set()
        self._base: ledger.Rows = {}
        self._producers = Producers(client, connector, transactions, self._require_unmoved)
        self._begun = self._broken = False
        self._begun_at = 0.0
        self._pending: list[tuple[str, Sequence[str], Sequence[Any]]] = []
        self._topics: dict[str, kafka.Topic] = {}

    # the local copy

    def load(self) -> None:
        """Fills the copy from the ledgers of all connectors, each as far as no transaction is open."""
        names = {name: 1 for name in self.client.topics() if name.startswith(ledger.PREFIX)}
        self._base = self._read(names)
        self._fill(self._base)

    def _read(self, names: Mapping[str, int], patience: float = PATIENCE) -> ledger.Rows:
        rows: ledger.Rows = {}
        own = ledger.ledger_topic(self._connector)
        for message in self.client.read(kafka.whole(names), patience):
            ledger.apply_record(rows, message.key(), message.value())
            if message.topic() == own:
                self._producers.note(message.key(), message.value())
                if (mark := ledger.decode_mark(message.key())) is not None:
                    self.marks.add(mark)
        return rows

    def _fill(self, rows: ledger.Rows) -> None:
        self._local.execute("BEGIN")
        self._local.execute(f"DELETE FROM {CHECKPOINTS}")
        self._local.executemany(_INSERT, rows.values())
        self._local.execute("DELETE FROM changed")
        self._local.execute("COMMIT")

    def read_others(self) -> list[Holder]:
        """What the ledgers of other connectors say now, and what they would say if all that is open were committed.

        A claim may have been committed without its readers seeing that: a broker writes it into each partition when it can.
        """
        own = ledger.ledger_topic(self._connector)
        whole = kafka.whole(
            {name: 1 for name in self.client.topics() if name.startswith(ledger.PREFIX) and name != own}
        )
        stable = self.client.ends(whole, is_stable=True)
        found = list(self._read({each.topic: 1 for each in whole}).values())
        starts = [TopicPartition(name, part, stable[name, part]) for name, part in self._open(whole, stable)]
        for message in self.client.read(starts, PATIENCE, isolation="read_uncommitted"):
            rows: ledger.Rows = {}
            ledger.apply_record(rows, message.key(), message.value())
            found += rows.values()
        return [Holder(*row[:-1]) for row in found]

    def _open(self, whole: Sequence[TopicPartition], stable: Mapping[tuple[str, int], int]) -> list[tuple[str, int]]:
        """Those of these partitions that have more than what is known to be committed."""
        return [place for place, end in self.client.ends(whole).items() if end > stable[place]]

    # the connection

    @property
    def in_transaction(self) -> bool:
        """See `BlockingConnection.in_transaction`."""
        return self._local.in_transaction or self._begun

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """See `Connection.execute`; statements on topics beside the rows are carried out in Kafka."""
        if sql == "COMMIT":
            self._commit()
        elif sql == "ROLLBACK":
            self._roll_back()
        elif sql == DIALECT.find and parameters[0].strip('"') != CHECKPOINTS:
            found = self.topic(parameters[0].strip('"'))
            return self._local.execute("SELECT 1 WHERE ?", [found is not None])
        elif (beside := ledger.topic_beside(sql)) is not None:
            is_new, topic, members = beside
            if is_new:
                self.create(topic, ledger.BESIDE_SETTINGS)
            else:
                self._pending.append((topic, members, parameters))
            return self._local.execute("SELECT 1 WHERE 0")
        else:
            return self._local.execute(sql, parameters)
        return self._local.execute("SELECT 1 WHERE 0")

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> Cursor:
        """See `BlockingConnection.executemany`."""
        return self._local.executemany(sql, parameters)

    def close(self) -> None:
        """See `BlockingConnection.close`."""
        self._producers.close()
        self.client.close()
        self._local.close()

    # topics

    def topic(self, name: str) -> kafka.Topic | None:
        """A topic; None if it does not exist."""
        if name not in self._topics and (found := self.client.describe(name)) is not None:
            self._topics[name] = found
        return self._topics.get(name)

    def create(self, name: str, settings: Mapping[str, str], *, partitions: int = -1) -> bool:
        """Creates a topic; returns whether it was not there."""
        return self.client.create(name, settings, partitions=partitions)

    def longest(self, name: str) -> int:
        """The longest record that a topic takes."""
        topic = self.topic(name)
        return (topic.longest if topic is not None else 1_000_000) - OVERHEAD

    # transactions

    def initialise(self) -> None:
        """Fences every other producer of this connector, and checks that nobody has written to its ledger since it was read.

        Raises:
            MovedError: Somebody has; the copy must be filled again.
            TransientError: The ledger can't be read to its end.
        """
        self._producers.own()

    def _require_unmoved(self, connector: str) -> None:
        before = {key: row for key, row in self._base.items() if key[0] == connector}
        # To its end: what is behind an open transaction counts, too.
        if self._read({ledger.ledger_topic(connector): 1}, NEVER) != before:
            raise MovedError(f"somebody else has written to the ledger of {connector} in this moment; it is read again")

    def begin(self) -> Producer:
        """The producer, with a transaction that is open."""
        if self._broken:
            raise TransientError(
                "a transaction could not be taken back; the runner connects again", reason="DatasetUnavailable"
            )
        producer = self._producers.own()
        if not self._begun:
            producer.begin_transaction()
            self._begun, self._begun_at = True, time.monotonic()
        return producer

    def load_state(self, stream: str, table: str, owner: tuple[str, str] | None) -> None:
        """Reads what a topic holds, if it is there and not known yet; outside of a transaction.

        Args:
            stream: The stream that needs it; the ledger marks it, so that the next claim reads at once.
            table: Its topic.
            owner: See `KeyState.load`.
        """
        if self.keys.is_loaded(stream):
            return
        self._topics.pop(table, None)  # partitions may have been added
        if (topic := self.topic(table)) is None:
            return
        producer = self.begin()
        # The broker takes a record of the next transaction only when the last one has ended everywhere: all of it can be read then.
        self.client.send(producer, ledger.ledger_topic(self._connector), ledger.encode_mark(stream, table), b"true")
        self.client.commit(producer)
        self._begun = False
        self.marks.add((stream, table))
        self.keys.load(stream, table, topic.partitions, owner)

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, partition: int = -1) -> None:
        """Adds a record to the transaction."""
        self.client.send(self.begin(), topic, key, value, headers, partition)

    def send_all(
        self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes], headers: Headers, partition: int = -1
    ) -> None:
        """Adds many records with the same headers to the transaction."""
        producer = self.begin()
        self.client.send_all(producer, topic, zip(keys, values, strict=True), headers, partition)

    def _commit(self) -> None:
        changed = self._local.execute("SELECT DISTINCT connector, stream, table_name FROM changed").fetchall()
        if changed or self._pending or self._begun:
            others = sorted({connector for connector, *_ in changed} - {self._connector})
            producer = self.begin()
            if others:  # a table is taken over: the other one is fenced, by a transaction of its own id
                producer.abort_transaction(kafka.SECONDS)
                self._begun = False
                producer = self._producers.take(others[0])
            self._send_pending(producer)
            for key in changed:
                row = self._local.execute(
                    f"SELECT * FROM {CHECKPOINTS} WHERE connector = ? AND stream = ? AND table_name = ?", key
                ).fetchone()
                value = None if row is None else ledger.encode_row(row)
                self.client.send(producer, ledger.ledger_topic(key[0]), ledger.encode_key(key), value)
            self.client.commit(producer, self._transactions.seconds)
            self._transactions.committed()
        self._begun = False
        self._pending.clear()
        self._local.execute("DELETE FROM changed")
        self._local.execute("COMMIT")

    def _send_pending(self, producer: Producer) -> None:
        for topic, members, values in self._pending:
            value = ledger.encode_beside(members, values)
            if topic.endswith("_dead_letters"):
                value = ledger.shorten_letter(value, self.longest(topic))
            self.client.send(producer, topic, None, value, partition=0)

    def _roll_back(self) -> None:
        if self._local.in_transaction:  # a full disk may have ended it
            self._local.execute("ROLLBACK")
        self._pending.clear()
        if self._begun:
            self._begun = False
            self._transactions.failed(time.monotonic() - self._begun_at)
            producer = self._producers.own()
            try:
                producer.purge()
                producer.abort_transaction(kafka.SECONDS)
            except KafkaException:  # fenced, or nobody answers: this producer is of no use any more
                self._broken = True
