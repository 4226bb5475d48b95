"""How a runner ends: its exit codes and its termination message."""

from __future__ import annotations

from enum import IntEnum

import msgspec

# https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/: at most 4,096 bytes are kept.
TERMINATION_MESSAGE_BYTES = 4096
DATASET_REASONS = frozenset(
    {
        "DatasetError",
        "DatasetUnavailable",
        "InvalidDataset",
        "MissingDatabase",
        "MissingDatasetGrant",
        "MissingSchema",
        "NotAllowed",
        "TlsProblem",
        "WrongCredentials",
    }
)
"""Reasons with which sinks, and they alone, say that the dataset can't be reached or used; never the fault of rows."""


_LAST_LINES = 5


class ExitCode(IntEnum):
    """Exit codes of `connector-runner`; the operator's and the Job's podFailurePolicy follow them."""

    END_OF_STREAM = 0
    """The stream has truly ended; never used for a stop."""
    TRANSIENT = 1
    """Anything else: another try may succeed."""
    USAGE = 2
    """A wrong command line (a person's, never the operator's)."""
    ACTION_REQUIRED = 78
    """What a person must mend (EX_CONFIG of sysexits.h)."""
    TERMINATED = 143
    """Stopped by SIGTERM after committing (128 + 15)."""


class Termination(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The termination message of a runner or discovery that failed, as JSON.

    Attributes:
        reason: One CamelCase word.
        message: A sentence for people; no secrets.
        held_by_run, held_mark: Where another run of the connector held the dataset at the claim: its number, and how far it
            had come.
        is_of_stream: It failed for the selected stream alone: with another selected it might not have.
        is_taken_over: Somebody else took the dataset over while this runner was writing.
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
    """The reverse, forgiving: a text that is not such JSON (a crash's last lines) is the message, reason `Crashed`."""
    try:
        return msgspec.json.decode(text, type=Termination)
    except msgspec.MsgspecError:
        return Termination("Crashed", _readable(text))


def _readable(text: str) -> str:
    """The end of a log as people read it: of lines that are JSON their message; a line that was cut at its start is left out."""
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
