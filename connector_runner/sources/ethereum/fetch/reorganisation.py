"""Replaces a branch of the chain in one transaction over all streams."""

from __future__ import annotations

import asyncio

from connector_runner.protocols.batch import Batch
from connector_runner.sources.ethereum.chain import Chain, ancestor_at, check_depth, lowest_ancestor
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.errors import StaleAnswerError
from connector_runner.sources.ethereum.fetch.batches import build_batches, settle
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.fetch.plan_set import PlanSet, Unit
from connector_runner.sources.ethereum.fetch.prefetch import MOST_AHEAD
from connector_runner.sources.ethereum.rpc.gathering import gather_all


async def replace_branch(
    fetcher: Fetcher, plans: PlanSet, chain: Chain, head: Header, top: int
) -> tuple[list[Batch], Chain, int]:
    """Walks back from block `top` to the common ancestor, and makes one transaction of retractions and replacements.

    Returns:
        The batches of the transaction, the chain after it and the number of orphans.

    Raises:
        DeepReorganisationError: There is no common ancestor in the ring.
        StaleAnswerError: The chain changed while it was read; or block `top`, which was reported to differ, does not (the node
            changed its chain, or another replica at the same address answered).
    """
    number = top
    while True:
        check_depth(chain, number)
        if number < chain.oldest and number == lowest_ancestor(chain):
            break
        if ancestor_at(chain, (await fetcher.header(number))[0]):
            break
        number -= 1
    if number == top:
        raise StaleAnswerError(f"the node reported another chain, but its block {top} is the dataset's")
    orphans = chain.orphans(number)
    replaced = branch = chain.cut(number)
    units = await _branch(fetcher, plans, number + 1, min(head.number, chain.number))
    for unit in units:
        if not replaced.is_parent_of(unit.header) or unit.header.hash in orphans:
            raise StaleAnswerError(
                f"the chain changed again at block {unit.header.number} while its new branch was read"
            )
        replaced = replaced.extended(unit.header)
    replaced, incidents = settle(branch, units, fetcher.prover)
    return build_batches(plans, replaced, units, orphans, incidents), replaced, len(orphans)


async def _branch(fetcher: Fetcher, plans: PlanSet, first: int, last: int) -> list[Unit]:
    limit = asyncio.Semaphore(MOST_AHEAD)

    async def one(number: int) -> list[Unit]:
        async with limit:
            return await plans.fetch_block(fetcher, number)

    return [unit for units in await gather_all(map(one, range(first, last + 1))) for unit in units]
