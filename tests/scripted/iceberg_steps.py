"""A signal at the steps of a runner's claim and commits in Iceberg tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from signal import Signals
from typing import Any

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog

from connector_runner.datasets.columnar import staging_folder
from connector_runner.datasets.columnar.staging_folder import StagingFolder
from connector_runner.sinks.iceberg import placing
from connector_runner.sinks.iceberg.files import SyncedFileIO

CATALOGUE = ("create_namespace", "create_table", "commit_table")
STEPS: tuple[tuple[Any, str], ...] = (
    *((catalog, name) for catalog in (SqlCatalog, RestCatalog) for name in CATALOGUE),
    (SyncedFileIO, "new_output"),
    (SyncedFileIO, "delete"),
    (StagingFolder, "create"),
    (staging_folder, "sync"),
    (StagingFolder, "remove"),
    (placing, "sync_folder"),  # follows the move of a staged file
)
"""What changes something that others can see."""


@dataclass
class SignalAtIcebergStep:
    """Runs in the runner's process: sends itself a signal before or after its n-th step; the log has `signal WHEN NAME`."""

    number: int
    when: str
    signal: Signals

    def __call__(self) -> None:
        for owner, name in STEPS:
            self._hook(owner, name)

    def _hook(self, owner: Any, name: str) -> None:
        call: Callable[..., Any] = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            self.number -= 1
            number = self.number  # a step may have others within it
            if number == 0 and self.when == "before":
                self._send(name)
            result = call(*arguments, **options)
            if number == 0 and self.when == "after":
                self._send(name)
            return result

        setattr(owner, name, counted)

    def _send(self, name: str) -> None:
        os.write(2, f"signal {self.when} {name}\n".encode())
        os.kill(os.getpid(), self.signal)
