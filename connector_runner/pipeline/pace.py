"""How often a run does what no row asks for. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between commits when there are no rows.

    Attributes:
        heartbeat: The shortest interval at which positions without rows are stored.
        idle: The interval at which the fence is checked when nothing arrives, so that a lost dataset or epoch is noticed.
        retry: When streams that failed in the dataset are tried again, first; then ever more rarely.
    """

    heartbeat: float = 2.0
    idle: float = 15.0
    retry: float = 30.0
