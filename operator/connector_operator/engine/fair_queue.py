"""A line in which namespaces take turns, so that one with a thousand keys does not keep another's single key waiting."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple


class Key(NamedTuple):
    """What a visit is about."""

    kind: str
    namespace: str
    name: str


class FairQueue:
    """First come, first served within a namespace; namespaces in turn. Each key stands in it once."""

    def __init__(self) -> None:
        self._by_namespace: OrderedDict[str, OrderedDict[Key, None]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __contains__(self, key: Key) -> bool:
        return key in self._by_namespace.get(key.namespace, ())

    def push(self, key: Key) -> None:
        """Puts a key at the end, unless it stands there already."""
        keys = self._by_namespace.setdefault(key.namespace, OrderedDict())
        if key not in keys:
            keys[key] = None
            self._length += 1

    def pop(self) -> Key:
        """Takes the first key of the namespace whose turn it is.

        Raises:
            KeyError: Nobody is in line.
        """
        namespace, keys = next(iter(self._by_namespace.items()), ("", None))
        if keys is None:
            raise KeyError("the line is empty")
        key, _ = keys.popitem(last=False)
        self._length -= 1
        if keys:
            self._by_namespace.move_to_end(namespace)
        else:
            del self._by_namespace[namespace]
        return key

    def discard(self, key: Key) -> None:
        """Takes a key out, wherever it stands."""
        keys = self._by_namespace.get(key.namespace)
        if keys is None or key not in keys:
            return
        del keys[key]
        self._length -= 1
        if not keys:
            del self._by_namespace[key.namespace]
