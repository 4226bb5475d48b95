"""What a run drew and what came of it: JSON for programs, a short page for people."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.mysql.grammar.kinds import KINDS
from tests.fuzz.mysql.grammar.motifs import MOTIFS
from tests.fuzz.mysql.grammar.statements import LAST
from tests.fuzz.mysql.running.group import Result

KEPT = ("resnapshot", "refresh", "truncate")
"""Kinds of incidents."""
WANTED_SHARE = 0.03
ALL_KINDS = [*KINDS, *MOTIFS, *LAST]


@dataclass
class Report:
    """Of one version.

    Attributes:
        version: The server.
        seed: Of all histories.
        outcomes: How many histories ended how.
        kinds: How many histories had each kind of statement, setting and kill, by outcome.
        defects: Those that failed, with what was seen.
        by_gap: By `onLogGap`, how those without loss of the table or its key ended; told ones with the reason.
        ends: Those of `by_gap` that did not end exact, with all that was told.
        seconds: How long it took.
        statements: How many the servers took.
        long: Histories of at least 20 statements.
    """

    version: str
    seed: str
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    defects: list[dict[str, Any]] = field(default_factory=list)
    by_gap: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    ends: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    statements: int = 0
    long: int = 0

    def add(self, result: Result) -> None:
        verdict = result.verdict
        self.outcomes[verdict.outcome] += 1
        self.statements += verdict.statements
        self.long += verdict.statements >= 20
        for kind in result.drawn:
            self.kinds[kind][verdict.outcome] += 1
        is_last = any(kind.name in result.drawn for kind in LAST)
        loses_key = any(kind in result.drawn for kind in ("another primary key", "drop and create"))
        if not is_last and not loses_key:
            why = f" {verdict.detail.partition(':')[0]}" if verdict.outcome == "told" else ""
            gap = str(result.history.config["onLogGap"])
            self.by_gap[gap][verdict.outcome + why] += 1
            if verdict.outcome != "exact":
                self.ends.append(
                    {"history": result.number, "onLogGap": gap, "outcome": verdict.outcome, "detail": verdict.detail}
                )
        if verdict.is_defect:
            self.defects.append({"history": result.number, "outcome": verdict.outcome, "detail": verdict.detail[:600]})

    @property
    def histories(self) -> int:
        return sum(self.outcomes.values())

    def rows(self) -> dict[str, int]:
        """How many histories had a statement of each row of the table in docs/mysql.md (at most: kinds are counted one by one)."""
        best: Counter[str] = Counter()
        for kind in ALL_KINDS:
            best[kind.row] = max(best[kind.row], sum(self.kinds[kind.name].values()))
        return dict(best)

    def seldom(self) -> dict[str, float]:
        """Kinds that fewer histories had than there should be, in %; of another dialect's kinds there are none."""
        shares = {
            kind.name: sum(self.kinds[kind.name].values()) / max(1, self.histories)
            for kind in ALL_KINDS
            if kind.is_of(self.version)
        }
        return {name: round(100 * share, 1) for name, share in shares.items() if share < WANTED_SHARE}

    def to_json(self) -> dict[str, Any]:
        return {
            "version": self.version, "seed": self.seed, "histories": self.histories, "statements": self.statements, "atLeast20Statements": self.long,
            "seconds": round(self.seconds), "outcomes": dict(self.outcomes), "withoutLossOfTheTableOrKey": {gap: dict(found) for gap, found in self.by_gap.items()},
            "ends": self.ends, "rowsOfTheDocs": self.rows(), "seldom": self.seldom(), "kinds": {kind: dict(found) for kind, found in sorted(self.kinds.items())}, "defects": self.defects,
        }  # fmt: skip

    def to_markdown(self) -> str:
        total = max(1, self.histories)
        lines = [
            f"## {self.version}", "",
            f"{self.histories} histories, {self.statements} statements ({self.long} histories with 20 and more), {self.seconds:.0f} s, "
            f"{self.histories / max(1.0, self.seconds) * 3600:.0f} an hour. Seed {self.seed}.", "",
            f"Below {100 * WANTED_SHARE:.0f} %: {', '.join(f'{name} {share}' for name, share in self.seldom().items()) or 'nothing'}.", "",
            "| outcome | histories |", "|---|---|", *(f"| {name} | {count} |" for name, count in self.outcomes.most_common()), "",
            "| drawn | in % of histories | not exact |", "|---|---|---|",
        ]  # fmt: skip
        for kind, found in sorted(self.kinds.items(), key=lambda item: -sum(item[1].values())):
            count = sum(found.values())
            others = ", ".join(f"{name} {number}" for name, number in found.most_common() if name != "exact")
            lines.append(f"| {kind} | {100 * count / total:.1f} | {others} |")
        lines += [
            "",
            *(f"- {defect['history']} {defect['outcome']}: {defect['detail'][:300]}" for defect in self.defects),
            "",
        ]
        return "\n".join(lines)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.version}.json").write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n")
        (folder / f"{self.version}.md").write_text(self.to_markdown())
