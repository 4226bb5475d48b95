"""Finds the limits of an endpoint by trying: the size of a request, the requests in flight, the time of an answer. Pure.

No list of known messages is ever complete, so messages are only hints. The rule: if a larger request fails and a smaller one does
not, there is a limit. So a larger request that fails, whatever its message, is first split into smaller ones. If even the
smallest one fails, the failure has another cause.
"""

from __future__ import annotations

from connector_runner.sources.ethereum.rpc.transport import SILENCE_SECONDS

GROW_AFTER, LONGEST_PATIENCE = 10, 640
"""Consecutive answers before a larger size is tried; doubled after each failed trial, up to the second number."""
AT_ONCE = 32
"""The most requests in flight."""
LONGEST_SILENCE = 600.0
"""The longest time to wait for the next byte of an answer, in seconds; at first `SILENCE_SECONDS`."""
BATCH_SIZE = 40
"""Initial number of requests in one HTTP batch; many providers refuse 50 and more."""
FIRST_RANGE = 16
"""Blocks in the first log query, when it is not yet known how large the answer is."""
RANGE_BYTES = 4_000_000
"""The largest size that the answer to a log query should have."""
QUICK_ANSWERS = 50
"""Consecutive answers within a quarter of the read timeout after which it is halved again."""


class Limit:
    """How much one request may ask for: the size that is known to work, and one trial at a time of a larger one.

    Attributes:
        maximum: The upper bound.
        size: The size that all requests may use.
    """

    def __init__(self, maximum: int, first: int) -> None:
        self.maximum = maximum
        self.size = min(maximum, first)
        self._works = 0
        self._fails: int | None = None
        self._before: int | None = None
        self._repeated: int | None = None
        self._trial: int | None = None
        self._is_tried = False
        self._answers = 0
        self._patience = GROW_AFTER

    def take(self, most: int) -> int:
        """Returns the size of the next request, at most `most`: `size`, or that of the trial if one is due."""
        if self._trial is None or self._is_tried or self._trial > most:
            return max(1, min(self.size, most))
        self._is_tried = True
        return self._trial

    def allows(self, asked: int) -> bool:
        """Whether a request of this size fits the current limit."""
        return asked <= self.size or (self._is_tried and asked == self._trial)

    def refused(self, asked: int, suggested: int | None = None, *, is_certain: bool = True) -> None:
        """Records that a request of size `asked` failed; several concurrent failures of the same size count as one.

        `suggested` is the size that the refusal suggests. It is not believed if a larger one is known to work, or if each refusal
        suggests what was asked for. Not `is_certain`: it may have failed for another reason, so the size that is known to work is
        used next, or the smallest if none is known.
        """
        works = self._works if self._works < asked else 0
        is_repeated = suggested == asked and self._repeated == asked + 1
        self._repeated = asked if suggested == asked else None
        if is_repeated or (suggested or 0) < works:
            suggested = None
        if asked == self._trial:
            self._patience = min(LONGEST_PATIENCE, 2 * self._patience)
        self._end_trial()
        self._fails = asked if self._fails is None else min(self._fails, asked)
        if suggested is not None and 0 < suggested <= asked:
            self._fails = min(asked, suggested + 1)
            would_do = max(1, min(suggested, asked - 1))  # some providers count the difference of both ends
            if would_do > self.size:
                self._trial = min(self.maximum, would_do)
            self.size = min(self.size, would_do)
        if asked > self.size:
            return
        if self._before is None and not is_certain:
            self._before = self.size
        elif is_certain:
            self._before = None
        if self._works >= asked:  # what worked before no longer does
            self._works = 0
        self.size = max(1, self._works, asked // 2 if is_certain else 1)

    def _end_trial(self) -> None:
        self._trial, self._is_tried, self._answers = None, False, 0

    def answered(self, asked: int, *, may_grow: bool = True) -> None:
        """Records that a request of size `asked` was answered; `may_grow`: larger requests may be tried."""
        self._works = max(self._works, asked)
        self._before = None
        if self._fails is not None and self._fails <= asked:
            self._fails = None
        if asked > self.size:
            self.size = min(self.maximum, asked)
            self._end_trial()
        if asked < self.size or not may_grow:
            return
        self._answers += 1
        if self._answers > LONGEST_PATIENCE:  # the trial was abandoned in flight
            self._is_tried = False
        if self._trial is None and (larger := self._larger()) > self.size:
            self._trial = larger

    def _larger(self) -> int:
        if self._fails is None:
            self._patience = GROW_AFTER
            return min(self.maximum, 2 * self.size)
        if self._fails - self.size > 1:
            return min(self.maximum, 2 * self.size, (self.size + self._fails) // 2)
        if self._answers < self._patience:
            return self.size
        return min(self.maximum, self.size + max(1, self.size // 4))

    def restore(self) -> None:
        """Records that even the smallest request failed: it was not a limit, so the previous size is allowed again."""
        if self._before is not None:
            self.size, self._before, self._fails = self._before, None, None
            self._end_trial()


class RangeTuner(Limit):
    """How many blocks a log query covers: limited by what the provider refuses, and by the bytes of answers."""

    def __init__(self, maximum: int) -> None:
        super().__init__(maximum, FIRST_RANGE)

    def measured(self, asked: int, size: int) -> None:
        """Records that a query of `asked` blocks was answered with `size` bytes."""
        if size > RANGE_BYTES and asked > 1:
            self.refused(asked, max(1, asked * RANGE_BYTES // size))
        else:
            self.answered(asked, may_grow=2 * size <= RANGE_BYTES)


class ConcurrencyLimit:
    """How many requests may be in flight: halved when they fail like those of a busy server, one more after as many answers.

    Attributes:
        size: 1 … `AT_ONCE`.
    """

    def __init__(self) -> None:
        self.size = AT_ONCE
        self._answers = 0

    def failed(self, in_flight: int) -> None:
        """Records that a request failed while `in_flight` were in flight; concurrent failures count as one."""
        self.size = max(1, min(self.size, in_flight // 2))
        self._answers = 0

    def answered(self) -> None:
        """Records that a request was answered."""
        self._answers += 1
        if self._answers >= self.size:
            self.size = min(AT_ONCE, self.size + 1)
            self._answers = 0


class ReadTimeout:
    """How long to wait for the next byte of a method's answers: doubled after each timeout.

    Attributes:
        seconds: `SILENCE_SECONDS` … `LONGEST_SILENCE`.
    """

    def __init__(self) -> None:
        self.seconds = SILENCE_SECONDS
        self._quick = 0

    def timed_out(self, seconds: float) -> None:
        """Records a timeout after `seconds`, of a request that can't be split."""
        self.seconds = min(LONGEST_SILENCE, max(self.seconds, 2 * seconds))
        self._quick = 0

    def answered(self, seconds: float) -> None:
        """Records that an answer arrived after `seconds`."""
        self._quick = self._quick + 1 if seconds < self.seconds / 4 else 0
        if self._quick >= QUICK_ANSWERS:
            self.seconds = max(SILENCE_SECONDS, self.seconds / 2)
            self._quick = 0


class EndpointLimits:
    """All known limits of one endpoint.

    Attributes:
        batch: Requests in one HTTP batch.
        concurrency: Requests in flight.
    """

    def __init__(self) -> None:
        self.batch = Limit(BATCH_SIZE, BATCH_SIZE)
        self.concurrency = ConcurrencyLimit()
        self._ranges: dict[int, RangeTuner] = {}
        self._read_timeouts: dict[str, ReadTimeout] = {}

    def log_range(self, maximum: int) -> RangeTuner:
        """The limit of blocks in one log query, at most `maximum` as configured."""
        return self._ranges.setdefault(maximum, RangeTuner(maximum))

    def read_timeout(self, method: str) -> ReadTimeout:
        """The read timeout of a method's requests."""
        return self._read_timeouts.setdefault(method, ReadTimeout())


KNOWN_LIMITS: dict[str, EndpointLimits] = {}
"""By URL, for the lifetime of the process: a source that is built again after a failure can reuse them."""


def limits_of(url: str) -> EndpointLimits:
    """The limits of an endpoint."""
    return KNOWN_LIMITS.setdefault(url, EndpointLimits())
