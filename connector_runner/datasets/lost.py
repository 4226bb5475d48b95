"""A table that somebody has deleted while the ledger still has a position for it: made again, and told to whoever reads it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from connector_runner.datasets.fencing import Holder, decode_position
from connector_runner.datasets.places import whole_of
from connector_runner.datasets.procedure import Procedure
from connector_runner.datasets.stream_ledger import StreamLedger
from connector_runner.protocols.batch import Incident

KIND = "table_lost"


def report_lost(part: StreamLedger, holders: Sequence[Holder], anchor: Holder | None, *, noun: str) -> Procedure[None]:
    """An incident, if the table that was made now had rows before.

    Args:
        part: The ledger of the stream.
        holders: The rows of the ledger of all that fill the table.
        anchor: The row of the selection, if there is one.
        noun: What the dataset calls a table.
    """
    own = next((each for each in holders if (each.connector, each.stream, each.table) == part.key), None)
    if own is None or (stored := whole_of(own, anchor).position) is None:
        return
    name = part.names.text
    message = (
        f"the {noun} {name} was not there any more and was made again: what this connector had written into it up to this "
        f"position is gone; `connector-runner checkpoint reset` starts over"
    )
    yield part.incident(Incident(KIND, name, message), decode_position(stored))
