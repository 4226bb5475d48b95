"""How the streams of a selection stand: counted, and the failed ones by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from connector_runner.protocols.source import StreamState


class StreamStates:
    """The state of each selected stream; one of which nothing was reported is followed."""

    def __init__(self) -> None:
        self._selected: set[str] = set()
        self._states: dict[str, tuple[StreamState, str]] = {}

    def __len__(self) -> int:
        return len(self._selected)

    def select(self, streams: Collection[str]) -> None:
        """These are selected from now on; a failure that is reported afterwards counts again."""
        self._selected = set(streams)
        self._states.clear()

    def put(self, stream: str, state: StreamState, reason: str) -> bool:
        """Returns whether this is new."""
        before = self._states.get(stream)
        self._selected.add(stream)
        self._states[stream] = (state, reason)
        return before != (state, reason)

    def counts(self) -> dict[str, int]:
        """How many are selected, copying, following and failed."""
        found = [state for state, _ in self._states.values()]
        copying, failed = found.count(StreamState.COPYING), found.count(StreamState.FAILED)
        selected = len(self._selected)
        return {
            "selected": selected, "copying": copying, "following": selected - copying - failed, "failed": failed,
        }  # fmt: skip

    def failed(self) -> Mapping[str, str]:
        """Stream → why it failed."""
        return {stream: reason for stream, (state, reason) in self._states.items() if state is StreamState.FAILED}
