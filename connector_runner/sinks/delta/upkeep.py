"""Keeps a table in shape between its commits: small files become large ones, and files that only old versions have are removed."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from connector_runner.datasets.columnar.small_files import due_partitions

VACUUM_SECONDS = 3600.0
"""How often old files are looked for."""
RETENTION_HOURS = 168
"""How long the files of old versions stay if `keepSnapshots` does not say it; Delta's own setting."""
STAGED_HOURS = 24
"""How long a file stays that no version has: a runner may be about to commit it."""
_log = logging.getLogger(__name__)
_ONCE = CommitProperties(max_commit_retries=0)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What is done.

    Attributes:
        compact_seconds: How long small files stay; 0 for ever.
        keep_versions: How many of the newest versions stay readable; 0 for all of the last week.
        target_bytes: The size of a large file.
    """

    compact_seconds: float
    keep_versions: int
    target_bytes: int


def has_small_files(files: Iterable[tuple[int, float, Hashable]], upkeep: Upkeep, now: float) -> bool:
    """Whether there are many small files in a partition, and one of them is older than they may become. Pure.

    Args:
        files: Of each file the size in bytes, when it was written (Unix time, seconds), and its partition.
        upkeep: What is done.
        now: Unix time in seconds.
    """
    return bool(due_partitions(files, upkeep.compact_seconds, upkeep.target_bytes, now))


def retention_hours(times: list[float], upkeep: Upkeep, now: float) -> int:
    """How long files of old versions stay, in hours. Pure.

    Args:
        times: When the newest versions were committed, newest first (Unix time, seconds).
        upkeep: What is done.
        now: Unix time in seconds.
    """
    if not upkeep.keep_versions:
        return RETENTION_HOURS
    oldest = times[upkeep.keep_versions - 1 : upkeep.keep_versions] or [0.0]
    return max(1, math.ceil((now - oldest[0]) / 3600)) if oldest[0] else RETENTION_HOURS


class Keeper:
    """Does it for one table.

    Args:
        upkeep: What is done.
        remove_staged: Removes what killed runners have staged, and is so many hours old; None where that is done elsewhere.
    """

    def __init__(self, upkeep: Upkeep, remove_staged: Callable[[int], None] | None = None) -> None:
        self._upkeep = upkeep
        self._remove_staged = remove_staged
        self._vacuumed = 0.0

    def keep(self, table: DeltaTable, now: float) -> None:
        """Does what is due; a failure is logged, since the rows are committed."""
        try:
            with suppress(CommitFailedError):  # somebody else has committed: another time
                self._compact(table, now)
                self._vacuum(table, now)
        except (DeltaError, OSError, pa.ArrowException) as error:
            _log.warning("upkeep of %s failed, and is tried again later: %s", table.table_uri, error)

    def _compact(self, table: DeltaTable, now: float) -> None:
        names = [f"partition.{name}" for name in table.metadata().partition_columns]
        listed = pa.table(table.get_add_actions(flatten=True)).select(["size_bytes", "modification_time", *names])
        files = [
            (row["size_bytes"], _seconds(row["modification_time"]), tuple(row[name] for name in names))
            for row in listed.to_pylist()
        ]
        if has_small_files(files, self._upkeep, now):
            table.optimize.compact(
                target_size=self._upkeep.target_bytes, max_concurrent_tasks=1, commit_properties=_ONCE
            )
            table.update_incremental()

    def _vacuum(self, table: DeltaTable, now: float) -> None:
        if now - self._vacuumed < VACUUM_SECONDS:
            return
        self._vacuumed = now
        times = [each["timestamp"] / 1000 for each in table.history(max(1, self._upkeep.keep_versions))]
        hours = retention_hours(times, self._upkeep, now)
        if table.vacuum(hours, dry_run=True, enforce_retention_duration=False):
            table.vacuum(hours, dry_run=False, enforce_retention_duration=False, commit_properties=_ONCE)
        if self._remove_staged is not None:
            self._remove_staged(max(hours, STAGED_HOURS))
        table.update_incremental()


def _seconds(written: object) -> float:
    """A time of a file's action: milliseconds, or a time with a zone."""
    return written / 1000 if isinstance(written, int) else written.timestamp()  # type: ignore[attr-defined]
