"""What a runner may do in the folder of an SQLite file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from connector_runner.datasets.examining import DATASET, Fit, ReadRights
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.procedure import Procedure
from connector_runner.datasets.sqlite.connection import SqliteFile
from connector_runner.protocols.check import Check, failed, ok
from connector_runner.protocols.errors import ActionRequiredError


def file_rights(file: SqliteFile) -> ReadRights:
    """Looks at the file that was connected last: SQLite writes it, and others beside it."""

    def read_rights(ledger: Ledger, fits: Mapping[str, Fit]) -> Procedure[Sequence[Check]]:
        del ledger, fits
        yield from ()
        return [_check(file.path)]

    return read_rights


def _check(path: Path) -> Check:
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return failed(DATASET, "rights", _refused(path, "read and written"))
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return failed(DATASET, "rights", _refused(path.parent, "written, and SQLite makes files beside its own"))
    what = "exists and can be written" if path.exists() else "does not exist and will be made"
    return ok(DATASET, "rights", f"the SQLite file {path} {what}")


def _refused(path: Path, needed: str) -> ActionRequiredError:
    return ActionRequiredError(
        f"{path} can't be {needed}; let the user that runs this (uid {os.getuid()}) write there, or give the Dataset another url or "
        "volumeClaim",
        reason="DatasetUnavailable",
    )
