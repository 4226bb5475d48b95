"""The folder of a table for files that no commit names yet, on a file system or in an object store."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import fs

PREFIX, SUFFIX = "connector-", ".parquet"


class StagingFolder:
    """A folder for staged files.

    Args:
        filesystem: Where it is.
        path: Its path there; it is made when the first file is staged.
    """

    def __init__(self, filesystem: fs.FileSystem, path: str) -> None:
        self._filesystem = filesystem
        self._path = path
        self._is_local = isinstance(filesystem, fs.LocalFileSystem)

    def new_name(self, kind: str = "") -> str:
        """A name that no other file has."""
        return f"{PREFIX}{uuid.uuid4()}{kind}{SUFFIX}"

    def path(self, name: str) -> str:
        """The path of a file."""
        return f"{self._path}/{name}"

    def create(self, name: str) -> pa.NativeFile:
        """A new file, to be written from its beginning to its end."""
        if self._is_local:
            self._filesystem.create_dir(self._path)
        return self._filesystem.open_output_stream(self.path(name))

    def open(self, name: str) -> pa.NativeFile:
        """A file, to be read."""
        return self._filesystem.open_input_file(self.path(name))

    def sync(self, name: str) -> None:
        """Makes sure that a complete file survives a power cut; an object store has promised that when it was closed."""
        if not self._is_local:
            return
        descriptor = os.open(self.path(name), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        if self._filesystem.get_file_info(self.path(name)).type is not fs.FileType.NotFound:
            self._filesystem.delete_file(self.path(name))

    def staged(self) -> Iterator[tuple[str, float]]:
        """The names of all files that runners have staged here, and when they were written (Unix time, seconds)."""
        for found in self._filesystem.get_file_info(fs.FileSelector(self._path, allow_not_found=True)):
            if found.base_name.startswith(PREFIX) and found.mtime is not None:
                yield found.base_name, found.mtime.timestamp()
