"""Errors, grouped by how one recovers from them.

    ConnectorError
    ├── TransientError          try again: the network, a restarting server, a rate limit
    └── ActionRequiredError     a person must act; retrying can't mend it (exit code 78)
        ├── InvalidConfigError      the configuration, with every problem by JSON path
        ├── UnknownStreamError      the selected stream does not exist
        ├── SourceChangedError      another server or chain than the checkpoint knows
        ├── SchemaConflictError     the dataset's table can't hold the stream
        └── FenceLostError          a newer runner took the dataset over

The end of a stream is no error: the source's iterator simply ends (exit code 0). Messages never hold a secret.
"""

from __future__ import annotations

from collections.abc import Sequence

RESET = "`connector-runner checkpoint reset`"
START_OVER = f"start over with {RESET}"
"""The advice where a position can't be gone on from."""


class ConnectorError(Exception):
    """Base of all expected trouble.

    Attributes:
        reason: One CamelCase word for conditions, metrics and termination messages.
        message: A sentence that says what is wrong, where, what was expected and what to do.
        is_of_stream: Of a discovery: it failed for the selected stream; without that one it might not have.
    """

    reason = "Error"
    is_of_stream = False

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


class TransientError(ConnectorError):
    """Trouble that may pass: the pipeline waits (capped backoff with jitter) and opens again where it was.

    Attributes:
        retry_after: Seconds the other side asked to wait (HTTP Retry-After), or None.
    """

    reason = "Unavailable"

    def __init__(self, message: str, *, reason: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = retry_after


class ActionRequiredError(ConnectorError):
    """Trouble that a person must mend; ends the runner with exit code 78."""

    reason = "ActionRequired"


class InvalidConfigError(ActionRequiredError):
    """The configuration is wrong.

    Attributes:
        problems: One sentence a problem, each starting with its JSON path.
    """

    reason = "InvalidConfig"

    def __init__(self, problems: Sequence[str], *, reason: str | None = None) -> None:
        super().__init__("; ".join(problems), reason=reason)
        self.problems = tuple(problems)


class UnknownStreamError(ActionRequiredError):
    """The selected stream is not among those the source has; the message lists or suggests what is."""

    reason = "UnknownStream"


class SourceChangedError(ActionRequiredError):
    """The source is not the one the checkpoint was made with; the message names both."""

    reason = "SourceChanged"


class SchemaConflictError(ActionRequiredError):
    """The table that exists can't hold the stream; the message lists the differences. No data was touched."""

    reason = "SchemaConflict"


class FenceLostError(ActionRequiredError):
    """A newer runner has claimed this dataset; the message says which."""

    reason = "FenceLost"


class TakenOverError(FenceLostError):
    """While this runner was writing, somebody else took the dataset over: two run the same connector."""


class ClaimRefusedError(FenceLostError):
    """The dataset is held by a run that this one may not follow.

    Attributes:
        run: The number of the run that holds it.
        mark: Stands for how far its checkpoint has come; another one later means that somebody still writes.
    """

    def __init__(self, message: str, run: int, mark: str) -> None:
        super().__init__(message)
        self.run = run
        self.mark = mark
