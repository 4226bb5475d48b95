"""Reading a cluster's audit log bit by bit, while it grows and while a full file makes room for the next."""

from __future__ import annotations

import json
from pathlib import Path

from tests.localkube.cluster import AuditLog


def write(path: Path, *numbers: int, end: str = "\n") -> None:
    with path.open("a") as file:
        file.write("\n".join(json.dumps({"n": number}) for number in numbers) + end)


def read(log: AuditLog) -> list[int]:
    return [event["n"] for event in log.new_events()]


def test_each_event_is_read_once_and_whole(tmp_path: Path) -> None:
    log, current = AuditLog(tmp_path), tmp_path / "audit.log"
    assert read(log) == []
    write(current, 1, 2)
    write(current, 3, end="")  # the server is still writing
    assert read(log) == [1, 2]
    write(current, end="\n")
    assert read(log) == [3]
    assert read(log) == []


def test_a_full_file_is_read_to_its_end(tmp_path: Path) -> None:
    current = tmp_path / "audit.log"
    write(current, 1)
    log, later = AuditLog(tmp_path), AuditLog(tmp_path, from_now=True)
    assert read(log) == [1]
    write(current, 2)
    current.rename(tmp_path / "audit-2026-01-01T00-00-00.000.log")
    write(current, 3)
    assert read(log) == [2, 3]
    assert read(later) == [2, 3]
