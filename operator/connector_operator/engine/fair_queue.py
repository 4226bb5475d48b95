"""A queue in which namespaces take turns, so that a thousand keys of one do not delay the single key of another."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple


class Key(NamedTuple):
    """The object of a visit."""

    kind: str
    namespace: str
    name: str


class FairQueue:
    """First come, first served within a namespace; namespaces in turn. Each key is in it at most once."""

    def __init__(self) -> None:
        self._by_namespace: OrderedDict[str, OrderedDict[Key, float]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __contains__(self, key: Key) -> bool:
        return key in self._by_namespace.get(key.namespace, ())

    def push(self, key: Key, since: float = 0.0) -> None:
        """Adds a key at the end, unless it is already in the queue; `since` is when it began to wait, by any clock."""
        keys = self._by_namespace.setdefault(key.namespace, OrderedDict())
        if key not in keys:
            keys[key] = since
            self._length += 1

    @property
    def oldest(self) -> float | None:
        """When the key that waits longest began to wait; None if the queue is empty."""
        return min((min(keys.values()) for keys in self._by_namespace.values()), default=None)

    def pop(self) -> Key:
        """Removes and returns the first key of the namespace whose turn it is.

        Raises:
            KeyError: The queue is empty.
        """
        namespace, keys = next(iter(self._by_namespace.items()), ("", None))
        if keys is None:
            raise KeyError("the queue is empty")
        key, _ = keys.popitem(last=False)
        self._length -= 1
        if keys:
            self._by_namespace.move_to_end(namespace)
        else:
            del self._by_namespace[namespace]
        return key

    def discard(self, key: Key) -> float | None:
        """Removes a key, wherever it is in the queue; returns since when it has waited, None if it was not there."""
        keys = self._by_namespace.get(key.namespace)
        if keys is None or key not in keys:
            return None
        since = keys.pop(key)
        self._length -= 1
        if not keys:
            del self._by_namespace[key.namespace]
        return since
