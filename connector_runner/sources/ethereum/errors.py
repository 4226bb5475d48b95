"""Errors between the source and a node, grouped by how to recover; `rpc.refusals` classifies each refusal."""

from __future__ import annotations

from enum import Enum

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError


class Verdict(Enum):
    """How to react to a refusal."""

    TRANSIENT = "transient"
    """The same request may succeed later."""
    SHRINK = "shrink"
    """The same request for fewer blocks may succeed."""
    MISSING = "missing"
    """The node does not have that block (not yet, or no longer)."""
    UNSUPPORTED = "unsupported"
    """The node does not offer the method."""
    FINAL = "final"
    """A person must act."""


class NodeFailure(Exception):  # noqa: N818 - it carries a verdict, and is converted to one of the protocol's errors
    """A request was not answered.

    Attributes:
        verdict, reason: From the table of refusals.
        message: A sentence for people, without secrets.
        retry_after: Seconds that the server asked to wait, or None.
        suggested: Number of blocks that would be accepted, or None.
        is_silence: The request timed out.
        is_unreachable: No connection was made, so the failure does not depend on the request.
        place: The index of the endpoint that failed; None outside of a pool. While a request is tried again, another one is used.
    """

    place: int | None = None

    def __init__(
        self,
        verdict: Verdict,
        reason: str,
        message: str,
        *,
        retry_after: float | None = None,
        suggested: int | None = None,
        is_silence: bool = False,
        is_unreachable: bool = False,
    ) -> None:
        super().__init__(message)
        self.verdict = verdict
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.suggested = suggested
        self.is_silence = is_silence
        self.is_unreachable = is_unreachable

    @property
    def is_refusal(self) -> bool:
        """Whether it may be a refusal of this request, with an unknown message: another request for the same may be answered."""
        is_unknown = self.verdict is Verdict.TRANSIENT and self.reason != "RateLimited"
        arrived = not self.is_unreachable and self.verdict is not Verdict.MISSING
        return arrived and (is_unknown or self.reason == "RequestRefused")

    def as_error(self) -> ConnectorError:
        """The same failure as one of the pipeline's errors."""
        if self.verdict in (Verdict.FINAL, Verdict.UNSUPPORTED):
            return ActionRequiredError(self.message, reason=self.reason)
        return TransientError(self.message, reason=self.reason, retry_after=self.retry_after)


class TooLargeError(Exception):
    """A request failed, and a smaller one may succeed. The endpoint's limits have already been updated.

    Attributes:
        failure: The failure of the request.
        is_certain: Whether its message is known to mean a limit.
    """

    def __init__(self, failure: NodeFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.is_certain = failure.verdict is Verdict.SHRINK


class OtherWayError(Exception):
    """A request that has an alternative failed at each attempt, for whatever reason: use the alternative.

    Attributes:
        failure: The last failure.
    """

    def __init__(self, failure: NodeFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class StaleAnswerError(Exception):
    """The node lacks data that it should have, or contradicts itself: ask again later, or another node.

    Attributes:
        message: A sentence that names the block.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class MalformedAnswerError(ValueError):
    """A node's answer breaks the JSON-RPC specification; the message contains only types and names, no values of the answer."""


def is_final(error: Exception) -> bool:
    """Whether asking again does not help: a person must act."""
    return isinstance(as_connector_error(error), ActionRequiredError)


def is_doubt(error: Exception) -> bool:
    """Whether the answer may only be early, late or from another node: asking again a little later often helps."""
    if isinstance(error, NodeFailure):
        return error.verdict is Verdict.MISSING
    return isinstance(error, StaleAnswerError | MalformedAnswerError)


def as_connector_error(error: Exception) -> ConnectorError:
    """A failure to read from the node as one of the pipeline's errors."""
    if isinstance(error, ConnectorError):
        return error
    return error.as_error() if isinstance(error, NodeFailure) else TransientError(str(error), reason="NodeInconsistent")


class DeepReorganisationError(ActionRequiredError):
    """The chain was replaced from a block below the ring."""

    reason = "DeepReorganisation"
