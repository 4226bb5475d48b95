"""Errors, grouped by how one recovers from them.

    ConnectorError
    ├── TransientError          try again: the network, a restarting server, a rate limit
    ├── DatasetWentBackError    the run ends, and the next one reads again from the dataset's position
    └── ActionRequiredError     a user must act; retrying can't fix it (exit code 78)
        ├── InvalidConfigError      the configuration is wrong: every problem with its JSON path
        ├── UnknownStreamError      the selected stream does not exist
        ├── SourceChangedError      not the server or chain that the checkpoint is from
        ├── SchemaConflictError     the dataset's table can't hold the stream
        ├── StagedFileGoneError     a file that a table of a lake was still to get was removed by somebody
        ├── KeptElsewhereError      the stream has another table in the dataset, from a selection
        └── FenceLostError          a newer runner took the dataset over

The end of a stream is not an error: the source's iterator ends (exit code 0). Messages never contain a secret.
"""

from __future__ import annotations

from collections.abc import Sequence

RESET = "`connector-runner checkpoint reset`"
START_OVER = f"start over with {RESET}"
"""The advice when the source can't resume from a position."""


class ConnectorError(Exception):
    """Base of all expected errors.

    Attributes:
        reason: One CamelCase word for conditions, metrics and termination messages.
        message: A sentence that says what is wrong, where, what was expected, and what to do.
        is_of_stream: For a discovery: it failed because of the selected stream; without that stream it might have succeeded.
        stream: The one stream of a selection that this concerns, if the others can go on without it; "" if it concerns all.
    """

    reason = "Error"
    is_of_stream = False
    stream = ""

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason

    def add(self, text: str) -> None:
        """Adds to the message what only a caller knows, such as where it happened."""
        self.message += text
        self.args = (self.message,)


class TransientError(ConnectorError):
    """A failure that may be temporary: the pipeline waits (capped backoff with jitter) and opens again at the last position.

    Attributes:
        retry_after: How many seconds the server asked to wait (HTTP Retry-After), or None.
    """

    reason = "Unavailable"

    def __init__(self, message: str, *, reason: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = retry_after


class DatasetWentBackError(ConnectorError):
    """Transactions whose commit was confirmed are gone from the dataset; only a new claim finds out where it is now."""

    reason = "DatasetWentBack"


def require_not_back(number: int, confirmed: int) -> None:
    """Checks that the dataset, whose last transaction is `number`, still has the last one that was confirmed.

    Raises:
        DatasetWentBackError: It has not.
    """
    if number < confirmed:
        raise DatasetWentBackError(
            f"the dataset's last transaction is {number}, but {confirmed} was confirmed: it was restored from a backup, or it lost "
            "confirmed commits in a crash or a failover. This run ends; the next one reads again from the dataset's position"
        )


class ActionRequiredError(ConnectorError):
    """An error that a user must fix; ends the runner with exit code 78."""

    reason = "ActionRequired"


# Reasons that concern the dataset as a whole, whichever of its tables was in use when they were noticed.
_OF_DATASET = frozenset(
    {"WrongCredentials", "MissingDatabase", "NotAllowed", "TlsProblem", "InvalidDataset", "DatasetError"}
)


def blame_stream(error: ActionRequiredError, stream: str) -> None:
    """Marks a failure at a table of one stream as that stream's, unless it concerns the dataset or the fence."""
    if not isinstance(error, FenceLostError) and error.reason not in _OF_DATASET:
        error.stream = stream


class InvalidConfigError(ActionRequiredError):
    """The configuration is wrong.

    Attributes:
        problems: One sentence for each problem, starting with its JSON path.
    """

    reason = "InvalidConfig"

    def __init__(self, problems: Sequence[str], *, reason: str | None = None) -> None:
        super().__init__("; ".join(problems), reason=reason)
        self.problems = tuple(problems)


class UnknownStreamError(ActionRequiredError):
    """The source does not have the selected stream; the message lists or suggests existing ones."""

    reason = "UnknownStream"


class SourceChangedError(ActionRequiredError):
    """The source is not the one that the checkpoint is from; the message names both."""

    reason = "SourceChanged"


class SchemaConflictError(ActionRequiredError):
    """The existing table can't hold the stream; the message lists the differences. No data was changed."""

    reason = "SchemaConflict"


class KeptElsewhereError(ActionRequiredError):
    """The stream was carried into another table while it belonged to a selection; the run goes on there.

    Attributes:
        table: That table.
    """

    reason = "SchemaConflict"

    def __init__(self, message: str, table: str) -> None:
        super().__init__(message)
        self.table = table


class StagedFileGoneError(ActionRequiredError):
    """A file that a decided commit of a table needs is gone: somebody has removed it; the message names it."""

    reason = "StagedFileGone"


class FenceLostError(ActionRequiredError):
    """A newer runner has claimed this dataset; the message names it."""

    reason = "FenceLost"


class TakenOverError(FenceLostError):
    """While this runner was writing, another one took the dataset over: two runners run the same connector."""


class TableTakenError(TakenOverError):
    """Another connector took over tables of a selection; the run may claim again, without them."""


class ClaimRefusedError(FenceLostError):
    """The dataset is held by a run that this run may not replace.

    Attributes:
        run: The number of the run that holds it.
        mark: Identifies the progress of its checkpoint; if it differs later, a runner still writes.
    """

    def __init__(self, message: str, run: int, mark: str) -> None:
        super().__init__(message)
        self.run = run
        self.mark = mark
