"""Why a claim is lost, from the rows of the ledger. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector_runner.datasets.fencing import Holder, explain_refused_commit
from connector_runner.datasets.ledger_schemas import read_owners
from connector_runner.datasets.procedure import Procedure
from connector_runner.protocols.errors import FenceLostError, TableTakenError
from connector_runner.protocols.sink import SinkContext

if TYPE_CHECKING:
    from connector_runner.datasets.ledger import Ledger


def why_refused(ledger: Ledger, context: SinkContext, number: int) -> Procedure[Exception]:
    """Why a commit changed nothing for the transaction of this number."""
    holder = yield from ledger.read_holder(ledger.key)
    if ledger.has_anchor and holder is not None and holder.epoch == ledger.epoch and holder.number < number:
        keys = {stream.key for stream in ledger.streams.values()}
        for row in (yield from ledger.read_connector()):
            if (row.connector, row.stream, row.table) in keys and row.epoch != ledger.epoch:
                holder = row
    return (yield from explain_loss(ledger, context, holder, number))


def explain_loss(ledger: Ledger, context: SinkContext, holder: Holder | None, number: int = 0) -> Procedure[Exception]:
    """Why this row refuses what we do.

    Returns:
        The error; a `TableTakenError` if the claim of a selection ended only because another connector took over some of its tables.
    """
    error = explain_refused_commit(holder, context.uid, context.run, ledger.epoch, number)
    if not isinstance(error, FenceLostError) or not context.isolates or holder is None or holder.uid:
        return error
    rows = {row.stream for row in (yield from ledger.read_connector()) if not row.is_reset}
    taken = []
    for stream in ledger.streams.values():
        if stream.stream in rows:
            continue
        others = [owner.holder for owner in (yield from read_owners(ledger, stream)) if not owner.holder.is_reset]
        taken += [f"{stream.names.text} by {one.connector}" for one in others if one.connector != context.connector][:1]
    if not taken:
        return error
    return TableTakenError(f"tables of {context.connector} were taken over: {', '.join(taken)}")
