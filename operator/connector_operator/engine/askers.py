"""Who is about to ask for something that others need, too, and who waits for whom.

This covers the time from a decision until the cluster shows it; a new process reads the cluster, and visits everything.
"""

from __future__ import annotations

from collections.abc import Callable

from connector_operator.engine.fair_queue import Key


class Askers:
    """Calls `wake` with each waiting key, when the key that it waits for no longer asks."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._about_to: set[Key] = set()
        self._waiting: dict[Key, set[Key]] = {}

    def begin(self, key: Key) -> None:
        """The key is about to ask; call this before anything is awaited: two visits must not both begin."""
        self._about_to.add(key)

    def end(self, key: Key) -> None:
        """What it was about to do is done, or has failed; the cluster shows the rest."""
        self._about_to.discard(key)

    def is_about_to(self, key: Key) -> bool:
        """Whether it is about to ask."""
        return key in self._about_to

    def wait(self, key: Key, on: Key) -> None:
        """The key waits for another one."""
        self._waiting.setdefault(on, set()).add(key)

    def release(self, on: Key) -> None:
        """The key no longer asks: those that waited for it are visited again."""
        for key in sorted(self._waiting.pop(on, ())):
            self._wake(key)
