"""The streams of a selection that are worth a look while it runs, as lines that fit a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from connector_runner.schemas.printable import cells, cut, printable
from connector_runner.schemas.progress import Progress

MOST_LINES = 12
"""So many streams are shown, however high the terminal is."""
GAP = "  "
_NAME_SHARE = 2
"""A stream's name gets at most one part in so many of the line."""

Entry = tuple[str, str, str]
"""A stream, its state, and what is to be said of it."""


def build_entries(progress: Progress) -> list[Entry]:
    """The streams by how much they matter: failed ones, those that are copied (the furthest first), those furthest behind; each once."""
    found = [
        (each.stream, "failed", ": ".join(filter(None, (each.reason, each.message)))) for each in progress.failures
    ]
    found += [(copy.stream, "copying", say_done(copy.done, copy.total, progress.unit)) for copy in progress.copies]
    found += [(lag.stream, "behind", f"{lag.seconds:,} s") for lag in progress.slowest]
    first: dict[str, Entry] = {}
    for entry in found:
        first.setdefault(entry[0], entry)
    return [entry for stream, entry in first.items() if stream]


def say_done(done: int, total: int | None, unit: str) -> str:
    """How far a copy is."""
    if total is None:
        return f"{done:,} {unit}".rstrip()
    share = f"{min(100, 100 * done // total)} %" if total else "100 %"
    return f"{share:>5} of {total:,} {unit}".rstrip()


def build_live_lines(progress: Progress, width: int, height: int) -> list[str]:
    """The lines below the figures of a run: none for a single stream.

    Args:
        progress: How the run goes.
        width: Cells in a line.
        height: Lines of the terminal; half of them are left to the log.

    Returns:
        A line for each stream that is shown, and one that counts all others; none is wider than the terminal.
    """
    if progress.selected < 2:
        return []
    entries = build_entries(progress)
    shown = entries[: max(1, min(MOST_LINES, height // 2))]
    lines = _align([tuple(map(printable, entry)) for entry in shown], width)
    rest = progress.selected - len(shown)
    if rest > 0:
        lines.append(_say_rest(progress, shown, rest))
    return [cut(line, width) for line in lines]


def _align(entries: Sequence[tuple[str, ...]], width: int) -> list[str]:
    names = [cut(name, max(1, width // _NAME_SHARE)) for name, _, _ in entries]
    widest = [max(map(cells, column), default=0) for column in (names, [state for _, state, _ in entries])]
    return [
        f"{name}{' ' * (widest[0] - cells(name))}{GAP}{state:<{widest[1]}}{GAP}{said}".rstrip()
        for name, (_, state, said) in zip(names, entries, strict=True)
    ]


def _say_rest(progress: Progress, shown: Sequence[Entry], rest: int) -> str:
    states = [state for _, state, _ in shown]
    failed, copying = progress.failed - states.count("failed"), progress.copying - states.count("copying")
    following = rest - max(0, failed) - max(0, copying)
    counts = ((failed, "failed"), (copying, "copying"), (following, "following"))
    said = ", ".join(f"{count:,} {word}" for count, word in counts if count > 0)
    return f"{'and ' if shown else ''}{rest:,} {'more' if shown else 'streams'}: {said}"
