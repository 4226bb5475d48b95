"""Which chain an endpoint is on, before anything of it is believed."""

from __future__ import annotations

import msgspec

from connector_runner.sources.ethereum.decode.responses import decode_header
from connector_runner.sources.ethereum.decode.rows import whole_text
from connector_runner.sources.ethereum.errors import MalformedAnswerError, NodeFailure, Verdict
from connector_runner.sources.ethereum.rpc.methods import BLOCK, CHAIN_ID
from connector_runner.sources.ethereum.rpc.transport import Answer, Transport

_quantity = msgspec.json.Decoder(str | int)


def whole_number(answer: Answer) -> int:
    """A quantity that is an answer by itself.

    Raises:
        MalformedAnswerError: It is something else.
    """
    try:
        found = _quantity.decode(answer)
        return found if isinstance(found, int) else whole_text(found)
    except (msgspec.DecodeError, ValueError):
        raise MalformedAnswerError("expected a quantity") from None


def identity_of(chain_id: int, genesis: str) -> str:
    """What a checkpoint remembers of the chain."""
    return f"chain {chain_id}, genesis {genesis}"


async def identify(transport: Transport) -> str:
    """The identity of an endpoint's chain; two requests, one after the other, as some take no batches.

    Raises:
        NodeFailure: It does not tell.
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
    """Passing trouble with an endpoint."""
    return NodeFailure(Verdict.TRANSIENT, "Unavailable", f"{transport.endpoint.shown} {what}")
