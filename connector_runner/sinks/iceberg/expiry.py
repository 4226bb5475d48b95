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


class Manifests:
    """The manifests of one table's snapshots; a snapshot never changes, so that each list of them is read once."""

    def __init__(self) -> None:
        self._paths: dict[str, list[str]] = {}
        self._manifests: dict[str, ManifestFile] = {}

    def of(self, io: FileIO, snapshots: Iterable[Snapshot]) -> dict[str, ManifestFile]:
        """All manifests of these snapshots, by path."""
        found = {}
        for snapshot in snapshots:
            if snapshot.manifest_list not in self._paths:
                listed = {
                    each.manifest_path: self._manifests.get(each.manifest_path, each) for each in snapshot.manifests(io)
                }
                self._manifests |= listed
                self._paths[snapshot.manifest_list] = [each.manifest_path for each in listed.values()]
            for path in self._paths[snapshot.manifest_list]:
                found[path] = self._manifests[path]
        return found

    def keep(self, snapshots: Iterable[Snapshot]) -> None:
        """Forgets those of all other snapshots."""
        lists = {each.manifest_list for each in snapshots}
        self._paths = {name: paths for name, paths in self._paths.items() if name in lists}
        used = {path for paths in self._paths.values() for path in paths}
        self._manifests = {path: each for path, each in self._manifests.items() if path in used}


def expire(table: IcebergTable, keep: int, number: int, manifests: Manifests | None = None) -> None:
    """Forgets all but the newest snapshots, every now and then; a branch's or a tag's own stays.

    Args:
        table: As it was read last.
        keep: How many stay; 0 for all.
        number: The number of the commit.
        manifests: Those that were read before; None for none.
    """
    if not keep or number % EVERY:
        return
    # Somebody else has committed, or has forgotten them and removed their files: another time.
    with suppress(CommitFailedException, FileNotFoundError):
        old = old_snapshots(table, keep)
        if old:
            known = manifests or Manifests()
            files = only_theirs(table, old, known) if table.metadata.properties.get(KEEPS_FILES) != "false" else []
            forget(table, old)
            known.keep(table.metadata.snapshots)
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


def only_theirs(table: IcebergTable, old: Sequence[Snapshot], known: Manifests) -> list[str]:
    """The locations of files that no other snapshot has."""
    gone = {each.snapshot_id for each in old}
    kept = [each for each in table.metadata.snapshots if each.snapshot_id not in gone]
    lists = {each.manifest_list for each in old} - {each.manifest_list for each in kept}
    stay = known.of(table.io, kept)
    leave = [each for path, each in known.of(table.io, old).items() if path not in stay]
    files = set(_data_files(table.io, leave))
    if files:
        files -= set(_data_files(table.io, stay.values()))
    return [*files, *(each.manifest_path for each in leave), *lists]


def _data_files(io: FileIO, manifests: Iterable[ManifestFile]) -> Iterable[str]:
    for manifest in manifests:
        for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
            yield entry.data_file.file_path
