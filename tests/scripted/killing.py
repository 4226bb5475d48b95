"""Hooks for a runner's process."""

from __future__ import annotations

import os
import signal
import sqlite3
from dataclasses import dataclass
from typing import Any


@dataclass
class KillAtStatement:
    """In the runner's process: SIGKILL before or after its n-th statement on the database."""

    number: int
    after: bool

    def __call__(self) -> None:
        connect, left, after = sqlite3.connect, self.number, self.after

        def count(run: Any) -> Any:
            def counted(*arguments: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0 and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                result = run(*arguments)
                if left == 0 and after:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            return counted

        class Counting(sqlite3.Connection):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                self.execute = count(super().execute)  # type: ignore[method-assign]
                self.executemany = count(super().executemany)  # type: ignore[method-assign]

        def patched(*arguments: Any, **options: Any) -> sqlite3.Connection:
            return connect(*arguments, **options, factory=Counting)

        sqlite3.connect = patched  # type: ignore[assignment]


@dataclass
class DataDirectory:
    """Where the runner keeps files."""

    folder: str

    def __call__(self) -> None:
        os.environ["CONNECTOR_DATA_DIR"] = self.folder
