"""Determines which chain an endpoint is on, before its answers are trusted."""

from __future__ import annotations

import msgspec

from connector_runner.sources.ethereum.decode.responses import decode_header
from connector_runner.sources.ethereum.decode.rows import whole_text
from connector_runner.sources.ethereum.errors import MalformedAnswerError, NodeFailure, Verdict
from connector_runner.sources.ethereum.rpc.methods import BLOCK, CHAIN_ID
from connector_runner.sources.ethereum.rpc.transport import Answer, Transport

_quantity = msgspec.json.Decoder(str | int)


def whole_number(answer: Answer) -> int:
    """Decodes an answer that is a single quantity.

    Raises:
        MalformedAnswerError: It is not a quantity.
    """
    try:
        found = _quantity.decode(answer)
        return found if isinstance(found, int) else whole_text(found)
    except (msgspec.DecodeError, ValueError):
        raise MalformedAnswerError("expected a quantity") from None


def identity_of(chain_id: int, genesis: str) -> str:
    """The identity of a chain, as checkpoints store it."""
    return f"chain {chain_id}, genesis {genesis}"


async def identify(transport: Transport) -> str:
    """Returns the identity of an endpoint's chain; two requests in sequence, because some endpoints do not accept batches.

    Raises:
        NodeFailure: The endpoint does not answer, or not with an identity.
    """
    try:
        chain = await transport.send([(CHAIN_ID, [])])
        genesis = decode_header((await transport.send([(BLOCK, ["0x0", False])]))[0])
        if genesis is None:
            raise transport_failure(transport, "has no block 0; it may still be starting")
        return identity_of(whole_number(chain[0]), genesis.hash)
    except MalformedAnswerError as error:
        raise transport_failure(transport, f"does not answer as a node does: {error}") from None


def transport_failure(transport: Transport, what: str) -> NodeFailure:
    """A transient failure of an endpoint."""
    return NodeFailure(Verdict.TRANSIENT, "Unavailable", f"{transport.endpoint.shown} {what}")
