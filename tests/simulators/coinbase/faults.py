"""What can be made to go wrong, and how often it really did.

A fault is armed on every session that is open at that moment and strikes the next message it applies to; it is counted when
it strikes, so a test can wait until it has seen as many as it wants.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import StrEnum


class Fault(StrEnum):
    """The kinds; the values are what `POST /control/faults` takes."""

    DROP_MESSAGE = "drop_message"
    """A match (or a message of `full`) is never sent."""
    DUPLICATE = "duplicate"
    """A message is sent twice."""
    REORDER = "reorder"
    """A message is sent after the next one of another product."""
    OVERSIZED = "oversized"
    """A message of two megabytes, of an unknown type, comes before the next one."""
    GARBAGE = "garbage"
    """A text frame that is not JSON comes before the next message."""
    BROKEN_FRAME = "broken_frame"
    """Bytes that are not a websocket frame are sent."""
    DROP_SOCKET = "drop_socket"
    """The connection is reset."""
    ERROR = "error"
    """An error message, then the exchange closes."""
    FREEZE = "freeze"
    """Nothing is sent any more; pings are answered."""
    HALF_OPEN = "half_open"
    """Nothing is sent or read any more; the connection is never closed."""
    TOO_MANY_REQUESTS = "too_many_requests"
    """The next REST request or connection is answered with 429."""
    UNFILLABLE = "unfillable"
    """The next trade is missing from the feed and from REST."""
    UNAVAILABLE = "unavailable"
    """The next REST request is answered with 503."""
    STALE = "stale"
    """The next page of trades knows nothing of the last seconds, though it has a cursor."""
    MUTE = "mute"
    """From the next message of a product on, its channel sends nothing about it on this connection; heartbeats continue."""
    NO_HEARTBEAT = "no_heartbeat"
    """From the next heartbeat of a product on, it has none on this connection; everything else continues."""


ONCE_FOR_ALL = frozenset({Fault.TOO_MANY_REQUESTS, Fault.UNFILLABLE, Fault.UNAVAILABLE, Fault.STALE})
"""Faults of the exchange, not of a session."""


class FaultBook:
    """Armed faults of the whole exchange, and the count of all that struck."""

    def __init__(self) -> None:
        self.struck: Counter[Fault] = Counter()
        self.armed: Counter[Fault] = Counter()

    def strike(self, fault: Fault) -> bool:
        """True, and counted, when this fault of the exchange is armed; it is used up."""
        if self.armed[fault] <= 0:
            return False
        self.armed[fault] -= 1
        self.struck[fault] += 1
        return True


class SessionFaults:
    """Armed faults of one session."""

    def __init__(self, book: FaultBook) -> None:
        self._book = book
        self._armed: deque[Fault] = deque()

    def arm(self, fault: Fault) -> None:
        self._armed.append(fault)

    def next_for(self, channel: str) -> Fault | None:
        """The fault that strikes a message of this channel now, used up and counted; None: all is well."""
        if not self._armed:
            return None
        fault = self._armed[0]
        if fault is Fault.DROP_MESSAGE and channel not in {"matches", "full"}:
            return None  # the loss of anything else can't be seen by anyone: nothing to prove
        if (fault is Fault.MUTE and channel == "heartbeat") or (fault is Fault.NO_HEARTBEAT and channel != "heartbeat"):
            return None
        self._armed.popleft()
        self._book.struck[fault] += 1
        return fault
