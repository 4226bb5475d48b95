"""Proves at the claim what the promise rests on: a commit from a state that is no longer there is refused, and files are where they should be."""

from __future__ import annotations

import uuid

from pyiceberg.table import Table as IcebergTable

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sinks.iceberg.commits import OneCommit
from connector_runner.sinks.iceberg.errors import OVERTAKEN
from connector_runner.sinks.iceberg.files import local_path
from connector_runner.sinks.iceberg.ledger_table import LedgerTable
from connector_runner.sinks.iceberg.objects import bucket_path, find_bucket, prove_objects

PROBE = "connector-runner.probe"
"""A property of the ledger's table that holds nothing of use."""


def prove_catalogue(ledger: LedgerTable, where: str) -> None:
    """Commits to the ledger's table twice from the same state.

    Raises:
        ActionRequiredError: Both were taken, the tables are on a file system that is not this one's, or their bucket is not to be
            written to.
    """
    first, second = ledger.load(), ledger.load()
    _require_reachable(first, where)
    try:
        _touch(first)
    except OVERTAKEN:
        return  # somebody else was faster, and that was noticed
    try:
        _touch(second)
    except OVERTAKEN:
        return
    raise ActionRequiredError(
        f"the catalogue {where} takes a commit from a state that is no longer there, so that two runners could write over one "
        "another; use another catalogue",
        reason="InvalidDataset",
    )


def _require_reachable(table: IcebergTable, where: str) -> None:
    base = bucket_path(table.location())
    if base is not None:
        prove_objects(find_bucket(table.io.properties, base))
    path = local_path(table.metadata_location)
    if path is not None and not path.exists():
        raise ActionRequiredError(
            f"the catalogue {where} keeps its tables in a folder ({table.location()}) which this runner does not see; give both the "
            "same volume, or the catalogue a warehouse in an object store",
            reason="InvalidDataset",
        )


def _touch(table: IcebergTable) -> None:
    commit = OneCommit(table)
    commit.update_snapshot().fast_append().commit()
    commit.set_properties({PROBE: str(uuid.uuid4())})
    commit.commit_transaction()
