"""When what is staged is committed: after a time, or when there is enough of it. Pure."""

from __future__ import annotations


class Pacing:
    """The time until the next commit; what is staged is changed by one thread and read by another.

    Args:
        commit_seconds: How long rows may be staged.
        target_bytes: At how many staged bytes they are committed at once.
    """

    def __init__(self, commit_seconds: float, target_bytes: int) -> None:
        self._commit_seconds = commit_seconds
        self._target_bytes = target_bytes
        self._staged: tuple[float, bool] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether something is staged."""
        return self._staged is not None

    def staged(self, size: int, now: float) -> None:
        """Something was staged.

        Args:
            size: The bytes of the largest part that is staged.
            now: Seconds of a clock that never goes back.
        """
        since = now if self._staged is None else self._staged[0]
        self._staged = (since, size >= self._target_bytes)

    def clear(self) -> None:
        """Nothing is staged any more."""
        self._staged = None

    def due_in(self, now: float) -> float | None:
        """In how many seconds to commit; None if nothing is staged. May be called from any thread."""
        staged = self._staged  # read once: the dataset's thread may replace it at any moment
        if staged is None:
            return None
        since, is_enough = staged
        return 0.0 if is_enough else max(0.0, since + self._commit_seconds - now)
