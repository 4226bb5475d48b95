"""Topics as a dataset for the sink tests, read by a consumer of its own with `read_committed`, never by the sink's code."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import re
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, IsolationLevel, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import OffsetSpec

from connector_runner.datasets.fencing import COLUMNS
from connector_runner.datasets.names import quote, quote_all
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.types import Kind
from tests.servers.kafka import KafkaServer

LEDGERS = "_connector_checkpoints."
SECONDS = 90.0
Rows = list[tuple[Any, ...]]


def _times(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def decode(text: str) -> Any:
        try:
            return parse(json.loads(text))
        except ValueError:
            return json.loads(text)

    return decode


DECODE: dict[Kind, Callable[[str], Any]] = {
    Kind.INT256: lambda text: int(json.loads(text)),
    Kind.DECIMAL: lambda text: Decimal(json.loads(text)),
    Kind.FLOAT32: float,
    Kind.FLOAT64: float,
    Kind.BYTES: lambda text: base64.b64decode(json.loads(text)),
    Kind.DATE: _times(dt.date.fromisoformat),
    Kind.TIME: _times(dt.time.fromisoformat),
    Kind.TIMESTAMP: _times(dt.datetime.fromisoformat),
    Kind.TIMESTAMPTZ: _times(dt.datetime.fromisoformat),
    Kind.JSON: str,
}


class Topics:
    """Reads the topics of a broker."""

    def __init__(self, server: KafkaServer) -> None:
        self.server = server

    def names(self) -> dict[str, int]:
        """Topics that the broker does not keep for itself → number of partitions."""
        found = self.server.admin().list_topics(timeout=20).topics
        return {name: len(topic.partitions) for name, topic in found.items() if not name.startswith("__")}

    def committed(self, *names: str, waits: bool = True) -> list[Message]:
        """All committed records, by partition; waits until every transaction that has begun by now has ended."""
        known = self.names()
        places = [TopicPartition(name, each) for name in names for each in range(known.get(name, 0))]
        if not places:
            return []
        admin = self.server.admin()  # its answers come only as long as it lives
        asked = admin.list_offsets(
            {place: OffsetSpec.latest() for place in places},  # type: ignore[no-untyped-call]
            isolation_level=IsolationLevel.READ_UNCOMMITTED if waits else IsolationLevel.READ_COMMITTED,
        )
        ends = {(place.topic, place.partition): answer.result(20).offset for place, answer in asked.items()}
        consumer = Consumer(
            {
                "bootstrap.servers": self.server.address,
                "group.id": f"test-{uuid.uuid4()}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
            }
        )
        found: list[Message] = []
        try:
            consumer.assign([TopicPartition(place.topic, place.partition, 0) for place in places])
            deadline = time.monotonic() + SECONDS
            while ends:
                assert time.monotonic() < deadline, f"{ends} are not reached"
                for message in consumer.consume(1000, 0.1):
                    if (error := message.error()) is None:
                        found.append(message)
                        continue
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    place = (str(message.topic()), int(message.partition() or 0))
                    if int(message.offset() or 0) >= ends.get(place, 0):
                        ends.pop(place, None)
        finally:
            consumer.close()
        return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))

    def delete_all(self) -> None:
        """Deletes them, and waits until they are gone."""
        admin, deadline = self.server.admin(), time.monotonic() + SECONDS
        while names := self.names():
            assert time.monotonic() < deadline, f"{names} can't be deleted"
            for answer in admin.delete_topics(list(names)).values():
                with contextlib.suppress(Exception):
                    answer.result(20)


def headers(message: Message) -> dict[str, str]:
    found: Any = message.headers() or ()
    return {name: bytes(value or b"").decode() for name, value in found}


class KafkaDataset:
    """Topics on a broker that has nothing else."""

    name = "kafka"
    is_case_sensitive = True
    other_spelling = "rows"

    def __init__(self, server: KafkaServer, folder: Path) -> None:
        self.directory = folder
        self.server = server
        self.topics = Topics(server)
        self.topics.delete_all()
        self.url = f"kafka://{server.address}"

    def read(self, schema: StreamSchema, table: str, extra: Sequence[str] = (), order: str = "") -> Rows:
        """The newest value of each key; with `_op` or in the order of `_id` every record, in its order."""
        is_history = "_op" in extra or order.startswith("_id")
        rows: dict[Any, tuple[Any, ...]] = {}
        for number, message in enumerate(self.topics.committed(table)):
            text = message.value()
            if text is None:
                rows.pop(message.key(), None)
                continue
            record = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            values = [_value(schema, name, record.get(name)) for name in schema.names]
            added = {f"_{name}": value for name, value in headers(message).items()}
            rows[number if is_history else message.key()] = (*values, *(added[name] for name in extra))
        if is_history:
            return list(rows.values())[int(order.partition("OFFSET ")[2] or 0) :]
        places = [schema.names.index(name) for name in ([order] if order else schema.key)]
        return sorted(rows.values(), key=lambda row: tuple(row[place] for place in places))

    def query(self, sql: str) -> Rows:
        """Runs a statement on a copy of all topics in SQLite."""
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:
            names = self.topics.names()
            ledgers = [name for name in names if name.startswith(LEDGERS)]
            copy.execute(f"CREATE TABLE _connector_checkpoints ({quote_all(COLUMNS)})")
            rows = [each for each in self.topics.committed(*ledgers) if (each.key() or b"").startswith(b"[")]
            _store(copy, "_connector_checkpoints", COLUMNS, _newest(rows))
            for name in names:
                if name not in ledgers and re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", sql):
                    self._copy(copy, name)
            return copy.execute(sql).fetchall()

    def _copy(self, copy: sqlite3.Connection, name: str) -> None:
        messages = self.topics.committed(name)
        records = _newest(messages) if any(message.key() for message in messages) else []
        is_history = any(b'"_op":' in (message.value() or b"") for message in messages)
        if is_history or not records:
            records = [
                {"id": number, "_id": number, **_added(message), **json.loads(message.value() or b"{}")}
                for number, message in enumerate(messages)
            ]
        columns = list(dict.fromkeys(member for record in records for member in record)) or ["nothing"]
        copy.execute(f"CREATE TABLE {quote(name)} ({quote_all(columns)})")
        _store(copy, name, columns, records)

    def execute(self, sql: str) -> None:
        raise NotImplementedError("there are no tables; mark the test with needs_tables")

    def held(self, table: str) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError("there are no locks; mark the test with needs_tables")

    def settle(self) -> None:
        """Ends the transaction that a killed runner may have left, as the broker would after a minute."""
        producer = Producer(
            {"bootstrap.servers": self.server.address, "transactional.id": "connector-runner.default.test"}
        )
        producer.init_transactions(30)

    def drop(self, table: str) -> None:
        admin, deadline = self.server.admin(), time.monotonic() + SECONDS
        (answer,) = admin.delete_topics([table]).values()
        answer.result(30)
        while table in self.topics.names():
            assert time.monotonic() < deadline, f"{table} can't be deleted"

    def close(self) -> None:
        """Does nothing: the server ends with the session."""


def _value(schema: StreamSchema, name: str, raw: msgspec.Raw | None) -> Any:
    text = bytes(raw).decode() if raw is not None else "null"
    if text == "null":
        return None
    kind = schema.columns[schema.names.index(name)].type.kind
    return DECODE.get(kind, json.loads)(text)


def _added(message: Message) -> dict[str, str]:
    return {f"_{name}": value for name, value in headers(message).items()}


def _newest(messages: Sequence[Message]) -> list[dict[str, Any]]:
    records: dict[bytes, dict[str, Any]] = {}
    for message in messages:
        if message.value() is None:
            records.pop(message.key() or b"", None)
        else:
            records[message.key() or b""] = json.loads(message.value() or b"")
    return list(records.values())


def _store(
    copy: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    records: Iterator[dict[str, Any]] | list[dict[str, Any]],
) -> None:
    marks = ", ".join("?" * len(columns))
    for record in records:
        values = [record.get(name) for name in columns]
        copy.execute(
            f"INSERT INTO {quote(table)} VALUES ({marks})",
            [json.dumps(value) if isinstance(value, dict | list) else value for value in values],
        )
