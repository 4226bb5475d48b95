"""What an error of librdkafka or a broker means, by a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError

# Refused by an ACL: what the user must be allowed.
NOT_ALLOWED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "to read, write, describe, create and configure its topics",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "to create topics (or create them and say ?topics=exist)",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "to write and describe the transactional id",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "to read with the consumer group",
    KafkaError.SASL_AUTHENTICATION_FAILED: "to connect",
    KafkaError.SECURITY_DISABLED: "to connect",
}
# A person must change a setting.
SETTINGS = {
    KafkaError.INVALID_TRANSACTION_TIMEOUT: "transaction.max.timeout.ms of the brokers must be at least 60000",
    KafkaError.INVALID_REPLICATION_FACTOR: "there are not enough brokers for the number of copies; set ?replication=",
    KafkaError.INVALID_PARTITIONS: "the number of partitions is not possible; set ?partitions=",
    KafkaError.POLICY_VIOLATION: "a policy of the brokers refuses the topic; create it by hand and set ?topics=exist",
    KafkaError.TOPIC_EXCEPTION: "the name of the topic is not possible, or too like that of another topic",
    KafkaError.INVALID_CONFIG: "the brokers refuse a setting of the topic",
    KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT: "transactions need the message format of Kafka 0.11 or later",
}
FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
"""Another producer has the transactional id, or this one's transaction was too late: the ledger tells which."""


def code_of(error: Exception) -> int | None:
    """The code of an error of librdkafka."""
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        code: int = error.args[0].code()
        return code
    return None


def is_fenced(error: ConnectorError) -> bool:
    """Whether the broker took the transaction of this producer, as `explain` made it of librdkafka's error."""
    cause = error.__cause__
    return isinstance(cause, KafkaException) and code_of(cause) in FENCED


def explain(error: Exception, where: str, last: str = "") -> ConnectorError:
    """The error of the pipeline for an error of librdkafka.

    Args:
        error: What librdkafka raised.
        where: The brokers, for the message.
        last: What librdkafka said last about its connections.
    """
    code = code_of(error)
    known = error.args[0] if code is not None else None
    said = f"{known.name()}: {known.str()}" if isinstance(known, KafkaError) else str(error)
    if code in NOT_ALLOWED:
        return ActionRequiredError(
            f"Kafka at {where} does not allow it ({said}); the runner must be allowed {NOT_ALLOWED[code]}",
            reason="NotAllowed",
        )
    if code in SETTINGS:
        return ActionRequiredError(f"Kafka at {where}: {said}; {SETTINGS[code]}", reason="InvalidDataset")
    if code in FENCED:
        return TransientError(
            f"Kafka at {where} took the transaction from this runner ({said}): it was too slow, or another runner began; the "
            "ledger is read to see which",
            reason="DatasetUnavailable",
        )
    more = f"; the last connection: {last}" if last and last not in said else ""
    return TransientError(f"Kafka at {where}: {said}{more}", reason="DatasetUnavailable")


@contextmanager
def explained(where: str, last: list[str]) -> Iterator[None]:
    """Raises errors of librdkafka as errors of the pipeline; `last` holds what it said last about its connections."""
    try:
        yield
    except KafkaException as error:
        raise explain(error, where, last[-1] if last else "") from error
