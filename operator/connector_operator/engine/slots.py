"""How many discoveries run at a time, and which is next: a source that hangs occupies one slot, not the operator."""

from __future__ import annotations

from collections.abc import Callable

from connector_operator.engine.fair_queue import FairQueue, Key


class Slots:
    """Calls `wake` with a key when a slot has been reserved for it."""

    def __init__(self, limit: int, wake: Callable[[Key], None]) -> None:
        self._limit = limit
        self._wake = wake
        self._held: set[Key] = set()
        self._line = FairQueue()

    def __len__(self) -> int:
        return len(self._held)

    def is_free_for(self, key: Key) -> bool:
        """Whether this key may start a discovery now: it holds a slot, or one is free and no key waits."""
        return key in self._held or (len(self._held) < self._limit and not len(self._line))

    def is_waiting(self, key: Key) -> bool:
        """Whether the key waits for a slot."""
        return key in self._line

    def hold(self, key: Key) -> None:
        """A discovery of this key runs or is about to start."""
        self._line.discard(key)
        self._held.add(key)

    def wait(self, key: Key) -> None:
        """The key waits for a slot; it is woken when its turn comes."""
        if key not in self._held:
            self._line.push(key)
            self._serve()

    def release(self, key: Key) -> None:
        """The key has no discovery and needs none; the next waiting key gets the slot."""
        self._line.discard(key)
        self._held.discard(key)
        self._serve()

    def _serve(self) -> None:
        while len(self._held) < self._limit and len(self._line):
            key = self._line.pop()
            self._held.add(key)
            self._wake(key)
