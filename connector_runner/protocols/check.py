"""What `connector-runner check` finds out: one answer to one question about a source or a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from connector_runner.protocols.errors import ConnectorError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import StoredCheckpoint, StoredStreams


class Part(StrEnum):
    """What is asked about."""

    MANIFEST = "manifest"
    SOURCE = "source"
    DATASET = "dataset"


class Result(StrEnum):
    """What was found."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One answer.

    Attributes:
        part: What was asked about.
        name: The question, in one word: `reachable`, `rights`, `owner`, `table`, …
        result: Whether it is as a run needs it.
        message: What was found. If it failed: what is wrong, where, what was expected, what to do. If it is unknown: why.
        reason: The word that a run would end with (docs/reasons.md); "" if it did not fail.
        stream: The stream that it is about; "" for all of them.
        is_temporary: Whether it failed in a way that may pass by itself.
    """

    part: Part
    name: str
    result: Result
    message: str
    reason: str = ""
    stream: str = ""
    is_temporary: bool = False


def ok(part: Part, name: str, message: str, stream: str = "") -> Check:
    """It is as a run needs it."""
    return Check(part, name, Result.OK, message, stream=stream)


def unknown(part: Part, name: str, message: str, stream: str = "") -> Check:
    """It can't be found out; the message says why."""
    return Check(part, name, Result.UNKNOWN, message, stream=stream)


def failed(part: Part, name: str, error: ConnectorError, stream: str = "") -> Check:
    """A run would end with this error, or leave the stream out."""
    is_temporary = isinstance(error, TransientError)
    return Check(part, name, Result.FAILED, error.message, error.reason, stream or error.stream, is_temporary)


class Examiner(Protocol):
    """Looks at a dataset as a run would find it, and changes nothing in it; blocking calls.

    A sink that can be checked offers `build_examiner(context: SinkContext) -> Examiner`. Building it connects, and raises what a run
    would: `TransientError`, `ActionRequiredError`.
    """

    def stored_streams(self) -> StoredStreams:
        """See `Inspector.stored_streams`."""

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        """See `Inspector.checkpoints`."""

    def examine(self, schemas: Mapping[str, StreamSchema]) -> Sequence[Check]:
        """Answers what a claim and the first batch would find: rights, other owners, whether the tables fit.

        Args:
            schemas: Stream → schema, of the context's streams; those that are missing are not known.
        """

    def close(self) -> None:
        """Closes the connection."""
