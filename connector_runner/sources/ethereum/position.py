"""The position of a stream, as checkpoints store it: the last block, a ring of the hashes before it, and the stream's state.

Members whose names begin with `_` do not appear in rows and logs. Positions of older versions lack some of them.
"""

from __future__ import annotations

from connector_runner.protocols.batch import Position
from connector_runner.protocols.errors import START_OVER, ActionRequiredError
from connector_runner.sources.ethereum.chain import Chain, StreamState


def to_position(chain: Chain, *, of_one: bool = True) -> Position:
    """Converts a chain to a position, as checkpoints store it.

    Args:
        chain: The blocks of the dataset.
        of_one: The connector has one stream: members without a value are left out. Otherwise all members are present, because the
            place of one of several streams replaces members of the same names.
    """
    own = {"number": chain.number, "hash": chain.head, "start": chain.start, "_ring": list(chain.hashes)}
    state = chain.state
    found = {
        "_told": sorted(state.reported), "_left_out": list(state.left_out or ()), "_bloom_refuted": state.is_bloom_refuted,
        "_event": state.event,
    }  # fmt: skip
    known = {name: value for name, value in found.items() if value} if of_one else found
    return {**own, "_since": state.since, **known}


def from_position(position: Position) -> Chain:
    """Converts a position back to a chain.

    Raises:
        ActionRequiredError: It was not written by this source.
    """
    try:
        ring = tuple(map(str, position["_ring"]))
        chain = Chain(int(position["start"]), int(position["number"]), ring, _state(position))
    except (KeyError, TypeError, ValueError):
        chain = None
    if chain is None or len(chain.hashes) > chain.number - chain.start + 1 or not _is_whole(chain):
        raise ActionRequiredError(
            f"the checkpoint of this dataset was not written by this version of the ETHEREUM source; {START_OVER}",
            reason="CheckpointUnreadable",
        )
    return chain


def _state(position: Position) -> StreamState:
    """The state in a position; a position of an older version has none.

    Raises:
        TypeError, ValueError: It was not written by this source.
    """
    first_last = tuple(map(int, position.get("_left_out") or ()))
    left_out = (first_last[0], first_last[1]) if len(first_last) == 2 else None
    reported = frozenset(map(str, position.get("_told") or ()))
    since = int(position.get("_since", position["number"] + 1))
    return StreamState(
        reported, left_out, bool(position.get("_bloom_refuted")), str(position.get("_event") or ""), since
    )


def _is_whole(chain: Chain) -> bool:
    return bool(chain.hashes) or chain.number == chain.start - 1
