"""The files of InnoDB tables: kept aside, and put back for IMPORT TABLESPACE."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.fuzz.mysql.running.sessions import Sessions
from tests.fuzz.mysql.steps import Step

SUFFIXES = ("ibd", "cfg")


class TableFiles:
    """Of one database.

    Args:
        data: The server's data directory.
        database: Its name.
        folder: Where files are kept.
    """

    def __init__(self, data: Path, database: str, folder: Path) -> None:
        self._directory = data / _file_name(database)
        self._kept = folder / f"{database.replace('/', '_')}-files"

    def move(self, step: Step, sessions: Sessions) -> bool:
        """`keep the file` or `put the file back` of the table that the step names; False when it can't be done."""
        files = [f"{step.sql}.{suffix}" for suffix in SUFFIXES]
        if step.kind == "put the file back":
            return all(_copy(self._kept / name, self._directory / name) for name in files)
        self._kept.mkdir(exist_ok=True)
        exported = sessions.run(Step(step.kind, f"FLUSH TABLES `{step.sql}` FOR EXPORT", step.session)) is None
        is_kept = exported and all(_copy(self._directory / name, self._kept / name) for name in files)
        sessions.run(Step(step.kind, "UNLOCK TABLES", step.session))
        return is_kept


def _copy(source: Path, target: Path) -> bool:
    if not source.exists():
        return False
    shutil.copyfile(source, target)
    return True


def _file_name(database: str) -> str:
    """As servers call its directory; names beyond ASCII are not known here."""
    return re.sub(r"[^A-Za-z0-9_$]", lambda found: f"@{ord(found[0]):04x}", database)
