"""Errors of decoders: bytes that can't become a value. Pure, so that decoders may import it."""

from __future__ import annotations

from connector_runner.protocols.errors import ActionRequiredError


class UndecodableError(ActionRequiredError):
    """Bytes of the log or of a result don't match the table's definition or are ambiguous; a retry gives the same result."""

    reason = "Undecodable"


class DecodingFailedError(UndecodableError):
    """The runner has no rule for what it found. It is retried a few times; then a person is needed."""
