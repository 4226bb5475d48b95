"""When small files of a table are worth to become a large one. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

MANY_FILES = 10
"""So many small files are worth to be made one."""


def due_partitions(
    files: Iterable[tuple[int, float, Hashable]], compact_seconds: float, target_bytes: int, now: float
) -> list[Hashable]:
    """The partitions with many small files of which one is older than they may become.

    Args:
        files: Of each file the size in bytes, when it was written (Unix time, seconds), and its partition.
        compact_seconds: How long small files stay; 0 for ever.
        target_bytes: The size of a large file.
        now: Unix time in seconds.
    """
    small: dict[Hashable, list[float]] = {}
    for size, written, partition in files:
        if is_small(size, target_bytes):
            small.setdefault(partition, []).append(written)
    return [
        partition
        for partition, each in small.items()
        if compact_seconds and len(each) >= MANY_FILES and now - min(each) >= compact_seconds
    ]


def is_small(size: int, target_bytes: int) -> bool:
    """Whether a file of this size is a small one."""
    return size < target_bytes // 2
