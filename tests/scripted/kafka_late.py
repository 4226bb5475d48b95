"""Replacements whose transaction outlasts the time for which brokers keep it, and runners that end or stop in the next attempt."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Producer

from connector_runner.sinks.kafka import client as kafka
from connector_runner.sinks.kafka.key_state import KeyState
from tests.kit.waiting import wait_until

SHORT = 2.0


class SlowReplacements:
    """Holds the commit of a replacement until the brokers have aborted its transaction.

    Attributes:
        held: How many were held.

    Args:
        always: Whether those are held too that may take longer than the first.
        topic: Where the rows go.
    """

    def __init__(self, *, always: bool = False, topic: str = "rows") -> None:
        self.held = 0
        self._always, self._topic = always, topic
        self._shortest = float("inf")
        self._has_replaced = False
        self._take, self._commit = KeyState.take, kafka.Client.commit

    def hooks(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Functions instead of `KeyState.take` and `Client.commit`."""
        return lambda *arguments: self.take(*arguments), lambda *arguments: self.commit(*arguments)

    def take(self, state: KeyState, stream: str, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Instead of `KeyState.take`."""
        self._has_replaced = True
        yield from self._take(state, stream, prefix)

    def commit(self, client: kafka.Client, producer: Producer, seconds: float = kafka.COMMIT_SECONDS) -> None:
        """Instead of `Client.commit`."""
        has_replaced, self._has_replaced = self._has_replaced, False
        if has_replaced and (self._always or seconds <= self._shortest):
            self.held, self._shortest = self.held + 1, min(seconds, self._shortest)
            producer.flush(60)
            sent = self._end(client)
            surely = time.monotonic() + 2 * seconds + 20  # they may have aborted it before the end was looked at
            wait_until(lambda: self._end(client) > sent or time.monotonic() > surely, "it is aborted", 3600, pause=0.1)
        self._commit(client, producer, seconds)

    def _end(self, client: kafka.Client) -> int:
        count = client.topics()[self._topic]
        return sum(client.ends(kafka.whole({self._topic: count})).values())


@dataclass
class LateThen:
    """Runs in the runner's process: a replacement is late at first; in the midst of its next attempt the runner gets a signal, once."""

    signal: signal.Signals | None

    def __call__(self) -> None:
        slow = SlowReplacements()

        def take(state: KeyState, stream: str, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
            for count, entry in enumerate(slow.take(state, stream, prefix)):
                yield entry
                if count == 1 and slow.held and self.signal:
                    os.write(2, f"{self.signal.name} in the midst\n".encode())
                    os.kill(os.getpid(), self.signal)
                    self.signal = None

        kafka.TRANSACTION_SECONDS = SHORT
        KeyState.take = take  # type: ignore[method-assign, assignment]
        _, kafka.Client.commit = slow.hooks()  # type: ignore[method-assign]
