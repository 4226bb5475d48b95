"""How the streams of a selection stand: counted, and the failed ones by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from connector_runner.protocols.source import StreamState

AGAIN_SECONDS = 60.0
"""A stream that fails so soon after it was tried again has not been well in between."""


class Standing(NamedTuple):
    """The state of one stream.

    Attributes:
        reason: Why it failed, in one word, or in a sentence where the source knows no word; "" if it did not.
        message: Why, in a sentence; "" if there is no more to say than the reason.
        since: The Unix time since when it is in this state.
    """

    state: StreamState
    reason: str
    message: str
    since: float


class StreamStates:
    """The state of each selected stream; one of which nothing was reported is followed."""

    def __init__(self) -> None:
        self._selected: set[str] = set()
        self._states: dict[str, Standing] = {}
        self._before: dict[str, float] = {}  # failed when the selection was claimed again, and since when
        self._claimed = 0.0

    def __len__(self) -> int:
        return len(self._selected)

    def select(self, streams: Collection[str], now: float = 0.0) -> None:
        """These are selected from now on; a failure that is reported afterwards counts again."""
        self._before = {stream: standing.since for stream, standing in self._failed()}
        self._selected, self._claimed = set(streams), now
        self._states.clear()

    def put(self, stream: str, state: StreamState, reason: str, message: str = "", now: float = 0.0) -> bool:
        """Returns whether this is new."""
        before = self._states.get(stream)
        since = before.since if before is not None and before.state is state else now
        if state is StreamState.FAILED and now - self._claimed <= AGAIN_SECONDS:
            since = self._before.get(stream, since)  # it was tried again and has failed ever since the first time
        standing = Standing(state, reason, message, since)
        self._selected.add(stream)
        self._states[stream] = standing
        return before is None or before[:3] != standing[:3]

    def counts(self) -> dict[str, int]:
        """How many are selected, copying, following and failed."""
        found = [standing.state for standing in self._states.values()]
        copying, failed = found.count(StreamState.COPYING), found.count(StreamState.FAILED)
        selected = len(self._selected)
        return {
            "selected": selected, "copying": copying, "following": selected - copying - failed, "failed": failed,
        }  # fmt: skip

    def _failed(self) -> list[tuple[str, Standing]]:
        return [(s, standing) for s, standing in self._states.items() if standing.state is StreamState.FAILED]

    def failed(self) -> Mapping[str, str]:
        """Stream → why it failed, in a sentence if there is one."""
        return {stream: standing.message or standing.reason for stream, standing in self._failed()}

    def failures(self) -> Mapping[str, Standing]:
        """Stream → how it failed, by name."""
        return dict(sorted(self._failed()))
