"""Builds batches of consecutive blocks: their rows, the position after them, and their incidents."""

from __future__ import annotations

from dataclasses import replace

from connector_runner.protocols.batch import Batch, Incident, Operation, Row
from connector_runner.sources.ethereum.chain import Chain
from connector_runner.sources.ethereum.fetch.plan import place_of_plan
from connector_runner.sources.ethereum.fetch.plan_set import PlanSet, Unit
from connector_runner.sources.ethereum.fetch.reread import bloom_incident
from connector_runner.sources.ethereum.position import to_position
from connector_runner.sources.ethereum.verify.proofs import Prover


def settle(chain: Chain, units: list[Unit], prover: Prover) -> tuple[Chain, tuple[Incident, ...]]:
    """Returns the chain after some blocks, and the incidents to store with them."""
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
    if new := [key for key in prover.reported if key not in state.reported]:
        state = replace(state, reported=state.reported.union(new))
        incidents += [prover.reported[key] for key in new]
    return chain.with_state(state), tuple(incidents)


def build_batches(
    plans: PlanSet,
    chain: Chain,
    units: list[Unit],
    orphans: tuple[str, ...] = (),
    incidents: tuple[Incident, ...] = (),
) -> list[Batch]:
    """Builds one transaction: retractions of orphaned blocks, the rows of consecutive blocks, and the position after them.

    At least one batch; streams without changes have none.
    """
    position = to_position(chain, of_one=plans.is_alone)
    newest = units[-1].header if units and not units[-1].header.is_absent else None
    built: list[Batch] = []
    for index, plan in enumerate(plans.plans):
        rows: list[Row] = [(orphan,) for orphan in orphans]
        size = 1
        for unit in units:
            part = unit.parts[index]
            rows += part.rows
            size += part.size
        is_last = index + 1 == len(plans.plans)
        if not rows and not (is_last and (incidents or not built)):
            continue
        operations = bytes([Operation.REPLACE]) * len(orphans) + bytes([Operation.UPSERT]) * (len(rows) - len(orphans))
        batch = Batch(
            plan.schema,
            rows,
            position,
            operations if orphans else None,
            size=size,
            event_time=float(newest.seconds) if newest is not None else None,
            place=None if plans.is_alone else place_of_plan(plan),
            more=True,
        )
        built.append(batch)
    built[-1].more, built[-1].incidents = False, incidents
    return built


def build_places(plans: PlanSet, chain: Chain) -> list[Batch]:
    """Builds batches without rows that store the place of each of several streams: a stream can begin long before its first row."""
    position = to_position(chain, of_one=False)
    batches = [Batch(plan.schema, [], position, place=place_of_plan(plan), more=True) for plan in plans.plans]
    batches[-1].more = False
    return batches
