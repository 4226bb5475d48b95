"""Topics with rows: made if they are missing, refused if they can't hold the stream, read back for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from confluent_kafka import Message, TopicPartition

from connector_runner.protocols.errors import ActionRequiredError, SchemaConflictError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.sinks.kafka import client as kafka
from connector_runner.sinks.kafka.avro import columns_of, is_avro, legal_name, schema_number
from connector_runner.sinks.kafka.connection import PATIENCE, KafkaConnection
from connector_runner.sinks.kafka.ledger_records import BESIDE, BESIDE_SETTINGS

SETTINGS = {False: {"cleanup.policy": "compact"}, True: {"cleanup.policy": "delete", "retention.ms": "-1"}}
"""By append mode: the settings of topics that are created."""
BEYOND_BATCH = 64 * 1024
"""How much longer than a batch of records a message may be that a topic takes."""


def ensure_topic(connection: KafkaConnection, name: str, schema: StreamSchema, *, append: bool) -> bool:
    """Makes sure that a topic exists and can hold the stream; returns whether it was created.

    Raises:
        ActionRequiredError: It is missing and may not be created, or has settings under which rows would be lost.
        SchemaConflictError: It holds records of another form.
    """
    topic, address = connection.topic(name), connection.client.address
    if topic is None:
        require_topics_made(connection, name)
        if connection.create(name, SETTINGS[append], partitions=address.partitions):
            return True
        topic = connection.topic(name)
    if topic is None:
        raise TransientError(f"the topic {name} is there, but not every broker shows it", reason="DatasetUnavailable")
    require_fitting_topic(connection, name, topic, schema, append=append)
    return False


def require_topics_made(connection: KafkaConnection, name: str) -> None:
    """Checks that a topic that is missing may be created, as the URL says.

    Raises:
        ActionRequiredError: It may not.
    """
    if not connection.client.address.creates:
        raise ActionRequiredError(
            f"the topic {name} does not exist at {connection.client.where}, and the URL says topics=exist; create it, or "
            "leave the option out",
            reason="MissingTopic",
        )


def require_fitting_topic(
    connection: KafkaConnection, name: str, topic: kafka.Topic, schema: StreamSchema, *, append: bool
) -> None:
    """Checks that a topic that exists can hold the stream; reads its last records.

    Raises:
        ActionRequiredError, SchemaConflictError: See `ensure_topic`.
    """
    for message in _last(connection, name, topic.partitions, 1):
        _require_form(connection, message, name, schema, append=append)
    _require_settings(connection, name, topic, append=append)


def _require_settings(connection: KafkaConnection, name: str, topic: kafka.Topic, *, append: bool) -> None:
    if append and "compact" in topic.policy:
        raise ActionRequiredError(
            f"the topic {name} has cleanup.policy={topic.policy}, which removes all but the newest row of a key; a history "
            "(writeMode append) needs a topic with cleanup.policy=delete",
            reason="InvalidDataset",
        )
    shortest = connection.client.batch_bytes + BEYOND_BATCH
    if topic.longest < shortest:
        raise ActionRequiredError(
            f"the topic {name} has max.message.bytes={topic.longest}; at least {shortest} is needed, {BEYOND_BATCH} more than the option "
            "batch.size",
            reason="InvalidDataset",
        )


def require_there(connection: KafkaConnection, name: str, *, append: bool) -> None:
    """Checks that a topic that rows are written into still exists and takes them; looks again before it believes that one is gone.

    Raises:
        ActionRequiredError: It was deleted, or its settings were changed so that rows would be lost.
    """
    for seconds in (0.0, 1.0, 3.0):
        if seconds:
            connection.client.pause(float("inf"), "", seconds)
        if (topic := connection.topic(name)) is not None:
            return _require_settings(connection, name, topic, append=append)
    raise ActionRequiredError(
        f"the topic {name} at {connection.client.where} was deleted while the connector wrote into it; what was in it is gone. The "
        f"next start makes it again (unless the URL says topics=exist), reports that in {name}_incidents, and goes on behind the last "
        "position; `connector-runner checkpoint reset` starts over",
        reason="MissingTopic",
    )


def ensure_beside(connection: KafkaConnection, names: Iterable[str]) -> None:
    """Makes the topics beside those with rows again that somebody has deleted: a row that is refused would be sent for ever."""
    present = connection.client.topics()
    for name in (f"{each}{suffix}" for each in names for suffix in BESIDE):
        if name not in present:
            connection.create(name, BESIDE_SETTINGS)


def _require_form(
    connection: KafkaConnection, message: Message, name: str, schema: StreamSchema, *, append: bool
) -> None:
    """Checks that a record has the form of those that are to come.

    Raises:
        SchemaConflictError: It has another form.
    """
    found = f"topic {name} (partition {message.partition()}, offset {message.offset()})"
    value, wanted = message.value(), "JSON" if connection.registry is None else "Avro"
    has = None if value is None else "Avro" if is_avro(value) else "JSON"
    key = _key_of(message, found)
    if has not in {None, wanted}:
        raise SchemaConflictError(
            f"{found} holds a record in the format {has}, but the dataset's format is {wanted}; set the option format to "
            f"{str(has).lower()}, or choose another topic"
        )
    try:
        members = None if value is None else _members(connection, value, name, found)
    except (msgspec.MsgspecError, ValueError):
        raise SchemaConflictError(
            f"{found} holds a record that is not {wanted}, so no connector wrote it; choose another topic"
        ) from None
    names = tuple(key or ())
    if names != schema.key:
        raise SchemaConflictError(
            f"{found} has records with the key ({', '.join(names)}), but the key of stream {schema.stream} is "
            f"({', '.join(schema.key)}); choose another topic"
        )
    if append is not (members is not None and "_op" in members):
        holds = "the state by key (no column _op)" if append else "a history (column _op)"
        raise SchemaConflictError(f"{found} holds {holds}, which the other writeMode made; choose another topic")


def _key_of(message: Message, found: str) -> dict[str, Any] | None:
    """The key of a record; those of connectors are JSON whatever the format of the values."""
    try:
        return None if (text := message.key()) is None else msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise SchemaConflictError(
            f"{found} holds a record whose key is not JSON, so no connector wrote it; choose another topic"
        ) from None


def _members(connection: KafkaConnection, value: bytes, topic: str, found: str) -> Collection[str]:
    """The names of the members of a value that was found in a topic.

    Raises:
        SchemaConflictError: The registry has no schema of this topic under the id in the value.
    """
    if connection.registry is None:
        return msgspec.json.decode(value, type=dict[str, Any])
    number = schema_number(value)
    schema = connection.registry.schema(number)
    columns = columns_of(schema)
    if schema.get("name") != legal_name(topic):
        raise SchemaConflictError(
            f"{found} holds a record whose schema has the id {number}, and in the registry that is one of "
            f"{schema.get('name')!r}; the registry has lost its schemas since, or the record is somebody else's: restore the registry, or "
            "choose another topic"
        )
    return columns.values()


def _last(connection: KafkaConnection, name: str, partitions: int, count: int) -> list[Message]:
    """The newest records of each partition, at most `count` of each, in order of their time."""
    found: list[Message] = []
    whole = [TopicPartition(name, each) for each in range(partitions)]
    ends = connection.client.ends(whole)
    for place in whole:
        end, window = ends[name, place.partition], max(10, 4 * count)
        newest: list[Message] = []
        while (
            end
        ):  # markers of transactions and cleaned records leave holes, so look further back until there are enough
            start = TopicPartition(name, place.partition, max(0, end - window))
            newest = list(connection.client.read([start], PATIENCE))[-count:]
            if len(newest) >= count or start.offset == 0:
                break
            window *= 16
        found += newest
    return sorted(found, key=lambda message: message.timestamp()[1])


def newest_rows(connection: KafkaConnection, name: str, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """The columns and values of the last records of a topic, newest last; of a deleted key only the key."""
    topic = connection.topic(name)
    if topic is None:
        raise ActionRequiredError(f"the topic {name} does not exist", reason="MissingTopic")
    newest = _last(connection, name, topic.partitions, limit)[-limit:]
    records = [_record(connection, message) for message in newest]
    names = list(dict.fromkeys(member for record in records for member in record))
    return names, [[record.get(member) for member in names] for record in records]


def _record(connection: KafkaConnection, message: Message) -> dict[str, Any]:
    value = message.value()
    if value is not None and connection.registry is not None and is_avro(value):
        from connector_runner.sinks.kafka.avro_reader import read_row

        return read_row(connection.registry.schema(schema_number(value)), value)
    text = value if value is not None else message.key()
    return msgspec.json.decode(text or b"{}", type=dict[str, Any])
