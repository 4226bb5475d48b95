"""Live progress on a terminal: rows, rows per second, lag, and for a snapshot a bar with percentage and remaining time."""

from __future__ import annotations

import asyncio
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from connector_runner.pipeline.telemetry import Telemetry


async def show_progress(telemetry: Telemetry, seconds: float = 0.25) -> None:
    """Redraws one or two lines below the log until it is cancelled."""
    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
    bar = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, *bar, console=console, transient=True) as progress:
        stream = progress.add_task("starting", total=None)
        snapshot = progress.add_task("", total=None, visible=False)
        rows, at, rate = 0, time.monotonic(), 0.0
        while True:
            await asyncio.sleep(seconds)
            now, totals = time.monotonic(), telemetry.totals
            rate = 0.7 * rate + 0.3 * (totals.rows - rows) / max(now - at, 1e-6)
            rows, at = totals.rows, now
            progress.update(stream, description=show_figures(telemetry, rate))
            if totals.progress is not None:
                done, total, unit = totals.progress
                progress.update(snapshot, description=f"{done:,} {unit}", completed=done, total=total, visible=True)


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
        parts.append(problems[0])
    return " · ".join(parts)
