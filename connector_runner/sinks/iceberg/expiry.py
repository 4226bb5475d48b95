"""Forgets old snapshots of a table, and removes the files that only they have: pyiceberg forgets, but removes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot, ancestors_of

from connector_runner.sinks.iceberg.commits import OneCommit
from connector_runner.sinks.iceberg.data_files import remove_files

EVERY = 20
"""Every so many commits."""
KEEPS_FILES = "gc.enabled"
"""With `false` no file of the table may be removed, since others use them, too."""


def expire(table: IcebergTable, keep: int, number: int) -> None:
    """Forgets all but the newest snapshots, every now and then; a branch's or a tag's own stays.

    Args:
        table: As it was read last.
        keep: How many stay; 0 for all.
        number: The number of the commit.
    """
    if not keep or number % EVERY:
        return
    # Somebody else has committed, or has forgotten them and removed their files: another time.
    with suppress(CommitFailedException, FileNotFoundError):
        old = old_snapshots(table, keep)
        if old:
            files = only_theirs(table, old) if table.metadata.properties.get(KEEPS_FILES) != "false" else []
            forget(table, old)
            remove_files(table.io, files)


def old_snapshots(table: IcebergTable, keep: int) -> list[Snapshot]:
    """The snapshots of the main branch that are older than the newest ones, and no branch's or tag's own."""
    metadata = table.metadata
    head = metadata.snapshot_by_name(MAIN_BRANCH)
    heads = {ref.snapshot_id for ref in metadata.refs.values()}
    line = list(ancestors_of(head, metadata)) if head is not None else []
    return [each for each in line[keep:] if each.snapshot_id not in heads]


def forget(table: IcebergTable, old: Sequence[Snapshot]) -> None:
    """Commits that these are forgotten.

    Raises:
        CommitFailedException: Branches, tags or these snapshots are not as they were read.
    """
    commit = OneCommit(table)
    commit.forget([each.snapshot_id for each in old])
    commit.commit_transaction()


def only_theirs(table: IcebergTable, old: Sequence[Snapshot]) -> list[str]:
    """The locations of files that no other snapshot has."""
    gone = {each.snapshot_id for each in old}
    kept = [each for each in table.metadata.snapshots if each.snapshot_id not in gone]
    lists = {each.manifest_list for each in old} - {each.manifest_list for each in kept}
    stay = _manifests(table.io, kept)
    leave = [each for path, each in _manifests(table.io, old).items() if path not in stay]
    files = set(_data_files(table.io, leave))
    if files:
        files -= set(_data_files(table.io, stay.values()))
    return [*files, *(each.manifest_path for each in leave), *lists]


def _manifests(io: FileIO, snapshots: Iterable[Snapshot]) -> dict[str, ManifestFile]:
    return {each.manifest_path: each for snapshot in snapshots for each in snapshot.manifests(io)}


def _data_files(io: FileIO, manifests: Iterable[ManifestFile]) -> Iterable[str]:
    for manifest in manifests:
        for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
            yield entry.data_file.file_path
