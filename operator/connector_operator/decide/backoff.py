"""When the next execution or discovery may start: what is remembered of failures, and delays that double."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime, timedelta

from connector_operator.decide.observation import Policy
from connector_operator.decide.termination import CRASHED, DISRUPTED, FENCED, REFUSED, Ending
from connector_operator.resources.connector import whole_hash
from connector_operator.resources.times import format_time, parse_time
from connector_operator.resources.workload import ObservedJob
from connector_runner.resilience.backoff import backoff_delay
from connector_runner.schemas.kinds.connector_status import Discovery, Retry

CRASH_DELAY = (timedelta(seconds=1), timedelta(minutes=5))
REFUSED_DELAY = (timedelta(seconds=30), timedelta(minutes=10))
DISCOVERY_DELAY = (timedelta(seconds=2), timedelta(minutes=5))
HELD_BACK_DELAY = (timedelta(seconds=30), timedelta(minutes=5))
"""The same if the deadline came before the container had started: the next pod will hardly start sooner."""
MISS_DELAY = (timedelta(seconds=30), timedelta(minutes=10))
"""Delays before the streams are listed again because the source did not have the selected one."""
STILL = timedelta(minutes=1)
"""A dataset that another run of the connector holds is taken over only when its checkpoint has not moved for this long
(a runner with nothing to write moves it every two seconds)."""
_JITTER = (0.9, 1.1)
FAILING_FROM = 5
"""A connector is errored after this many consecutive failures."""
SHORTEST_CALM = timedelta(minutes=1)
"""A run that is disrupted sooner, and not for the first time, counts as a crash. Else a node that evicts everything,
or somebody who deletes or suspends each Job, would make the operator spin."""


def delay_after(failures: int, limits: tuple[timedelta, timedelta], seed: str) -> timedelta:
    """Doubles from the first limit to the second; a jitter of a tenth, fixed by the seed, spreads retries."""
    first, longest = (limit.total_seconds() for limit in limits)
    chance = hashlib.sha256(seed.encode()).digest()[0] / 255
    exact = backoff_delay(max(failures - 1, 0), first, longest, chance, _JITTER)
    return timedelta(seconds=math.ceil(round(exact, 6)))  # whole seconds, like the times in a status


def listing_delay(failed: Discovery, job: str) -> timedelta:
    """The delay before the streams are listed again; the same for all that waited for the Job of that name."""
    limits = REFUSED_DELAY if failed.refused else HELD_BACK_DELAY if failed.held_back else DISCOVERY_DELAY
    return delay_after(failed.failures, limits, job)


def next_retry(before: Retry, job: ObservedJob, ending: Ending, ended: datetime, policy: Policy) -> Retry:
    """What is remembered after an execution ended.

    Failures add up only for the same spec and Dataset, and only if the runs were unstable.
    """
    made_from = whole_hash(job.spec_hash, job.selection)
    same = before.spec_hash == made_from and before.dataset_hash == job.dataset_hash
    duration = ended - (job.started or ended)
    failures = before.failures if same and duration < policy.stable_after else 0
    outcome = ending.outcome
    if outcome == DISRUPTED and duration < SHORTEST_CALM and before.outcome in {DISRUPTED, CRASHED}:
        outcome = CRASHED
    wait = timedelta(0)
    if outcome in {CRASHED, REFUSED, FENCED}:
        failures += 1
        if outcome == REFUSED:
            wait = delay_after(failures, REFUSED_DELAY, job.uid)
            wait = max(wait, STILL) if ending.held.mark else wait
        elif duration < policy.stable_after:
            wait = delay_after(failures, CRASH_DELAY, job.uid)
    since = before.since if failures > 1 and before.since else format_time(ended) if failures else ""
    return Retry(outcome, failures, since, format_time(ended + wait), made_from, job.dataset_hash)


def is_due(at: str, now: datetime) -> bool:
    """Whether a remembered time has come; an unreadable time counts as come."""
    moment = parse_time(at)
    return moment is None or moment <= now
