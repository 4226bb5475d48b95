"""Notices when the contents of mounted Secrets change under a running process."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 5.0


def fingerprint(paths: Sequence[Path]) -> str:
    """A digest of the contents of files and folders; unreadable ones count as absent."""
    digest = hashlib.sha256()
    for path in paths:
        for file in _files(path):
            with suppress(OSError):
                content = file.read_bytes()
                digest.update(f"{file}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _files(path: Path) -> Sequence[Path]:
    try:
        listed = sorted(path.iterdir()) if path.is_dir() else [path]
    except OSError:  # also one that is replaced in this moment
        return ()
    return [file for file in listed if not file.name.startswith("..")]  # Kubernetes' own links


async def watch_files(
    paths: Sequence[Path], before: str, changed: Callable[[], None], seconds: float = SECONDS_BETWEEN_LOOKS
) -> None:
    """Calls `changed` whenever the contents differ from the last check; never returns.

    Args:
        paths: Files and folders.
        before: Their fingerprint, taken before they were first read, so that no change is missed.
        changed: The function to call.
        seconds: The interval between two checks.
    """
    while True:
        await asyncio.sleep(seconds)
        now = await asyncio.to_thread(fingerprint, paths)
        if now != before:
            before = now
            changed()
