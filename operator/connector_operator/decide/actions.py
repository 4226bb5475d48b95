"""What a decision may do to the cluster, as values, and which of these the action of a row means."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from connector_operator.decide.case import Case
from connector_operator.decide.facts import Facts
from connector_operator.decide.orders import has_orders, next_writing
from connector_operator.decide.outputs import Action, ListingAction
from connector_operator.decide.peers import Peers
from connector_operator.resources import names
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.kinds.connector_status import ConnectorStatus
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.manifest import TakeOver


class CreateRunner(msgspec.Struct, frozen=True):
    """Create the Job of the execution that the status has reserved.

    Attributes:
        unmoved: See `Held.mark`.
        take_over: See the spec.
    """

    job: str
    run: int
    unmoved: str = ""
    take_over: TakeOver | None = None


class CreateDiscovery(msgspec.Struct, frozen=True):
    """Create the Job that lists the streams.

    Attributes:
        also: Streams that other connectors have selected which wait for the same list.
        selections: Their selections of many streams.
    """

    job: str
    attempt: int
    also: tuple[str, ...] = ()
    selections: tuple[StreamsSpec, ...] = ()


class DeleteJob(msgspec.Struct, frozen=True):
    """Delete a Job.

    Attributes:
        uid: Of the Job to delete; "" for whichever Job has the name.
        in_foreground: The Job stays until its pods are gone.
    """

    job: str
    uid: str
    in_foreground: bool


class SendOrders(msgspec.Struct, frozen=True):
    """Write the selection that a live execution is to carry from now on.

    Attributes:
        job, uid: Its Job.
        streams: The selection.
    """

    job: str
    uid: str
    streams: StreamsSpec


LATE_WATCH = timedelta(seconds=30)
"""Longer than it takes until the watch shows a Job that was created."""
JobAction = CreateRunner | CreateDiscovery | DeleteJob | SendOrders


def plan_actions(case: Case) -> tuple[JobAction, ...]:
    """The actions of both rows; run and attempt are already reserved in the memory."""
    return _of_execution(case) + _of_listing(case) + _of_orders(case)


def _of_execution(case: Case) -> tuple[JobAction, ...]:
    action, facts, memory = case.row.action, case.facts, case.memory
    if action is Action.START:
        job = names.execution_job_name(facts.seen.name, facts.seen.uid, memory.run)
        return (CreateRunner(job, memory.run, memory.held.mark, facts.seen.take_over),)
    if action is Action.STOP:
        return tuple(_leave(live.job) for live in facts.live)
    if action is Action.TRIM:
        return tuple(_leave(live.job) for live in facts.live[:-1])
    return _clear(case) if action is Action.CLEAR else ()


def _of_orders(case: Case) -> tuple[JobAction, ...]:
    """Keeps the orders of a live execution as they were sent: also when somebody else has changed or deleted them."""
    facts, spec = case.facts, case.facts.seen.spec
    if case.row.action not in {Action.SEND, Action.NOTHING} or spec is None or spec.streams is None:
        return ()
    if not has_orders(facts, case.memory) or next_writing(facts) > facts.seen.now:
        return ()
    job = facts.live[0].job
    return (SendOrders(job.name, job.uid, spec.streams),)


def _clear(case: Case) -> tuple[JobAction, ...]:
    """Deletes what blocks the next execution and is not being deleted yet."""
    facts, memory, seen = case.facts, case.memory, case.facts.seen
    foreign = [j for j in seen.jobs if j.role == names.ROLE_RUNNER and j.owner != seen.uid]
    known = {job.name for job in seen.jobs}
    if memory.run not in seen.vanished and not _is_long_unready(facts):
        # The watch may only be late: the Job may be this connector's own, and healthy.
        known.add(names.job_of_execution(memory.state.exec_id))
    left = {p.job for p in facts.alive_pods if p.deleting is None and not p.is_orphan and p.job}
    return (
        *(_leave(job) for job in foreign if job.finished is None and job.deleting is None),
        *(DeleteJob(job, "", in_foreground=True) for job in sorted(left - known)),
    )


def _is_long_unready(facts: Facts) -> bool:
    """Whether Ready has been False for longer than a watch can be late: then the Job lost its label unobserved."""
    return facts.unready_since is not None and facts.seen.now - facts.unready_since > LATE_WATCH


def _of_listing(case: Case) -> tuple[JobAction, ...]:
    facts, action, discovery = case.facts, case.listing_row.action, case.memory.discovery
    if action is ListingAction.START:
        attempt = discovery.ordered.run
        job = names.discovery_job_name(facts.seen.name, facts.seen.uid, attempt)
        peers = facts.seen.peers or Peers()
        return (CreateDiscovery(job, attempt, peers.also, peers.selections),)
    if action is not ListingAction.CANCEL:
        return ()
    return tuple(
        _leave(d.job)
        for d in facts.discoveries
        if d.job.deleting is None and (d.job.finished is None or d.job.run > discovery.attempts)
    )


def _leave(job: ObservedJob) -> DeleteJob:
    return DeleteJob(job.name, job.uid, in_foreground=True)


def prune(facts: Facts, status: ConnectorStatus) -> tuple[JobAction, ...]:
    """Deletions of the finished Jobs beyond the history limits, and only of those that a *stored* status has recorded.

    Also of those of an earlier namesake that was deleted with `--cascade=orphan`: nothing else would ever remove them.
    """
    seen = facts.seen
    orphans = [j for j in seen.jobs if not j.owner and j.finished is not None and j.deleting is None]
    ended = [e.job for e in facts.executions if e.job.finished is not None and e.job.deleting is None]
    runners = [j for j in ended if j.run <= status.last_execution.run]
    failed, done = [j for j in runners if not j.finished], [j for j in runners if j.finished]
    over = [d.job for d in facts.discoveries if d.is_over and d.job.deleting is None]
    listings = [j for j in over if j.run <= status.discovery.attempts]
    kept = {j.name for j in failed[max(0, len(failed) - seen.policy.failed_history) :]}
    kept |= {j.name for j in done[max(0, len(done) - seen.policy.completed_history) :]}
    if status.discovery.failures:  # the log of the last failed attempt may be needed
        kept |= {j.name for j in listings[-1:] if j.finished is False}
    return tuple(
        DeleteJob(j.name, j.uid, in_foreground=False) for j in [*runners, *listings, *orphans] if j.name not in kept
    )
