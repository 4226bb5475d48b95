"""From an observation to the words of the tables."""

from __future__ import annotations

from datetime import datetime, timedelta

from connector_operator.decide import backoff, termination
from connector_operator.decide.facts import (
    discovery_subject,
    has_outdated_form,
    is_asked_for,
    is_underway,
    outlived_code,
    own_jobs,
    problems_of,
    undone_discovery,
    unrecorded,
)
from connector_operator.decide.inputs import (
    Execution,
    Gate,
    Inputs,
    Listing,
    ListingInputs,
    Memory,
    Need,
    Request,
    Slot,
    Timer,
)
from connector_operator.decide.observation import Observation
from connector_operator.resources import names
from connector_operator.resources.connector import ConnectorStatus, config_hash, spec_hash, take_over_hash
from connector_operator.resources.dataset import Resolution
from connector_operator.resources.times import parse_time
from connector_operator.resources.workload import ObservedJob, ObservedPod

MISS_DELAY = (timedelta(seconds=30), timedelta(minutes=10))


def classify(seen: Observation, status: ConnectorStatus) -> Inputs:
    """Which row of the table of executions to look for; `status` is the memory after `fold`."""
    request = classify_request(seen)
    gate = classify_gate(seen, status)
    memory = classify_memory(seen, status) if request is Request.RUNNING else Memory.CLEAR
    starts = request is Request.RUNNING and gate is Gate.OPEN and memory is Memory.CLEAR
    return Inputs(request, classify_execution(seen, status, request, starts), gate, memory)


def classify_request(seen: Observation) -> Request:
    """What is asked for; an unknown word (an API server without our schema) counts as absent."""
    if seen.is_deleting:
        return Request.DELETED
    return Request(seen.wanted) if seen.wanted in {"running", "stopped"} else Request.ABSENT


def is_fresh(seen: Observation, status: ConnectorStatus) -> bool:
    """Whether the streams in status are those of the spec's configuration."""
    return (
        seen.spec is not None and bool(status.discovery.at) and status.discovery.config_hash == config_hash(seen.spec)
    )


def is_listed(status: ConnectorStatus, stream: str) -> bool:
    """Whether a stream is among those in status."""
    return any(known.id == stream for known in status.streams)


def lacks_selected(seen: Observation, status: ConnectorStatus) -> bool:
    """Whether the list in status was cut, and made without regard to the stream that is now selected."""
    selected = seen.spec.selected_stream if seen.spec else ""
    is_cut = status.streams_total > len(status.streams)
    return bool(selected) and is_cut and not is_listed(status, selected) and status.discovery.stream != selected


def classify_gate(seen: Observation, status: ConnectorStatus) -> Gate:
    """The first thing that stands between the spec and a start."""
    if seen.spec is None or problems_of(seen):
        return Gate.INVALID
    if not is_fresh(seen, status):
        return Gate.REFUSED if status.discovery.refused and has_failed(seen, status) else Gate.UNDISCOVERED
    if not seen.spec.selected_stream:
        return Gate.UNSELECTED
    if lacks_selected(seen, status):
        return Gate.UNDISCOVERED
    if not is_listed(status, seen.spec.selected_stream):
        return Gate.UNKNOWN
    if seen.dataset.resolution is Resolution.MISSING:
        return Gate.HOMELESS
    return Gate.MISDIRECTED if seen.dataset.resolution is Resolution.INVALID else Gate.OPEN


def classify_memory(seen: Observation, status: ConnectorStatus) -> Memory:
    """What earlier executions of the same orders say against a start now."""
    retry = status.retry
    if seen.spec is None or not retry.outcome or retry.spec_hash != spec_hash(seen.spec):
        return Memory.CLEAR
    if seen.dataset.hash and retry.dataset_hash != seen.dataset.hash:
        return Memory.CLEAR
    if retry.outcome == termination.COMPLETED:
        return Memory.COMPLETED
    if retry.outcome == termination.FENCED:
        return Memory.FENCED
    if retry.outcome == termination.DISRUPTED or backoff.is_due(retry.at, seen.now):
        return Memory.CLEAR
    if retry.outcome == termination.REFUSED:
        is_new = seen.take_over is not None and status.ordered.take_over != take_over_hash(seen.take_over)
        return Memory.CLEAR if is_new else Memory.REFUSED
    return Memory.FAILING if retry.failures >= backoff.FAILING_FROM else Memory.CRASHED


def live_jobs(seen: Observation) -> list[ObservedJob]:
    """This connector's executions that neither ended nor are being deleted, by run."""
    return [j for j in own_jobs(seen, names.ROLE_RUNNER) if j.finished is None and j.deleting is None]


def classify_execution(seen: Observation, status: ConnectorStatus, request: Request, starts: bool) -> Execution:
    """What there is of an execution; `starts`: nothing else stands against a start."""
    if unrecorded(seen) is not None and seen.pods is None:
        return Execution.UNSEEN
    live = live_jobs(seen)
    if len(live) > 1:
        return Execution.SURPLUS
    if live:
        return classify_live(seen, status, live[0])
    if any(j.role == names.ROLE_RUNNER and is_leaving(seen, status, j) for j in seen.jobs):
        return Execution.ENDING
    if seen.pods is None:
        return Execution.UNSEEN if starts or status.state.exec_id else Execution.NONE
    left = [p for p in alive_pods(seen) if request is not Request.RUNNING or not is_lost(seen, p)]
    if not left:
        return Execution.NONE
    if all(p.is_orphan and p.deleting is None for p in left):
        return Execution.ORPHANED
    return Execution.STRANDED if all(is_lost(seen, p) for p in left) else Execution.ENDING


