"""Which of two recorded branches a node is on, and when it turns from one to the other."""

from __future__ import annotations

from tests.simulators.draws import Draws
from tests.simulators.ethereum.recording import Branch, Recording

SHORTER = "a shorter branch"
"""The chain that wins is lower than what was read: a node that went back. It turns after its highest blocks were shown."""
SHOWN = 2
"""Blocks below the tip that are enough: a reader that waits for finality asks for no more."""


class Turns:
    """The branch of each moment.

    Attributes:
        now: The chain that is the truth now.
        truth: The chain that it ends on.
    """

    def __init__(self, recording: Recording, draws: Draws) -> None:
        self._old, self._new, self._draws = recording.old, recording.new, draws
        self._is_shorter = SHORTER in draws.active
        self.now = self._new if self._is_shorter else self._old
        is_new = "a reorganisation" in draws.active and not self._is_shorter
        self.truth = self._new if is_new else self._old
        self._asked = 0
        self._turns = [] if self._is_shorter else self._plan()

    def _plan(self) -> list[int]:
        """After how many requests the chain is reorganised, ascending; an even number of times brings the first branch back."""
        active = self._draws.active
        count = (2 if "two reorganisations" in active else 0) + (1 if "a reorganisation" in active else 0)
        return sorted(self._draws.random.randrange(5, 120) for _ in range(count))

    def other(self, branch: Branch) -> Branch:
        return self._new if branch is self._old else self._old

    def ask(self) -> None:
        """A request comes."""
        self._asked += 1
        while self._turns and self._asked >= self._turns[0]:
            self._turns.pop(0)
            names = [SHORTER, "a reorganisation", "two reorganisations"]
            self._draws.drawn[next(name for name in names if name in self._draws.active)] += 1
            self.now = self.other(self.now)

    def show(self, number: int) -> None:
        """The block of a height was given."""
        if self._is_shorter and number >= self._new.head() - SHOWN:
            self._is_shorter = False
            self._turns = [self._asked + self._draws.random.randint(5, 40)]

    def calm(self) -> None:
        """It is where it ends; only what it must have shown before is still to come."""
        if SHORTER not in self._draws.active:
            self._turns, self.now = [], self.truth
