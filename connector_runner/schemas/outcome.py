"""How a runner ends: its exit codes and its termination message."""

from __future__ import annotations

from enum import IntEnum

import msgspec

# https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/: at most 4,096 bytes are stored.
TERMINATION_MESSAGE_BYTES = 4096
DATASET_REASONS = frozenset(
    {
        "DatasetError",
        "DatasetUnavailable",
        "InvalidDataset",
        "MissingBucket",
        "MissingDatabase",
        "MissingDatasetGrant",
        "MissingSchema",
        "MissingTopic",
        "NotAllowed",
        "TlsProblem",
        "WrongCredentials",
        "WrongRegion",
    }
)
"""Reasons, given only by sinks, for a dataset that can't be reached or used; never caused by rows."""


_LAST_LINES = 5


class ExitCode(IntEnum):
    """Exit codes of `connector-runner`; the operator and the Job's podFailurePolicy rely on them."""

    END_OF_STREAM = 0
    """The stream has truly ended; never used for a stop."""
    TRANSIENT = 1
    """Any other failure: another attempt may succeed."""
    USAGE = 2
    """A wrong command line (a person's, never the operator's)."""
    ACTION_REQUIRED = 78
    """An error that a user must fix (EX_CONFIG of sysexits.h)."""
    TERMINATED = 143
    """Stopped by SIGTERM after committing (128 + 15)."""


class Termination(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The termination message of a runner or discovery that failed, as JSON.

    Attributes:
        reason: One CamelCase word.
        message: A sentence for people; no secrets.
        held_by_run, held_mark: If another run of the connector held the dataset at the claim: the number of that run, and the mark
            of its progress.
        is_of_stream: Whether it failed only because of the selected stream: with another one it might have succeeded.
        is_taken_over: Whether another runner took the dataset over while this one was writing.
    """

    reason: str
    message: str
    held_by_run: int = 0
    held_mark: str = ""
    is_taken_over: bool = False
    is_of_stream: bool = False


def encode_termination(termination: Termination) -> bytes:
    """JSON of at most `TERMINATION_MESSAGE_BYTES`; a longer message is cut with an ellipsis."""
    message = termination.message
    while (
        len(encoded := msgspec.json.encode(msgspec.structs.replace(termination, message=message)))
        > TERMINATION_MESSAGE_BYTES
    ):
        message = message[: len(message) * 9 // 10] + "…"
    return encoded


def parse_termination(text: str) -> Termination:
    """The reverse, lenient: a text that is not such JSON (the last lines of a crash) becomes the message, with reason `Crashed`."""
    try:
        return msgspec.json.decode(text, type=Termination)
    except msgspec.MsgspecError:
        return Termination("Crashed", _readable(text))


def _readable(text: str) -> str:
    """The end of a log for people: only the message of JSON lines; without a first line that was cut off."""
    said: list[str] = []
    for place, line in enumerate(text.strip().splitlines()):
        try:
            entry = msgspec.json.decode(line)
        except msgspec.MsgspecError:
            is_cut = place == 0 and line.endswith("}") and not line.startswith("{")
            said += [] if is_cut or not line.strip() else [line.rstrip()]
            continue
        message = entry.get("message") if isinstance(entry, dict) else None
        said.append(message if isinstance(message, str) else line)
    return "\n".join(said[-_LAST_LINES:])
