"""A commit of a Delta table that is tried once, from the state that was read, and survives a power cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from deltalake import CommitProperties, Transaction

from connector_runner.datasets.columnar.staging_folder import sync

RECORD = "connectorRunner"
"""The member of a commit's information that says who wrote it, and the position after it."""
LOG = "_delta_log"


def commit_once(record: str, app: str = "", version: int = 0) -> CommitProperties:
    """Properties of a commit that fails if anybody has committed since the table was read."""
    transactions = [Transaction(app, version)] if app else None
    return CommitProperties(custom_metadata={RECORD: record}, app_transactions=transactions, max_commit_retries=0)


def make_durable(folder: Path, first: int, last: int) -> None:
    """Makes sure that these versions of a table, and the files that they name, survive a power cut: deltalake writes them, and no more.

    Else the ledger could be ahead of a table, or the table of the ledger, and rows would be missing or there twice.
    """
    written = [file for version in range(first, last + 1) for file in _files(folder, version)]
    written.append(folder / LOG / "_last_checkpoint")
    for file in written:
        with suppress(FileNotFoundError):  # nothing, or removed by who has committed since
            sync(file)
    for each in {folder, folder / LOG, *(file.parent for file in written)}:
        with suppress(FileNotFoundError):
            sync(each)


def _files(folder: Path, version: int) -> Iterator[Path]:
    """What a version has written; those of its log last."""
    log = folder / LOG / f"{version:020}.json"
    with suppress(FileNotFoundError):
        for line in log.read_text().splitlines():
            if "add" in (action := json.loads(line)):
                yield folder / unquote(action["add"]["path"])
    yield log
    yield folder / LOG / f"{version:020}.checkpoint.parquet"
