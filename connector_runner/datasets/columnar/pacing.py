"""When what is staged is committed: after a time, or when there is enough of it. Pure."""

from __future__ import annotations


class Pacing:
    """The time until the next commit.

    Args:
        commit_seconds: How long rows may be staged.
        target_bytes: At how many staged bytes they are committed at once.
    """

    def __init__(self, commit_seconds: float, target_bytes: int) -> None:
        self._commit_seconds = commit_seconds
        self._target_bytes = target_bytes
        self._since: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether something is staged."""
        return self._since is not None

    def staged(self, now: float) -> None:
        """Something was staged (now: seconds of a clock that never goes back)."""
        if self._since is None:
            self._since = now

    def clear(self) -> None:
        """Nothing is staged any more."""
        self._since = None

    def due_in(self, size: int, now: float) -> float | None:
        """In how many seconds to commit; None if nothing is staged.

        Args:
            size: The bytes of the largest part that is staged.
            now: See `staged`.
        """
        if self._since is None:
            return None
        return 0.0 if size >= self._target_bytes else max(0.0, self._since + self._commit_seconds - now)
