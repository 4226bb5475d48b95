"""What each dataset says of itself is whole, and true of its sink."""

from __future__ import annotations

import importlib
import sqlite3
from pathlib import Path

import pytest
import requests
from confluent_kafka import KafkaError, KafkaException
from deltalake.exceptions import CommitFailedError, DeltaProtocolError, SchemaMismatchError
from pyiceberg.exceptions import CommitFailedException, ForbiddenError, RESTError, UnauthorizedError
from sqlalchemy.exc import DatabaseError, OperationalError

from connector_runner.datasets.sqlite.connection import REFUSED, TRANSIENT, explain
from connector_runner.protocols.errors import ConnectorError
from connector_runner.protocols.types import Kind
from connector_runner.schemas.datasets import DESCRIPTORS, Descriptor
from connector_runner.schemas.datasets.descriptor import COMMON_REASONS
from connector_runner.sinks.delta.errors import explain as explain_delta
from connector_runner.sinks.iceberg.errors import explain as explain_iceberg
from connector_runner.sinks.kafka.errors import FENCED, NOT_ALLOWED, SETTINGS
from connector_runner.sinks.kafka.errors import explain as explain_kafka
from connector_runner.sinks.postgresql.errors import MEANINGS, connection_failure, statement_failure

EVERY = pytest.mark.parametrize("dataset", DESCRIPTORS.values(), ids=list(DESCRIPTORS))


@EVERY
def test_every_kind_of_value_has_a_form(dataset: Descriptor) -> None:
    assert set(dataset.types) == {kind.value for kind in Kind}
    assert all(stored.type and stored.note for stored in dataset.types.values())


@EVERY
def test_it_is_found_by_its_first_scheme_and_has_a_sink(dataset: Descriptor) -> None:
    assert dataset.schemes[0] == dataset.name
    module = importlib.import_module(f"connector_runner.sinks.{dataset.name}")
    assert callable(module.build_sink)
    assert callable(module.build_inspector)


def test_no_scheme_means_two() -> None:
    schemes = [scheme for dataset in DESCRIPTORS.values() for scheme in dataset.schemes]
    assert len(schemes) == len(set(schemes))


def _is_said(dataset: str, error: ConnectorError) -> bool:
    return error.reason in {*COMMON_REASONS, *DESCRIPTORS[dataset].reasons}


@pytest.mark.parametrize("state", sorted(code for code in MEANINGS if len(code) in {0, 2, 5}))
def test_what_postgresql_fails_with_has_a_reason_that_is_said(state: str) -> None:
    assert _is_said("postgresql", statement_failure(state.ljust(5, "0"), "failed", "postgresql://db/x"))


@pytest.mark.parametrize(
    "message",
    [
        "connection refused", "password authentication failed", 'database "x" does not exist', "no pg_hba.conf entry for host",
        "server does not support SSL", "invalid URI", "permission denied for database x",
    ],
)  # fmt: skip
def test_what_keeps_postgresql_from_connecting_has_a_reason_that_is_said(message: str) -> None:
    assert _is_said("postgresql", connection_failure(message, "postgresql://db/x"))


@pytest.mark.parametrize(
    "code", [*NOT_ALLOWED, *SETTINGS, *FENCED, KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError.UNKNOWN]
)
def test_what_kafka_fails_with_has_a_reason_that_is_said(code: int) -> None:
    error = KafkaException(KafkaError(code))
    assert _is_said("kafka", explain_kafka(error, "broker:9092"))


@pytest.mark.parametrize(
    ("code", "text", "is_advised"),
    [
        (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down", True),
        (KafkaError._TRANSPORT, "Disconnected: SSL connection closed by peer (after 0ms in state SSL_HANDSHAKE)", True),
        (KafkaError._SSL, "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?", True),
        (KafkaError._TRANSPORT, "Disconnected while requesting ApiVersion: might be caused by security.protocol", True),
        (KafkaError._TRANSPORT, "Connect to ipv4#127.0.0.1:9092 failed: Connection refused", False),
        (KafkaError._RESOLVE, "Failed to resolve 'broker:9092': Name or service not known", False),
    ],
)
def test_brokers_that_close_connections_without_a_reason_may_want_another_protocol(
    code: int, text: str, is_advised: bool
) -> None:
    """Which of these librdkafka says last, when several connections failed, is a matter of chance."""
    told = explain_kafka(KafkaException(KafkaError(KafkaError._TRANSPORT)), "broker:9092", KafkaError(code, text))
    assert _is_said("kafka", told)
    assert text in told.message
    assert ("see the option security.protocol" in told.message) is is_advised


@pytest.mark.parametrize(
    "error",
    [CommitFailedError("x"), DeltaProtocolError("x"), SchemaMismatchError("x"), OSError(28, "full"), OSError(13, "no")],
)
def test_what_delta_fails_with_has_a_reason_that_is_said(error: Exception) -> None:
    assert _is_said("delta", explain_delta(error, "/lake"))


@pytest.mark.parametrize(
    "error",
    [
        CommitFailedException("x"), UnauthorizedError("x"), ForbiddenError("x"), RESTError("x"), requests.ConnectionError("x"),
        DatabaseError("x", None, Exception("y")), OperationalError("x", None, Exception("y")), OSError(28, "full"), OSError(13, "no"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_iceberg_fails_with_has_a_reason_that_is_said(error: Exception) -> None:
    assert _is_said("iceberg", explain_iceberg(error, "/lake"))


@pytest.mark.parametrize("code", [*TRANSIENT, *REFUSED, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT])
def test_what_sqlite_fails_with_has_a_reason_that_is_said(code: int) -> None:
    error = sqlite3.OperationalError("failed")
    error.sqlite_errorcode = code
    assert _is_said("sqlite", explain(error, Path("x.db")))
