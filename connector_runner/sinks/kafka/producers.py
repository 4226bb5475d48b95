"""The producers of one connection: its own, and that of a connector from which it takes a topic over.

A takeover writes into both ledgers in one transaction. That can have only one transactional id, which is the other connector's: so that one
is fenced, but a later run of the connector's own is not. Therefore its own ledger says first, by its own id, that it is about to take
something over from whom (a *taking*). Who initialises the connector's own id next replaces that, then fences the other id too, and only
then removes it; and who has fenced the other id for a takeover goes on only if its taking is still the one that is there. So each of two
runs either comes before the other, whole, or ends.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.sinks.kafka import client as kafka
from connector_runner.sinks.kafka import ledger_records as ledger
from connector_runner.sinks.kafka.errors import code_of
from connector_runner.sinks.kafka.transaction_time import TransactionTime


class MovedError(TransientError):
    """Somebody else has written to a ledger since it was read."""

    reason = "DatasetUnavailable"


class Producers:
    """Makes each producer when it is first needed.

    Attributes:
        takings: From whom a run of this connector was about to take something over, as its ledger said when it was last read; each
            with a value that no other taking has.

    Args:
        client: The cluster.
        connector: Who writes.
        transactions: How long a transaction may be open.
        require_unmoved: Reads the ledger of a connector to its end; raises `MovedError` if it is not as it was.
    """

    def __init__(
        self,
        client: kafka.Client,
        connector: str,
        transactions: TransactionTime,
        require_unmoved: Callable[[str], None],
    ) -> None:
        self.takings: dict[str, bytes] = {}
        self._client = client
        self._connector = connector
        self._transactions = transactions
        self._require_unmoved = require_unmoved
        self._own: Producer | None = None
        self._opened: list[Producer] = []

    def note(self, key: bytes | None, value: bytes | None) -> None:
        """A record of the connector's own ledger."""
        if (other := ledger.decode_taking(key)) is None:
            return
        if value is None:
            self.takings.pop(other, None)
        else:
            self.takings[other] = value

    def own(self) -> Producer:
        """The connector's own, which fences every other one of it, and any takeover that one has begun.

        Raises:
            MovedError: See the argument.
            TransientError: The ledger can't be read to its end.
        """
        if self._own is not None:
            return self._own
        self._require_ledger(self._connector)
        producer = self._initialised(self._connector)
        self._stop_takings(producer)
        self._require_unmoved(self._connector)
        if self.takings:  # one that was begun since the ledger was read
            self._stop_takings(producer)
            self._require_unmoved(self._connector)
        self._own = producer
        return producer

    def _stop_takings(self, producer: Producer) -> None:
        for other in sorted(self.takings):
            self._say(producer, other, b'"stopped"')
            self._initialised(other)
            self._say(producer, other, None)
        self.takings.clear()

    def take(self, other: str) -> Producer:
        """The producer for a transaction that takes something over from another connector, with that transaction open.

        The connector's own has no transaction that is open.

        Raises:
            MovedError: See the argument; or another run of this connector has come.
            TransientError: See `own`.
        """
        mine = msgspec.json.encode(uuid.uuid4())
        self._say(self.own(), other, mine)
        self._require_ledger(other)
        producer = self._initialised(other)
        self._require_unmoved(other)
        self._require_unmoved(self._connector)
        if self.takings.get(other) != mine:
            raise MovedError(
                f"another run of {self._connector} has begun while this one took a topic over from {other}"
            )
        producer.begin_transaction()
        self._client.send(producer, ledger.ledger_topic(self._connector), ledger.encode_taking(other), None)
        return producer

    def _say(self, producer: Producer, other: str, value: bytes | None) -> None:
        producer.begin_transaction()
        self._client.send(producer, ledger.ledger_topic(self._connector), ledger.encode_taking(other), value)
        self._client.commit(producer)

    def _initialised(self, connector: str) -> Producer:
        while True:
            producer = self._client.producer(ledger.transactional_id(connector), self._transactions.seconds)
            self._opened.append(producer)
            try:
                self._client.initialise(producer)
            except KafkaException as error:
                if code_of(error) != KafkaError.INVALID_TRANSACTION_TIMEOUT or not self._transactions.lower():
                    raise
            else:
                return producer

    def _require_ledger(self, connector: str) -> None:
        """Makes sure that the ledger's topic exists and keeps the newest record of each key."""
        topic = ledger.ledger_topic(connector)
        if (found := self._client.describe(topic)) is None:
            self._client.create(topic, ledger.SETTINGS, partitions=1)
            found = self._client.describe(topic)
        if found is not None and (found.policy != "compact" or found.partitions != 1):
            raise ActionRequiredError(
                f"the topic {topic} holds the position of the connector, and must have one partition and cleanup.policy=compact, "
                f"but has {found.partitions} and {found.policy}; set it so, or delete the topic to start over",
                reason="InvalidDataset",
            )

    def close(self) -> None:
        """Ends them."""
        for producer in self._opened:
            with suppress(KafkaException, SystemError):  # it was fenced, and says so once more
                producer.purge()
                producer.close()
        self._opened.clear()