def classify_live(seen: Observation, status: ConnectorStatus, job: ObservedJob) -> Execution:
    """What a single live execution is."""
    pods = [p for p in alive_pods(seen) if p.job == job.name]
    if pods and all(is_lost(seen, p) for p in pods):
        return Execution.LOST
    if job.is_altered or outlived_code(seen, job) is not None or (job.is_suspended and has_run(seen, status, job)):
        return Execution.SPENT
    outdated = Execution.BARRED if seen.trial is not None and seen.trial.refusal else Execution.OUTDATED
    if seen.spec is None or job.spec_hash != spec_hash(seen.spec):
        return outdated
    if seen.dataset.hash and job.dataset_hash != seen.dataset.hash:
        return outdated if seen.has_turn or not job.ready else Execution.QUEUED
    if has_outdated_form(seen, job):
        return outdated
    if job.is_suspended:
        return Execution.SUSPENDED
    return Execution.READY if job.ready else Execution.WAITING


def has_run(seen: Observation, status: ConnectorStatus, job: ObservedJob) -> bool:
    """Whether an execution is known to have been ready: a Job that is let go on would then run a second pod."""
    healthy = any(c.type == "RunnerHealthy" and c.status == "True" for c in seen.status.conditions)
    is_told = healthy and names.job_of_execution(seen.status.state.exec_id) == job.name
    return is_told or status.last_execution.run == job.run


def alive_pods(seen: Observation) -> list[ObservedPod]:
    """Runner pods under this connector's name whose process may still run, an earlier namesake's included."""
    return [p for p in seen.pods or () if p.role == names.ROLE_RUNNER and p.is_alive]


def is_lost(seen: Observation, pod: ObservedPod) -> bool:
    """Whether a pod should have gone long ago: its grace (which deletionTimestamp includes) and a minute are over."""
    return pod.deleting is not None and seen.now > pod.deleting + seen.policy.node_lost_after


def is_leaving(seen: Observation, status: ConnectorStatus, job: ObservedJob) -> bool:
    """Whether a Job that is not live still stands for a pod: Kubernetes may mark one failed before its pod is removed.

    A Job that is deleted in the foreground goes after its pod; one of the history that somebody deletes means nothing.
    """
    if job.finished is None:
        return not is_expired(seen, job.deleting)
    last = status.last_execution
    is_told = job.deleting is not None and job.owner == seen.uid and job.run == last.run and not last.finished_at
    return is_told and not is_expired(seen, job.deleting)


def is_expired(seen: Observation, deleting: datetime | None) -> bool:
    """Whether a deleted Job has outlived its pods' grace, so that only its pods can tell."""
    return deleting is not None and seen.now > deleting + seen.policy.grace + seen.policy.node_lost_after


def has_failed(seen: Observation, status: ConnectorStatus) -> bool:
    """Whether the last attempts to list what the spec asks for failed."""
    if seen.spec is None or not status.discovery.failures:
        return False
    return status.discovery.failed_for == discovery_subject(seen)


def classify_listing(seen: Observation, status: ConnectorStatus) -> ListingInputs:
    """Which row of the table of discoveries to look for."""
    need, timer = Need.NO, Timer.DUE
    if seen.spec is not None and not problems_of(seen):
        missed = classify_request(seen) is Request.RUNNING and is_missed(seen, status)
        if is_asked_anew(seen, status) or missed:
            need = Need.YES
        at = next_listing(seen, status)
        if has_failed(seen, status) and seen.wanted == "stopped":
            timer = Timer.NEVER
        elif at is not None and at > seen.now:
            timer = Timer.LATER
    slot = Slot.FREE if seen.has_slot else Slot.TAKEN
    return ListingInputs(need, _classify_job(seen, status), timer, slot)


def is_asked_anew(seen: Observation, status: ConnectorStatus) -> bool:
    """Whether the streams must be listed again, whatever they are."""
    if not is_fresh(seen, status) or lacks_selected(seen, status):
        return True
    return seen.spec is not None and status.discovery.rediscover_at != seen.spec.rediscover_at


def is_missed(seen: Observation, status: ConnectorStatus) -> bool:
    """Whether a stream is selected that the source did not have when it was last asked."""
    selected = seen.spec.selected_stream if seen.spec else ""
    return bool(selected) and not is_listed(status, selected)


def next_listing(seen: Observation, status: ConnectorStatus) -> datetime | None:
    """When the next attempt to list the streams is due; None: at once."""
    if has_failed(seen, status):
        return parse_time(status.discovery.retry_at)
    at = parse_time(status.discovery.at)
    if at is None or is_asked_anew(seen, status) or not is_missed(seen, status):
        return None
    return at + backoff.delay_after(max(status.discovery.misses, 1), MISS_DELAY, seen.uid)


def _classify_job(seen: Observation, status: ConnectorStatus) -> Listing:
    jobs = [j for j in own_jobs(seen, names.ROLE_DISCOVERY) if is_underway(j, seen.now, seen.policy)]
    if any(j.deleting is not None for j in jobs):
        return Listing.ENDING
    done = undone_discovery(seen)
    if jobs and (done is None or done.run <= status.discovery.attempts or len(jobs) > 1):
        job, is_alone = jobs[0], len(jobs) == 1
        is_over = outlived_code(seen, job) is not None or has_outdated_form(seen, job)
        return Listing.ACTIVE if is_alone and is_asked_for(seen, job) and not is_over else Listing.OUTDATED
    if done is None or done.run <= status.discovery.attempts:
        return Listing.NONE
    return Listing.DONE if is_asked_for(seen, done) else Listing.OUTDATED
