"""What an error of librdkafka or a broker means, by a table."""

from __future__ import annotations

import sqlite3

from confluent_kafka import KafkaError, KafkaException

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError

# Refused by an ACL: what the user must be allowed.
NOT_ALLOWED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "to read, write, describe, create and configure its topics",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "to create topics (or create them and say ?topics=exist)",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "to write and describe the transactional id",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "to read with the consumer group",
    KafkaError.SECURITY_DISABLED: "to connect",
}
# A person must change a setting.
SETTINGS = {
    KafkaError._INVALID_ARG: "check the dataset's options",
    KafkaError.INVALID_TRANSACTION_TIMEOUT: "transaction.max.timeout.ms of the brokers must be at least 60000",
    KafkaError.INVALID_REPLICATION_FACTOR: "there are not enough brokers for the number of copies; set ?replication=",
    KafkaError.INVALID_PARTITIONS: "the number of partitions is not possible; set ?partitions=",
    KafkaError.POLICY_VIOLATION: "a policy of the brokers refuses the topic; create it by hand and set ?topics=exist",
    KafkaError.TOPIC_EXCEPTION: "the name of the topic is not possible, or too like that of another topic",
    KafkaError.INVALID_CONFIG: "the brokers refuse a setting of the topic",
    KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT: "transactions need the message format of Kafka 0.11 or later",
}
AUTHENTICATION = {
    KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
}  # fmt: skip
"""Why a connection was refused."""
TLS = {
    "certificate verify failed": "set the option ssl.ca.pem to the authority that has signed the brokers' certificate, for the name in the URL",
    "wrong version number": "the broker does not speak TLS on this port; choose its port for TLS, or another security.protocol",
    "packet length too long": "the broker does not speak TLS on this port; choose its port for TLS, or another security.protocol",
    "unknown ca": "the brokers do not trust the certificate in ssl.certificate.pem",
    "certificate required": "the brokers ask for a certificate; set ssl.certificate.pem and ssl.key.pem",
    "alert certificate": "the brokers refuse the certificate in ssl.certificate.pem",
    "bad certificate": "the brokers ask for a certificate that they trust; check ssl.certificate.pem and ssl.key.pem",
    "handshake failure": "the brokers refuse the certificate or the ciphers; see ssl.certificate.pem and ssl.cipher.suites",
}
"""Words in an error of TLS that stays until a person changes something → what to change."""
SASL = {
    "nsupported SASL mechanism": "the brokers do not offer this sasl.mechanism on this port",
    "token": "check the options sasl.oauthbearer.…: the token endpoint gives no token, or the brokers do not take it",
    "": "check sasl.username and sasl.password, normally in a Secret named in optionsFrom",
}
"""Words in an error of authentication → what to check."""
CLOSED = ("Disconnected", "closed by peer", "SSL_HANDSHAKE", "unexpected eof")
"""Words of a connection that was made, then closed without a reason. Which of them is told last is a matter of chance."""
OTHER_PROTOCOL = (
    "if they are up, they close connections that are not made as they want: see the option security.protocol"
)
FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
"""Another producer has the transactional id, or this one's transaction was too late: the ledger tells which."""


def explain_full(error: Exception, what: str) -> TransientError | None:
    """The error for a full temporary folder; None if SQLite says something else.

    Args:
        error: What SQLite raised.
        what: What is stored there.
    """
    if not isinstance(error, sqlite3.OperationalError) or error.sqlite_errorcode != sqlite3.SQLITE_FULL:
        return None
    return TransientError(
        f"the runner's temporary folder is full ({error}); {what} is stored there. Free room, or set TMPDIR to a folder with more; with "
        "a limit on /tmp in a pod, raise it",
        reason="DatasetUnavailable",
    )


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


def explain(
    error: Exception, where: str, last: KafkaError | None = None, *, was_accepted: bool = False
) -> ConnectorError:
    """The error of the pipeline for an error of librdkafka.

    Args:
        error: What librdkafka raised.
        where: The brokers, for the message.
        last: What librdkafka said last about its connections.
        was_accepted: Whether brokers have taken the same options before.
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
    refusal = next((found for one in (known, last) if (found := _explain_refusal(one, where)) is not None), None)
    if refusal is not None:
        if not was_accepted:
            return refusal
        return TransientError(
            f"{refusal.message}; it took the same before, so this is tried again", reason="DatasetUnavailable"
        )
    more = f"; the last connection: {last.str()}" if last is not None and last.str() not in said else ""
    advice = f"; {OTHER_PROTOCOL}" if last is not None and _is_closed(last) else ""
    return TransientError(f"Kafka at {where}: {said}{more}{advice}", reason="DatasetUnavailable")


def _is_closed(error: KafkaError) -> bool:
    """Whether brokers close connections without saying why, as they do when they stop or when another protocol is spoken."""
    return error.code() == KafkaError._ALL_BROKERS_DOWN or any(words in error.str() for words in CLOSED)


def is_refusal(error: KafkaError) -> bool:
    """Whether the brokers will not take a connection with these options."""
    return _explain_refusal(error, "") is not None


def _explain_refusal(reported: KafkaError | None, where: str) -> ActionRequiredError | None:
    """The error for a connection that will not be possible with these options; None if it may be possible later."""
    if reported is None:
        return None
    text = reported.str()
    if reported.code() in AUTHENTICATION:
        hint = next(hint for words, hint in SASL.items() if words in text)
        return ActionRequiredError(f"Kafka at {where}: {text}; {hint}", reason="WrongCredentials")
    # What the broker says of the runner's certificate comes only when the first request is sent, as an error of reading.
    hint = next((hint for words, hint in TLS.items() if words in text and "SSL" in text), "")
    return ActionRequiredError(f"Kafka at {where}: {text}; {hint}", reason="TlsProblem") if hint else None
