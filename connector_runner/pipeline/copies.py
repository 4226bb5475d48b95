"""How far the copies of a run are: each stream's, and all together."""

from __future__ import annotations

from typing import NamedTuple


class CopyProgress(NamedTuple):
    """How much of one copy is done, of about how much (None: unknown), in which unit."""

    done: int
    total: int | None
    unit: str

    @property
    def is_going_on(self) -> bool:
        """Whether there is more to copy, as far as is known."""
        return self.total is None or self.done < self.total


class Copies:
    """The copies of a run by stream; the stream is "" where the source reports one copy for all."""

    def __init__(self) -> None:
        self._copies: dict[str, CopyProgress] = {}

    def put(self, stream: str, copy: CopyProgress) -> None:
        """A copy has come so far."""
        self._copies[stream] = copy

    def end(self, stream: str) -> None:
        """A copy is whole; what was estimated does not count any more."""
        if (copy := self._copies.get(stream)) is not None:
            self._copies[stream] = copy._replace(total=copy.done)

    def forget(self, stream: str) -> None:
        """The stream is not copied any more."""
        self._copies.pop(stream, None)

    def keep(self, streams: set[str]) -> None:
        """Only these are selected from now on; a copy for all that still goes on is reported anew for them, if there is one."""
        is_kept = {stream: stream in streams for stream in self._copies} | {"": not self.is_for_all}
        self._copies = {stream: copy for stream, copy in self._copies.items() if is_kept[stream]}

    @property
    def is_for_all(self) -> bool:
        """Whether a copy for all streams goes on."""
        whole = self._copies.get("")
        return whole is not None and whole.is_going_on

    def going_on(self) -> list[tuple[str, CopyProgress]]:
        """The copies that are not whole, the furthest first."""
        found = [(stream, copy) for stream, copy in self._copies.items() if copy.is_going_on]
        return sorted(found, key=lambda pair: (-pair[1].done, pair[0]))

    def sum(self) -> CopyProgress | None:
        """All copies of the run together, those that are whole included; None if there was none.

        One whose size is unknown counts with what is done of it. One for all streams that is whole does not count beside those of single
        streams: it has what all others had before.
        """
        counts_all = self.is_for_all or self._copies.keys() <= {""}
        copies = [copy for stream, copy in self._copies.items() if stream or counts_all]
        if not copies:
            return None
        unit = copies[0].unit
        same = [copy for copy in copies if copy.unit == unit]
        is_known = any(copy.total is not None for copy in same)
        total = sum(copy.done if copy.total is None else copy.total for copy in same)
        return CopyProgress(sum(copy.done for copy in same), total if is_known else None, unit)
