"""Files of tables on a local file system that are whole after a power cut: the catalogue must never name one that is not."""

from __future__ import annotations

import io
import os
from pathlib import Path
from urllib.parse import unquote, urlparse

from pyiceberg.io import OutputStream
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO


def local_path(location: str) -> Path | None:
    """The path of a location on the local file system; None for any other."""
    parts = urlparse(location)
    return Path(unquote(parts.path) if parts.scheme else location) if parts.scheme in {"", "file"} else None


class _SyncedWriter(io.BufferedWriter):
    """A file that is written through to the disk when it is closed."""

    def close(self) -> None:
        if not self.closed:
            self.flush()
            os.fsync(self.fileno())
        super().close()


class _SyncedFile(PyArrowFile):
    def create(self, overwrite: bool = False) -> OutputStream:
        path = Path(self._path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return _SyncedWriter(io.FileIO(path, "w" if overwrite else "x"))


class SyncedFileIO(PyArrowFileIO):
    """The files of tables; named in the catalogue's property `py-io-impl`."""

    def new_output(self, location: str) -> PyArrowFile:
        """See `FileIO.new_output`."""
        path = local_path(location)
        if path is None:
            return super().new_output(location)
        return _SyncedFile(location, str(path), self.fs_by_scheme("file", ""))
