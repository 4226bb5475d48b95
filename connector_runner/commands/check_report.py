"""What `connector-runner check` prints: a table for people, JSON for programs, and the exit code. Pure but for the printing."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from connector_runner.protocols.check import Check, Part, Result
from connector_runner.redaction import Redactor
from connector_runner.schemas.outcome import ExitCode

NAMED = 20
"""Streams of one question that the table names; the rest is counted. JSON has all."""
FEW = 3
"""Streams of one question that are named though nothing is wrong with them."""


@dataclass(slots=True)
class Report:
    """All answers.

    Attributes:
        checks: In the order in which they were found.
        notes: What a person should know besides.
    """

    checks: list[Check]
    notes: list[str] = field(default_factory=list)

    @property
    def first_failure(self) -> Check | None:
        """The first that failed in a way that only a person can mend; else the first that failed; None if none did."""
        failures = [check for check in self.checks if check.result is Result.FAILED]
        return next((check for check in failures if not check.is_temporary), failures[0] if failures else None)

    @property
    def exit_code(self) -> ExitCode:
        """0: a run would start; 78: a person must act; 1: something failed that may pass by itself."""
        first = self.first_failure
        if first is None:
            return ExitCode.END_OF_STREAM
        return ExitCode.TRANSIENT if first.is_temporary else ExitCode.ACTION_REQUIRED

    @property
    def summary(self) -> str:
        """All failures in one text."""
        return "; ".join(check.message for check in self.checks if check.result is Result.FAILED)

    def ordered(self) -> list[Check]:
        """By part, as they were found."""
        return sorted(self.checks, key=lambda check: list(Part).index(check.part))


def print_report(report: Report, redactor: Redactor, *, as_json: bool) -> None:
    """Prints a report to standard output."""
    if as_json:
        document = {
            "result": "ok" if report.first_failure is None else "failed",
            "exitCode": int(report.exit_code),
            "checks": [_as_json(check) for check in report.ordered()],
            "notes": list(report.notes),
        }
        sys.stdout.write(redactor.clean(json.dumps(document, indent=2, ensure_ascii=False)) + "\n")
        return
    for line in build_lines(report):
        sys.stdout.write(redactor.clean(line) + "\n")


def _as_json(check: Check) -> dict[str, object]:
    named = {"isTemporary": check.is_temporary} if check.result is Result.FAILED else {}
    kept = {"part": check.part, "check": check.name, "result": check.result, "message": check.message}
    more = {"reason": check.reason, "stream": check.stream}
    return {**{name: str(value) for name, value in kept.items()}, **{k: v for k, v in more.items() if v}, **named}


def build_lines(report: Report) -> Iterator[str]:
    """The table, the notes, and a line that says how it ends."""
    rows = [("PART", "CHECK", "RESULT", "FOUND"), *_rows(report.ordered())]
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + f"  {row[3]}"
    for note in report.notes:
        yield f"note: {note}"
    counts = Counter(check.result for check in report.checks)
    said = ", ".join(f"{counts[result]} {result}" for result in Result if counts[result])
    yield f"{said}: {'a run would start' if report.first_failure is None else 'a run would not start, or would leave streams out'}"


def _rows(checks: Sequence[Check]) -> Iterator[tuple[str, str, str, str]]:
    """One line for each; where there are many of the same kind only some are named."""
    kinds = Counter((check.part, check.name, check.result) for check in checks if check.stream)
    seen: Counter[tuple[Part, str, Result]] = Counter()
    for check in checks:
        kind = (check.part, check.name, check.result)
        count, most = kinds[kind], NAMED if check.result is Result.FAILED else FEW
        row = (check.part.value, check.name, check.result.value)
        if not check.stream or count <= most:
            reason = f" ({check.reason})" if check.reason else ""
            yield (*row, f"{check.message}{reason}")
            continue
        seen[kind] += 1
        if seen[kind] <= most and check.result is Result.FAILED:
            yield (*row, f"{check.message} ({check.reason})")
        elif seen[kind] == count:
            shown = most if check.result is Result.FAILED else 0
            yield (
                *row,
                f"{count - shown} {'more ' if shown else ''}streams: {check.result.value}; -o json names them all",
            )
