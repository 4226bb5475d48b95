"""How long a transaction may be open: brokers abort one that takes longer, so after that the next may take longer too.

It begins with a short time, since that is also how long a suspended runner can hold readers up.
"""

from __future__ import annotations

import logging

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sinks.kafka import client as kafka

LOG = logging.getLogger("connector_runner.kafka")
GROWTH = 4
ATTEMPTS = 3
"""How often the same transaction is tried in the longest time that the brokers allow: they may have been gone meanwhile."""
LONGEST = 900.0
"""What brokers allow by default; for brokers that do not say."""


class TransactionTime:
    """The time for a transaction of one run, over all of its connections.

    Attributes:
        seconds: How long the next one may be open.
    """

    def __init__(self) -> None:
        self.seconds = kafka.TRANSACTION_SECONDS
        self._longest: float | None = None
        self._late = 0.0
        self._attempts = 0

    def failed(self, seconds: float) -> None:
        """A transaction was open for so long, and did not commit."""
        if seconds >= self.seconds:
            self._late = seconds

    def committed(self) -> None:
        """A transaction was in time."""
        self._late, self._attempts = 0.0, 0

    def adapt(self, client: kafka.Client) -> None:
        """Gives the next transaction more time, if the last one was late.

        Raises:
            ActionRequiredError: It was late several times although it had all the time that the brokers allow.
        """
        if not self._late:
            return
        late, self._late = self._late, 0.0
        if self._longest is None:
            self._longest = client.longest_transaction() or LONGEST
        if self.seconds < self._longest:
            self.seconds = min(self.seconds * GROWTH, self._longest)
            LOG.warning(
                "a transaction was open for %.0f s, longer than the brokers keep one of this runner; it is sent again, and may take %.0f s",
                late,
                self.seconds,
            )
            return
        self._attempts += 1
        if self._attempts >= ATTEMPTS:
            raise ActionRequiredError(
                f"Kafka at {client.where}: a transaction was open for {late:.0f} s, {self._attempts} times, and the brokers allow "
                f"{self.seconds:.0f} s; nothing of it is stored. Raise transaction.max.timeout.ms of the brokers, find out why they are "
                "slow, or cut what the source replaces at once into smaller pieces",
                reason="InvalidDataset",
            )

    def lower(self) -> bool:
        """The brokers do not allow so much; returns whether there is a shorter time."""
        if self.seconds <= kafka.TRANSACTION_SECONDS:
            return False
        self.seconds = self._longest = max(kafka.TRANSACTION_SECONDS, self.seconds / GROWTH)
        return True
