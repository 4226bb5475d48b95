"""When to look again even if nothing happens: the earliest moment at which time alone changes the decision."""

from __future__ import annotations

from datetime import datetime, timedelta

from connector_operator.decide.actions import prune
from connector_operator.decide.case import Case
from connector_operator.decide.facts import Facts
from connector_operator.decide.image import settles_at
from connector_operator.decide.orders import next_orders
from connector_operator.decide.outputs import Wake
from connector_operator.resources.times import parse_time

_FIRST_LOOK, _LAST_LOOK = timedelta(seconds=5), timedelta(seconds=60)
_PEER_LOOK = timedelta(seconds=15)
"""A connector that waits for another's discovery is woken when that ends; this is for an end that nobody noticed."""
_SOONEST = timedelta(milliseconds=200)


def next_wake(case: Case) -> datetime | None:
    """The earliest moment to look again; None: only when something happens."""
    facts, now = case.facts, case.facts.seen.now
    moments = [_of_row(case), *(next_look(job.created, now) for job in case.waiting)]
    if case.listing_row.waits_for_peer:
        moments.append(now + _PEER_LOOK)
    if case.listing_row.wakes:
        moments.append(case.streams.next_at)
    moments += [d.overdue_at for d in facts.discoveries if d.job.finished is None]
    moments += next_orders(facts, case.memory)
    if prune(facts, case.memory):
        moments.append(now)  # what this status records may be removed once it is stored
    if case.memory.update.run:
        moments.append(settles_at(facts, case.memory, case.inputs.execution))
    later = [max(moment, now + _SOONEST) for moment in moments if moment is not None]
    return min(later, default=None)


def _of_row(case: Case) -> datetime | None:
    seen = case.facts.seen
    match case.row.wake:
        case Wake.RETRY | Wake.RETRY_OR_CHANGE:
            return parse_time(case.memory.retry.at)
        case Wake.DRY_RUN:
            return seen.dry_run.again if seen.dry_run is not None else None
        case Wake.LEAVE:
            return _next_leave(case.facts)
        case Wake.LEFT_POD:
            return next_look(case.facts.unready_since, seen.now)
        case Wake.NONE:
            return None


def _next_leave(facts: Facts) -> datetime:
    """When to check a deletion: a Job that goes sends an event, but pods without a Job have none that we watch."""
    seen, policy = facts.seen, facts.seen.policy
    limit = policy.grace + policy.node_lost_after + timedelta(seconds=1)
    deleting = [j.deleting + limit for j in seen.jobs if j.deleting is not None and j.deleting + limit > seen.now]
    return min(deleting, default=seen.now + timedelta(seconds=2))


def next_look(since: datetime | None, now: datetime) -> datetime:
    """When to check a pod that is not ready, or left over: after five seconds, then less and less often."""
    age = max(now - (since or now), timedelta(0))
    return now + min(max(age / 2, _FIRST_LOOK), _LAST_LOOK)
