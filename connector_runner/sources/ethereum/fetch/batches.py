"""Batches of consecutive blocks: their rows, the position after them, and what is to be told with them."""

from __future__ import annotations

from dataclasses import replace

from connector_runner.protocols.batch import Batch, Incident, Operation, Row
from connector_runner.sources.ethereum.chain import Chain
from connector_runner.sources.ethereum.decode.responses import BlockRows
from connector_runner.sources.ethereum.fetch.plan import StreamPlan
from connector_runner.sources.ethereum.fetch.reread import bloom_incident
from connector_runner.sources.ethereum.position import to_position
from connector_runner.sources.ethereum.verify.proofs import Prover


def settle(chain: Chain, units: list[BlockRows], prover: Prover) -> tuple[Chain, tuple[Incident, ...]]:
    """The chain after some blocks, and what is to be told with them."""
    state = chain.state
    incidents = []
    for unit in units:
        chain = chain.extended(unit.header)
        if unit.is_left_out:
            first, _ = state.left_out or (unit.header.number, 0)
            state = replace(state, left_out=(first, unit.header.number))
        elif unit.refutes_bloom and not state.is_bloom_refuted:
            state = replace(state, is_bloom_refuted=True)
            incidents.append(bloom_incident(chain.with_state(state), unit.header))
    if new := [key for key in prover.told if key not in state.told]:
        state = replace(state, told=state.told.union(new))
        incidents += [prover.told[key] for key in new]
    return chain.with_state(state), tuple(incidents)


def build_batch(
    plan: StreamPlan,
    chain: Chain,
    units: list[BlockRows],
    orphans: tuple[str, ...] = (),
    incidents: tuple[Incident, ...] = (),
) -> Batch:
    """Rows of consecutive blocks, after the retraction of orphaned ones, and the position after them."""
    rows: list[Row] = [(orphan,) for orphan in orphans]
    for unit in units:
        rows += unit.rows
    operations = bytes([Operation.REPLACE]) * len(orphans) + bytes([Operation.UPSERT]) * (len(rows) - len(orphans))
    return Batch(
        plan.schema,
        rows,
        to_position(chain),
        operations if orphans else None,
        size=max(1, sum(unit.size for unit in units)),
        incidents=incidents,
        event_time=float(units[-1].header.seconds) if units and not units[-1].header.is_absent else None,
    )
