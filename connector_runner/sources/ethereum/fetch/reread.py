"""Handles a bloom that lacks some logs of its block: blocks that blooms excluded are read again without them, and reported."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

from connector_runner.protocols.batch import Batch, Incident, Operation, Row
from connector_runner.protocols.errors import RESET
from connector_runner.sources.ethereum.chain import Chain
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.errors import StaleAnswerError
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.fetch.plan import place_of_plan
from connector_runner.sources.ethereum.fetch.plan_set import PlanSet, Unit
from connector_runner.sources.ethereum.position import to_position


def bloom_incident(chain: Chain, header: Header) -> Incident:
    """Builds the incident: a block's bloom lacks some of its logs."""
    said = [
        f"block {header.number} ({header.hash}) has logs that its bloom does not hold: from here on all blocks are read, whatever their bloom says"
    ]
    if chain.state.left_out:
        first, last = chain.state.left_out
        said.append(f"blocks {first} to {last}, some of which were left out by their blooms, are read again")
    if chain.state.since > chain.start:
        said.append(
            f"blocks {chain.start} to {chain.state.since - 1} were read by a version that believed blooms without trying them, and may lack "
            f"rows: to have them read again, run {RESET} and start over"
        )
    detail = {"block": header.number, "hash": header.hash, "left_out": list(chain.state.left_out or ())}
    return Incident("bloom", f"block {header.number}", "; ".join(said), detail)


async def reread(fetcher: Fetcher, plans: PlanSet, chain: Chain) -> AsyncGenerator[tuple[Batch, Chain], None]:
    """Yields batches of the blocks that may have been skipped wrongly, each with the chain after it; may stop between them.

    Raises:
        StaleAnswerError: The node has another chain now.
    """
    assert chain.state.left_out is not None  # noqa: S101 - the reason for this call
    of_logs = plans.of_logs  # only these streams skip blocks
    first, last = chain.state.left_out
    last = min(last, chain.number)
    while first <= last:
        end = min(last, first + fetcher.tuner.size - 1)
        units = await of_logs.fetch_range(fetcher, first, end)
        for unit in units:
            if chain.hash_at(unit.header.number) not in (None, unit.header.hash):
                raise StaleAnswerError(f"the node has another block {unit.header.number} than the dataset")
        first = end + 1
        chain = chain.with_state(replace(chain.state, left_out=(first, last) if first <= last else None))
        for batch in _batches(plans, chain, units):
            yield batch, chain
    if chain.state.left_out is not None:  # a reorganisation removed all of them
        chain = chain.with_state(replace(chain.state, left_out=None))
        for batch in _batches(plans, chain, []):
            yield batch, chain


def _batches(plans: PlanSet, chain: Chain, units: list[Unit]) -> list[Batch]:
    """Builds batches of blocks that may have been skipped; others have their rows already, and a history would repeat them.

    A block that was read anyway, to test its bloom, is replaced by the same rows.
    """
    position = to_position(chain, of_one=plans.is_alone)
    built = []
    for index, plan in enumerate(plans.of_logs.plans):
        rows: list[Row] = []
        operations = bytearray()
        for unit in units:
            part = unit.parts[index]
            if part.is_outside_bloom and part.rows:
                rows += [(part.header.hash,), *part.rows]
                operations += bytes([Operation.REPLACE, *[Operation.UPSERT] * len(part.rows)])
        size = max(1, sum(unit.parts[index].size for unit in units))
        place = None if plans.is_alone else place_of_plan(plan)
        built.append(
            Batch(plan.schema, rows, position, bytes(operations) if rows else None, size=size, place=place, more=True)
        )
    built[-1].more = False
    return built
