"""The folder of a table for files that no commit names yet, on a file system or in an object store."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from pyarrow import fs

from connector_runner.protocols.errors import START_OVER, StagedFileGoneError

PREFIX, SUFFIX = "connector-", ".parquet"


def own_prefix(app: str) -> str:
    """How the names of an application's staged files begin: connector/stream, or the connector. Pure."""
    return f"{PREFIX}{hashlib.sha256(app.encode()).hexdigest()[:16]}-"


def is_staged_by(name: str, apps: Collection[str]) -> bool:
    """Whether one of these applications has staged a file of this name. Pure."""
    return name.startswith(tuple(map(own_prefix, apps)))


class StagedOutput(Protocol):
    """A file that is being written.

    Attributes:
        file: What is written to, from its beginning to its end.
        held: How many of its bytes are in memory.
    """

    file: pa.NativeFile

    @property
    def held(self) -> int:
        """See above."""

    def finish(self) -> None:
        """Makes it whole; it survives a power cut then.

        Raises:
            TransientError: A store can't be reached; it may be called again.
            OSError: It is lost.
        """

    def abandon(self) -> None:
        """It will not be needed."""


class LocalOutput:
    """A `StagedOutput` on a file system.

    Args:
        path: Its path; the folder exists.
    """

    held = 0

    def __init__(self, path: Path) -> None:
        self.file = pa.OSFile(str(path), "wb")
        self._path = path

    def finish(self) -> None:
        """See `StagedOutput.finish`."""
        self.file.close()
        sync(self._path)
        sync(self._path.parent)

    def abandon(self) -> None:
        """See `StagedOutput.abandon`: also where it is because the disk is full."""
        with suppress(OSError):
            self.file.close()
        with suppress(OSError):
            self._path.unlink()


class StreamOutput:
    """A `StagedOutput` in any other file system: after an error it is lost.

    Args:
        file: The stream, from its beginning.
    """

    held = 0

    def __init__(self, file: pa.NativeFile) -> None:
        self.file = file

    def finish(self) -> None:
        """See `StagedOutput.finish`; an object store promises that when a stream is closed."""
        self.file.close()

    def abandon(self) -> None:
        """See `StagedOutput.abandon`."""
        self.file.close()


def sync(path: Path) -> None:
    """Makes sure that the content of a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class StagingFolder:
    """A folder for staged files.

    Args:
        filesystem: Where it is.
        path: Its path there; it is made when the first file is staged.
        upload: Begins a file, by its path, that goes on after an error of an object store; None for a stream of the file system.
    """

    def __init__(
        self, filesystem: fs.FileSystem, path: str, upload: Callable[[str], StagedOutput] | None = None
    ) -> None:
        self._filesystem = filesystem
        self._path = path
        self._upload = upload

    def new_name(self, app: str, kind: str = "") -> str:
        """A name that no other file has; it shows which application the file is of."""
        return f"{own_prefix(app)}{uuid.uuid4()}{kind}{SUFFIX}"

    def path(self, name: str) -> str:
        """The path of a file."""
        return f"{self._path}/{name}"

    def create(self, name: str) -> StagedOutput:
        """A new file."""
        if self._upload is not None:
            return self._upload(self.path(name))
        if not isinstance(self._filesystem, fs.LocalFileSystem):
            return StreamOutput(self._filesystem.open_output_stream(self.path(name)))
        folder = Path(self._path)
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            sync(folder.parent)
        return LocalOutput(folder / name)

    def open(self, name: str) -> pa.NativeFile:
        """A file, to be read."""
        return self._filesystem.open_input_file(self.path(name))

    def gone(self, name: str, reader: str) -> StagedFileGoneError:
        """The error for a file that is needed and not there.

        Args:
            name: The file.
            reader: What needs it, for the message.
        """
        return StagedFileGoneError(
            f"the staged file {self.path(name)} is gone, which {reader} is still to get: somebody has removed it; put it back, "
            f"or {START_OVER}, after which its rows are read from the source again"
        )

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        if self._filesystem.get_file_info(self.path(name)).type is not fs.FileType.NotFound:
            self._filesystem.delete_file(self.path(name))

    def staged(self, apps: Collection[str]) -> Iterator[tuple[str, float]]:
        """The names of the files that these applications have staged here, and when they were written (Unix time, seconds)."""
        for found in self._filesystem.get_file_info(fs.FileSelector(self._path, allow_not_found=True)):
            if found.mtime is not None and is_staged_by(found.base_name, apps):
                yield found.base_name, found.mtime.timestamp()
