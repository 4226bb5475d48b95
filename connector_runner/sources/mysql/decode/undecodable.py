"""What decoders raise when bytes can't become a value. Pure, so that decoders may know it."""

from __future__ import annotations

from connector_runner.protocols.errors import ActionRequiredError


class UndecodableError(ActionRequiredError):
    """Bytes of the log or of a result mean nothing by the table's definition, or can't be told apart; trying again gives the same."""

    reason = "Undecodable"


class DecodingFailedError(UndecodableError):
    """The runner met something that it has no rule for. Tried again a few times, then a person is called."""
