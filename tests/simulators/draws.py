"""What a seed does: misbehaviours drawn from a table, each counted and reported, and replayed by the seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class Draws:
    """The misbehaviours of one seed.

    Args:
        seed: What everything follows from.
        kinds: How likely each kind is to strike when it may, 0 … 1.
        most: The largest number of kinds that are active in one seed; at least one is.
        needs: Kinds that can only strike when another one has, with that one: it is active as well.
        together: Kinds that show something only in one seed: every second seed has one of these groups besides what it draws.
        first: One of these is active in any case.
        also: All of these are.

    Attributes:
        random: For whatever else a seed decides.
        active: The kinds that may strike.
        drawn: How often each has struck.
    """

    def __init__(
        self,
        seed: int,
        kinds: Mapping[str, float],
        most: int = 3,
        needs: Mapping[str, str] | None = None,
        together: Sequence[Sequence[str]] = (),
        *,
        first: Sequence[str] = (),
        also: Sequence[str] = (),
    ) -> None:
        self.seed = seed
        self.random = random.Random(f"draws:{seed}")
        chosen = self.random.sample(sorted(kinds), self.random.randint(1, min(most, len(kinds))))
        if together and self.random.random() < 0.5:
            chosen += self.random.choice(together)
        chosen += [*([self.random.choice(first)] if first else []), *also]
        self.active = tuple(dict.fromkeys([*chosen, *((needs or {}).get(kind, kind) for kind in chosen)]))
        self.drawn: Counter[str] = Counter()
        self._kinds = kinds
        self._is_calm = False

    def strikes(self, kind: str) -> bool:
        """Whether this kind happens now; counted when it does."""
        if self._is_calm or kind not in self.active or self.random.random() >= self._kinds[kind]:
            return False
        self.drawn[kind] += 1
        return True

    def calm(self) -> None:
        """Nothing strikes any more: what was begun comes to its end."""
        self._is_calm = True


@dataclass
class Report:
    """The result of many seeds.

    Attributes:
        seeds: How many were run.
        active: Seeds in which a kind could strike.
        drawn: How often it occurred.
        told: Seeds in which it was active and something was reported to people.
        failures: What was wrong, by seed.
    """

    seeds: int = 0
    active: Counter[str] = field(default_factory=Counter)
    drawn: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)

    def add(self, draws: Draws, told: bool) -> None:
        """One seed that ended well."""
        self.seeds += 1
        self.active.update(draws.active)
        self.drawn.update(draws.drawn)
        self.told.update(draws.active if told else ())

    def fail(self, seed: int, text: str) -> None:
        """One seed that did not."""
        self.seeds += 1
        self.failures[seed] = text

    def text(self) -> str:
        """A table in Markdown, the rarest kind first, then the failures."""
        rows = [
            f"| {kind} | {self.active[kind]} | {self.drawn[kind]} | {self.told[kind]} |"
            for kind in sorted(self.active, key=lambda kind: (self.drawn[kind], kind))
        ]
        head = [f"{self.seeds} seeds, {len(self.failures)} failed", "", "| misbehaviour | seeds | drawn | seeds told |"]
        failed = [f"seed {seed}: {text}" for seed, text in self.failures.items()]
        return "\n".join([*head, "|---|---:|---:|---:|", *rows, "", *failed])
