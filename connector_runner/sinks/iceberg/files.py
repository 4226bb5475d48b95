"""Files of tables on a local file system that are whole after a power cut: the catalogue must never name one that is not."""

from __future__ import annotations

import io
import os
from pathlib import Path

from pyarrow import fs
from pyiceberg.io import InputFile, OutputFile, OutputStream
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from connector_runner.sinks.iceberg.objects import find_bucket, open_files

SCHEME = "file:"


def local_path(location: str) -> Path | None:
    """The path of a location on the local file system; None for any other.

    It is taken as it stands: Iceberg's locations are not percent-encoded. What looks like it, as the folder of a partition
    `kind=a%2Fb`, has that name on the disk.
    """
    if location.startswith(SCHEME):
        return Path(location.removeprefix(SCHEME).removeprefix("//"))
    return Path(location) if location.startswith("/") else None


def local_location(path: Path) -> str:
    """The reverse of `local_path`, as every reader of Iceberg takes it."""
    return f"{SCHEME}//{path}"


def sync_folder(folder: Path) -> None:
    """Makes sure that the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Makes a folder, and those around it, that survive a power cut."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


class _SyncedWriter(io.BufferedWriter):
    """A file that is written through to the disk, with its name, when it is closed."""

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(io.FileIO(path, mode))
        self._folder = path.parent

    def close(self) -> None:
        is_open = not self.closed
        if is_open:
            self.flush()
            os.fsync(self.fileno())
        super().close()
        if is_open:
            sync_folder(self._folder)


class _SyncedFile(PyArrowFile):
    def create(self, overwrite: bool = False) -> OutputStream:
        path = Path(self._path)
        make_folder(path.parent)
        return _SyncedWriter(path, "w" if overwrite else "x")


class SyncedFileIO(PyArrowFileIO):
    """The files of tables; named in the catalogue's property `py-io-impl`."""

    def _initialize_s3_fs(self, netloc: str | None) -> fs.FileSystem:
        return open_files(find_bucket(self.properties, netloc or ""))

    def new_output(self, location: str) -> PyArrowFile:
        """See `FileIO.new_output`."""
        path = local_path(location)
        if path is None:
            return super().new_output(location)
        return _SyncedFile(location, str(path), self.fs_by_scheme("file", ""))

    def new_input(self, location: str) -> PyArrowFile:
        """See `FileIO.new_input`."""
        path = local_path(location)
        if path is None:
            return super().new_input(location)
        return PyArrowFile(location, str(path), self.fs_by_scheme("file", ""))

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """See `FileIO.delete`."""
        name = location if isinstance(location, str) else location.location
        path = local_path(name)
        if path is None:
            super().delete(name)
        else:
            path.unlink()
