"""What a decision may do to the cluster, as values, and which acts an action of the tables means."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from connector_operator.decide.classify import alive_pods, live_jobs
from connector_operator.decide.facts import is_over, own_jobs
from connector_operator.decide.inputs import Action, ListingAction
from connector_operator.decide.observation import Observation
from connector_operator.resources import names
from connector_operator.resources.connector import ConnectorStatus
from connector_operator.resources.times import parse_time
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.manifest import TakeOver


class CreateRunner(msgspec.Struct, frozen=True):
    """Create the Job of the execution that the status has reserved; `unmoved`: see `Held.mark`; `take_over`: see the spec."""

    job: str
    run: int
    unmoved: str = ""
    take_over: TakeOver | None = None


class CreateDiscovery(msgspec.Struct, frozen=True):
    """Create the Job that lists the streams."""

    job: str
    attempt: int


class DeleteJob(msgspec.Struct, frozen=True):
    """Delete a Job; in the foreground it stays until its pods are gone. `uid` "": whichever has the name."""

    job: str
    uid: str
    in_foreground: bool


LATE_WATCH = timedelta(seconds=30)
"""Longer than a Job that was made takes to show in the watch."""
JobAction = CreateRunner | CreateDiscovery | DeleteJob


def next_run(seen: Observation, status: ConnectorStatus) -> int:
    """The run to reserve: the one that is reserved already, if its Job was never seen, else one more than ever."""
    reserved = names.job_of_execution(status.state.exec_id)
    is_unused = (
        status.run > max(status.last_execution.run, status.held.run)
        and status.run not in seen.vanished
        and reserved == names.execution_job_name(seen.name, seen.uid, status.run)
    )
    return status.run if is_unused else max([status.run, status.held.run, *seen.vanished]) + 1


def execution_actions(seen: Observation, status: ConnectorStatus, action: Action) -> tuple[JobAction, ...]:
    """The acts of a row of the table of executions; `status` has the run reserved."""
    if action is Action.START:
        job = names.execution_job_name(seen.name, seen.uid, status.run)
        return (CreateRunner(job, status.run, status.held.mark, seen.take_over),)
    live = live_jobs(seen)
    if action is Action.STOP:
        return tuple(_leave(job) for job in live)
    if action is Action.TRIM:
        return tuple(_leave(job) for job in live[:-1])
    if action is Action.CLEAR:
        return _clear(seen, status)
    return ()


def _clear(seen: Observation, status: ConnectorStatus) -> tuple[JobAction, ...]:
    """Deletes what stands in the way of the next execution and is not on its way out yet."""
    foreign = [j for j in seen.jobs if j.role == names.ROLE_RUNNER and j.owner != seen.uid]
    known = {job.name for job in seen.jobs}
    if status.run not in seen.vanished and not _is_long_unready(seen):
        # The watch may only be late: it may be this connector's own, and healthy.
        known.add(names.job_of_execution(status.state.exec_id))
    left = {p.job for p in alive_pods(seen) if p.deleting is None and not p.is_orphan and p.job}
    return (
        *(_leave(job) for job in foreign if job.finished is None and job.deleting is None),
        *(DeleteJob(job, "", in_foreground=True) for job in sorted(left - known)),
    )


def _is_long_unready(seen: Observation) -> bool:
    """Whether it lasts so long that no watch is late: its Job has lost its label while nobody looked."""
    ready = next((c for c in seen.status.conditions if c.type == "Ready" and c.status == "False"), None)
    since = parse_time(ready.last_transition_time) if ready is not None else None
    return since is not None and seen.now - since > LATE_WATCH


def listing_actions(seen: Observation, status: ConnectorStatus, action: ListingAction) -> tuple[JobAction, ...]:
    """The acts of a row of the table of discoveries."""
    jobs = own_jobs(seen, names.ROLE_DISCOVERY)
    if action is ListingAction.START:
        attempt = max([status.discovery.attempts, seen.vanished_attempts, *(job.run for job in jobs)]) + 1
        return (CreateDiscovery(names.discovery_job_name(seen.name, seen.uid, attempt), attempt),)
    if action is ListingAction.CANCEL:
        return tuple(
            _leave(job)
            for job in jobs
            if job.deleting is None and (job.finished is None or job.run > status.discovery.attempts)
        )
    return ()


def _leave(job: ObservedJob) -> DeleteJob:
    return DeleteJob(job.name, job.uid, in_foreground=True)


def prune(seen: Observation) -> tuple[JobAction, ...]:
    """Finished Jobs beyond the history, and only those that the *stored* status has taken in.

    Also those that a namesake left when it was deleted with `--cascade=orphan`: nothing else would ever remove them.
    """
    orphans = [j for j in seen.jobs if not j.owner and j.finished is not None and j.deleting is None]
    runners = [
        j
        for j in own_jobs(seen, names.ROLE_RUNNER)
        if j.finished is not None and j.deleting is None and j.run <= seen.status.last_execution.run
    ]
    failed, done = [j for j in runners if not j.finished], [j for j in runners if j.finished]
    listings = [
        j
        for j in own_jobs(seen, names.ROLE_DISCOVERY)
        if is_over(j, seen.now, seen.policy) and j.deleting is None and j.run <= seen.status.discovery.attempts
    ]
    kept = {j.name for j in failed[max(0, len(failed) - seen.policy.failed_history) :]}
    kept |= {j.name for j in done[max(0, len(done) - seen.policy.completed_history) :]}
    if seen.status.discovery.failures:  # the log of the last failed attempt may be wanted
        kept |= {j.name for j in listings[-1:] if j.finished is False}
    return tuple(
        DeleteJob(j.name, j.uid, in_foreground=False) for j in [*runners, *listings, *orphans] if j.name not in kept
    )
