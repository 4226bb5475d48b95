"""What can go wrong between the source and a node, by what follows from it; `rpc.refusals` says which refusal is which."""

from __future__ import annotations

from enum import Enum

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError


class Verdict(Enum):
    """What follows from a refusal."""

    TRANSIENT = "transient"
    """The same request may succeed later."""
    SHRINK = "shrink"
    """The same request for fewer blocks may succeed."""
    MISSING = "missing"
    """The node does not have that block (yet, or any more)."""
    UNSUPPORTED = "unsupported"
    """The node does not offer the method."""
    FINAL = "final"
    """A person must act."""


class NodeFailure(Exception):  # noqa: N818 - it carries a verdict, and is turned into one of the protocol's errors
    """A request was not answered.

    Attributes:
        verdict, reason: By the table.
        message: Without secrets.
        retry_after: Seconds that the other side asked to wait, or None.
        suggested: Blocks that would be accepted, or None.
        is_silence: Nothing came in time.
        is_unreachable: No connection was made, so that it is not about what was asked.
    """

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
        """Whether it may be about this very question, in words that nobody knows: another one for the same might be answered."""
        is_unknown = self.verdict is Verdict.TRANSIENT and self.reason != "RateLimited"
        arrived = not self.is_unreachable and self.verdict is not Verdict.MISSING
        return arrived and (is_unknown or self.reason == "RequestRefused")

    def as_error(self) -> ConnectorError:
        """As the pipeline knows it."""
        if self.verdict in (Verdict.FINAL, Verdict.UNSUPPORTED):
            return ActionRequiredError(self.message, reason=self.reason)
        return TransientError(self.message, reason=self.reason, retry_after=self.retry_after)


class TooLargeError(Exception):
    """A request failed, and a smaller one might not. What was known of the endpoint's limits knows it, too.

    Attributes:
        failure: What came.
        is_certain: Whether it is known for a limit by its words.
    """

    def __init__(self, failure: NodeFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.is_certain = failure.verdict is Verdict.SHRINK


class OtherWayError(Exception):
    """A question that can be asked another way failed at each try, whatever was said: it is time for the other way.

    Attributes:
        failure: What came last.
    """

    def __init__(self, failure: NodeFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class StaleAnswerError(Exception):
    """The node lacks what it should have, or contradicts itself: ask again later or elsewhere.

    Attributes:
        message: A sentence that names the block.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class MalformedAnswerError(ValueError):
    """A node's answer is not what the JSON-RPC specification says; the message has no value of it but types and names."""


class DeepReorganisationError(ActionRequiredError):
    """The chain was replaced from below the ring on."""

    reason = "DeepReorganisation"
