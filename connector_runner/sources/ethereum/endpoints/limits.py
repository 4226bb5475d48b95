"""What an endpoint allows, found out by asking: how much a request may ask for, how many may be on their way, how long an answer takes. Pure.

No list of known words is ever whole, so words only help. What counts: a failure that a larger request gets and a smaller one
does not is a limit. So a larger request that fails, whatever the failure says, is asked in smaller pieces first; only what the
smallest piece gets, too, is trouble of another kind.
"""

from __future__ import annotations

from connector_runner.sources.ethereum.rpc.transport import SILENCE_SECONDS

GROW_AFTER, LONGEST_PATIENCE = 10, 640
"""Answers in a row after which more is tried than is known to work; twice as many after each trial that failed, up to the second."""
AT_ONCE = 32
"""Requests in flight at most."""
LONGEST_SILENCE = 600.0
"""How long a request may wait for the next byte at most; at first `SILENCE_SECONDS`."""
BATCH_SIZE = 40
"""Requests in one HTTP batch at first; many providers refuse 50 and more."""
FIRST_RANGE = 16
"""Blocks of the first log query: how much is in them is not known before."""
RANGE_BYTES = 4_000_000
"""How large the answer to a log query should be at most."""
QUICK_ANSWERS = 50
"""Answers in a row within a quarter of that time after which it is halved again."""


class Limit:
    """How much one request may ask for: what is known to work, and one trial at a time of more.

    Attributes:
        maximum: Never more than that.
        size: What may be asked for by all requests.
    """

    def __init__(self, maximum: int, first: int) -> None:
        self.maximum = maximum
        self.size = min(maximum, first)
        self._works = 0
        self._fails: int | None = None
        self._before: int | None = None
        self._trial: int | None = None
        self._is_tried = False
        self._answers = 0
        self._patience = GROW_AFTER

    def take(self, most: int) -> int:
        """What the next request is to ask for, of `most` that there are: `size`, or the trial if it is time for one."""
        if self._trial is None or self._is_tried or self._trial > most:
            return max(1, min(self.size, most))
        self._is_tried = True
        return self._trial

    def allows(self, asked: int) -> bool:
        """Whether a request of such a size was planned by what is known now."""
        return asked <= self.size or (self._is_tried and asked == self._trial)

    def refused(self, asked: int, suggested: int | None = None, *, is_certain: bool = True) -> None:
        """A request for `asked` failed; several of the same size at once count as one.

        `suggested` is what the refusal says would do. Not certain: it may have failed for another reason, so what is known to
        work is asked for, or the smallest request if nothing is.
        """
        if asked == self._trial:
            self._patience = min(LONGEST_PATIENCE, 2 * self._patience)
        self._end_trial()
        self._fails = asked if self._fails is None else min(self._fails, asked)
        if suggested is not None and 0 < suggested <= asked:
            self._fails = min(asked, suggested + 1)
            would_do = max(1, min(suggested, asked - 1))  # some count the difference of both ends
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
        """A request for `asked` was answered; `may_grow`: nothing speaks against asking for more."""
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
        if self._answers > LONGEST_PATIENCE:  # the trial was given up on its way
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
        """The smallest request failed, too: it was no limit, and what was asked for before may be asked for again."""
        if self._before is not None:
            self.size, self._before, self._fails = self._before, None, None
            self._end_trial()


class RangeTuner(Limit):
    """How many blocks a log query covers: limited by what the provider refuses, and by the bytes of answers."""

    def __init__(self, maximum: int) -> None:
        super().__init__(maximum, FIRST_RANGE)

    def measured(self, asked: int, size: int) -> None:
        """A query of `asked` blocks was answered with `size` bytes."""
        if size > RANGE_BYTES and asked > 1:
            self.refused(asked, max(1, asked * RANGE_BYTES // size))
        else:
            self.answered(asked, may_grow=2 * size <= RANGE_BYTES)


class ConcurrencyLimit:
    """How many requests may be on their way: halved when they fail as those of a busy server do, one more after as many answers.

    Attributes:
        size: 1 … `AT_ONCE`.
    """

    def __init__(self) -> None:
        self.size = AT_ONCE
        self._answers = 0

    def failed(self, in_flight: int) -> None:
        """A request failed while so many were on their way; those that fail together count as one."""
        self.size = max(1, min(self.size, in_flight // 2))
        self._answers = 0

    def answered(self) -> None:
        """A request was answered."""
        self._answers += 1
        if self._answers >= self.size:
            self.size = min(AT_ONCE, self.size + 1)
            self._answers = 0


class ReadTimeout:
    """How long to wait for the next byte of an answer to a method's requests: twice as long after each that did not come in time.

    Attributes:
        seconds: `SILENCE_SECONDS` … `LONGEST_SILENCE`.
    """

    def __init__(self) -> None:
        self.seconds = SILENCE_SECONDS
        self._quick = 0

    def timed_out(self, seconds: float) -> None:
        """An answer had not come after so long, and can't be asked for in smaller pieces."""
        self.seconds = min(LONGEST_SILENCE, max(self.seconds, 2 * seconds))
        self._quick = 0

    def answered(self, seconds: float) -> None:
        """An answer came after so long."""
        self._quick = self._quick + 1 if seconds < self.seconds / 4 else 0
        if self._quick >= QUICK_ANSWERS:
            self.seconds = max(SILENCE_SECONDS, self.seconds / 2)
            self._quick = 0


class EndpointLimits:
    """All that is known of one endpoint.

    Attributes:
        batch: Requests in one HTTP batch.
        concurrency: Requests on their way.
    """

    def __init__(self) -> None:
        self.batch = Limit(BATCH_SIZE, BATCH_SIZE)
        self.concurrency = ConcurrencyLimit()
        self._ranges: dict[int, RangeTuner] = {}
        self._read_timeouts: dict[str, ReadTimeout] = {}

    def log_range(self, maximum: int) -> RangeTuner:
        """Blocks in one log query, at most as many as are configured."""
        return self._ranges.setdefault(maximum, RangeTuner(maximum))

    def read_timeout(self, method: str) -> ReadTimeout:
        """For the requests of a method."""
        return self._read_timeouts.setdefault(method, ReadTimeout())


KNOWN_LIMITS: dict[str, EndpointLimits] = {}
"""By URL, as long as the process lives: a source is built anew after trouble, and need not find them out again."""


def limits_of(url: str) -> EndpointLimits:
    """Of an endpoint."""
    return KNOWN_LIMITS.setdefault(url, EndpointLimits())
