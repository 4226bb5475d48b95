"""Live progress on a terminal: rows, rows per second, lag; for a snapshot a bar with percentage and remaining time; the streams that matter."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from connector_runner.pipeline.live_lines import build_live_lines
from connector_runner.pipeline.progress import build_progress
from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.schemas.printable import printable

SMOOTHING = 0.3
"""How much the newest measurement of the rate counts."""


class Display(Progress):
    """The figures on one line, the bar of a snapshot if there is one, and the lines of streams."""

    def __init__(self, console: Console) -> None:
        self.figures, self.lines = "starting", list[str]()
        self._spinner = Spinner("dots")
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
        super().__init__(*columns, TimeRemainingColumn(), console=console, transient=True)
        self.snapshot = self.add_task("", total=None, visible=False)

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn, from top to bottom."""
        first = Table.grid(padding=(0, 1))
        first.add_row(self._spinner, _line(self.figures))
        yield first
        if any(task.visible for task in self.tasks):
            yield self.make_tasks_table(self.tasks)
        yield from map(_line, self.lines)


def _line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


async def show_progress(telemetry: Telemetry, seconds: float = 0.25) -> None:
    """Redraws some lines below the log until it is cancelled."""
    console = Console(file=sys.stderr)
    with Display(console) as display:
        rows, at, rate = 0, time.monotonic(), 0.0
        while True:
            await asyncio.sleep(seconds)
            now, totals = time.monotonic(), telemetry.totals
            rate = (1 - SMOOTHING) * rate + SMOOTHING * (totals.rows - rows) / max(now - at, 1e-6)
            rows, at = totals.rows, now
            display.figures = show_figures(telemetry, rate)
            if len(telemetry.streams) > 1:
                progress = build_progress(telemetry, None, now)
                display.lines = build_live_lines(progress, console.width, console.height)
            if totals.progress is not None:
                done, total, unit = totals.progress
                display.update(
                    display.snapshot,
                    description=f"{done:,} {printable(unit)}",
                    completed=done,
                    total=total,
                    visible=True,
                )


def show_figures(telemetry: Telemetry, rate: float) -> str:
    """The first line: the run's figures at so many rows a second."""
    totals = telemetry.totals
    parts = [f"{totals.rows:,} rows", f"{rate:,.0f} rows/s"]
    if len(telemetry.streams) > 1:
        counts = telemetry.streams.counts()
        notable = [f"{counts[state]:,} {state}" for state in ("copying", "failed") if counts[state]]
        parts.insert(0, f"{counts['selected']:,} streams" + (f" ({', '.join(notable)})" if notable else ""))
    if totals.lag is not None:
        parts.append(f"{totals.lag:.1f} s behind")
    if totals.refused:
        parts.append(f"{totals.refused:,} refused")
    if problems := telemetry.health.problems():
        parts.append(printable(problems[0]))
    return " · ".join(parts)
