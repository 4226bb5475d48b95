"""Connects to a cluster with the URL and the options that the dataset has now, and says what its errors mean."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.datasets.dialect import Dialect
from connector_runner.protocols.errors import ActionRequiredError, InvalidConfigError, TransientError
from connector_runner.protocols.sink import SinkContext
from connector_runner.schemas.dataset_url import url_problems
from connector_runner.schemas.datasets.kafka import parse_address
from connector_runner.schemas.datasets.kafka_options import settings_of, state_limit
from connector_runner.sinks.kafka import client as kafka
from connector_runner.sinks.kafka.connection import KafkaConnection
from connector_runner.sinks.kafka.dialect import DIALECT
from connector_runner.sinks.kafka.errors import explain, explain_full
from connector_runner.sinks.kafka.records import VALUE_ERRORS
from connector_runner.sinks.kafka.schema_registry import SchemaRegistry
from connector_runner.sinks.kafka.transaction_time import TransactionTime

LOG = logging.getLogger("connector_runner.kafka")
Access = tuple[str, Mapping[str, str]]
"""URL and options."""
REFUSALS = frozenset({"WrongCredentials", "TlsProblem"})


class KafkaCluster:
    """A `Database` of topics.

    Attributes:
        connection: The newest connection.
        transactions: How long a transaction may be open.

    Args:
        context: Where the cluster is, and who writes.
    """

    dialect: Dialect = DIALECT
    begin = "BEGIN"
    value_errors: tuple[type[Exception], ...] = (RefusedError, *VALUE_ERRORS)

    def __init__(self, context: SinkContext) -> None:
        self._read_url, self._read_options = context.read_url, context.read_options
        self._connector = context.connector
        self._where = ""
        self._said: list[KafkaError] = []
        self._used: Access = ("", {})
        self._accepted: Access | None = None
        self.leaving = threading.Event()
        self.transactions = TransactionTime()
        self.connection: KafkaConnection | None = None

    def connect(self, *, create: bool = True) -> KafkaConnection:
        """Connects, and reads the ledgers; writes nothing.

        While a Secret and the brokers' side of it change, one after the other, what the brokers took before is used as long as they
        take it.

        Raises:
            ActionRequiredError, TransientError: It can't be reached or read.
        """
        del create
        present, former = (self._read_url(), dict(self._read_options())), self._accepted
        try:
            return self._connect(present)
        except ActionRequiredError as error:
            if error.reason not in REFUSALS or former is None or former == present:
                raise
            try:
                connection = self._connect(former)
            except (ActionRequiredError, TransientError):
                raise error from None
            LOG.warning("%s; the runner goes on with what it had before the Secret changed", error.message)
            return connection

    def _connect(self, access: Access) -> KafkaConnection:
        self._used = access
        url, options = access
        if problems := url_problems(url):
            raise InvalidConfigError([f"dataset.url: {problem}" for problem in problems], reason="InvalidDataset")
        client = kafka.Client(parse_address(url), settings_of(options), self.leaving)
        self._where, self._said = client.where, client.said
        registry = SchemaRegistry(options) if options.get("format") == "avro" else None
        connection = KafkaConnection(client, self._connector, self.transactions, registry, limit=state_limit(options))
        try:
            with self.explained():
                connection.load()
        except BaseException:
            connection.close()
            raise
        self._accepted = access
        self.connection = connection
        return connection

    @contextmanager
    def explained(self) -> Iterator[None]:
        """See `Database.explained`."""
        try:
            yield
        except KafkaException as error:
            last = self._said[-1] if self._said else None
            # Brokers that took these credentials once refuse them while they start, or until the Secret follows a change there.
            raise explain(error, self._where, last, was_accepted=self._used == self._accepted) from error
        except sqlite3.OperationalError as error:
            raise explain_full(error, "the runner's copy of the ledger") or error from error

    def is_refusal(self, error: Exception) -> bool:
        """See `Database.is_refusal`."""
        return not isinstance(error, KafkaException)
