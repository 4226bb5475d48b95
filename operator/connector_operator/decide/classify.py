"""Turns facts and memory into the inputs of the tables."""

from __future__ import annotations

from datetime import datetime

from connector_operator.decide import backoff, termination
from connector_operator.decide.facts import Facts, JobFacts
from connector_operator.decide.image import follows_image_now
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
from connector_operator.decide.orders import Standing, find_standing
from connector_operator.decide.sharing import find_asker
from connector_operator.decide.stream_facts import StreamFacts
from connector_operator.resources import names
from connector_operator.resources.connector import whole_hash
from connector_operator.resources.dataset import Resolution
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.kinds.connector_status import ConnectorStatus


def classify(facts: Facts, memory: ConnectorStatus, streams: StreamFacts) -> tuple[Inputs, ListingInputs]:
    """The inputs for both tables; `memory` is the status after `fold`."""
    request, gate = _request(facts), _gate(facts, memory, streams)
    past = _memory(facts, memory) if request is Request.RUNNING else Memory.CLEAR
    execution = _execution(facts, memory, request, gate, past)
    return Inputs(request, execution, gate, past), _listing(facts, memory, streams, request)


def _request(facts: Facts) -> Request:
    """An unknown value (from an API server without our schema) counts as absent."""
    seen = facts.seen
    if seen.is_deleting:
        return Request.DELETED
    return {"running": Request.RUNNING, "stopped": Request.STOPPED}.get(seen.wanted, Request.ABSENT)


def _gate(facts: Facts, memory: ConnectorStatus, streams: StreamFacts) -> Gate:
    """The first thing that prevents a start."""
    seen = facts.seen
    if seen.spec is None or facts.problems:
        return Gate.INVALID
    if not streams.is_fresh:
        return Gate.REFUSED if memory.discovery.refused and streams.has_failed else Gate.UNDISCOVERED
    if not seen.spec.asked:
        return Gate.UNSELECTED
    if not streams.has_selected:
        return Gate.UNDISCOVERED if streams.is_cut_short else Gate.UNKNOWN
    return {Resolution.MISSING: Gate.HOMELESS, Resolution.INVALID: Gate.MISDIRECTED}.get(
        seen.dataset.resolution, Gate.OPEN
    )


def _memory(facts: Facts, memory: ConnectorStatus) -> Memory:
    """How earlier executions of the same spec prevent a start now."""
    retry, seen = memory.retry, facts.seen
    if (
        seen.spec is None
        or not retry.outcome
        or retry.spec_hash != whole_hash(facts.hashes.spec, facts.hashes.selection)
    ):
        return Memory.CLEAR
    if seen.dataset.hash and retry.dataset_hash != seen.dataset.hash:
        return Memory.CLEAR
    if retry.outcome in _FINAL:
        return _FINAL[retry.outcome]
    if memory.update.run and memory.update.image != seen.policy.image:
        return Memory.CLEAR  # it failed with an image that has been changed since
    if retry.outcome == termination.DISRUPTED or backoff.is_due(retry.at, seen.now):
        return Memory.CLEAR
    if retry.outcome == termination.REFUSED:
        is_new = seen.take_over is not None and memory.ordered.take_over != facts.hashes.take_over
        return Memory.CLEAR if is_new else Memory.REFUSED
    return Memory.FAILING if retry.failures >= backoff.FAILING_FROM else Memory.CRASHED


_FINAL = {termination.COMPLETED: Memory.COMPLETED, termination.FENCED: Memory.FENCED}


def _execution(facts: Facts, memory: ConnectorStatus, request: Request, gate: Gate, past: Memory) -> Execution:
    """Which Jobs and pods of executions exist."""
    seen = facts.seen
    if facts.unrecorded is not None and seen.pods is None:
        return Execution.UNSEEN
    if len(facts.live) > 1:
        return Execution.SURPLUS
    if facts.live:
        return _live_execution(facts, memory, facts.live[0], gate)
    if any(j.role == names.ROLE_RUNNER and _is_leaving(facts, memory, j) for j in seen.jobs):
        return Execution.ENDING
    if seen.pods is None:
        may_start = request is Request.RUNNING and gate is Gate.OPEN and past is Memory.CLEAR
        return Execution.UNSEEN if may_start or memory.state.exec_id else Execution.NONE
    return _left_execution(facts, request)


def _left_execution(facts: Facts, request: Request) -> Execution:
    """What exists when no Job is left, by the pods."""
    left = [p for p in facts.alive_pods if request is not Request.RUNNING or p.name not in facts.lost_pods]
    if not left:
        return Execution.NONE
    if all(p.is_orphan and p.deleting is None for p in left):
        return Execution.ORPHANED
    return Execution.STRANDED if all(p.name in facts.lost_pods for p in left) else Execution.ENDING


def _live_execution(facts: Facts, memory: ConnectorStatus, live: JobFacts, gate: Gate) -> Execution:
    """The state of the only live execution."""
    seen, job = facts.seen, live.job
    pods = [p.name for p in facts.alive_pods if p.job == job.name]
    if pods and facts.lost_pods.issuperset(pods):
        return Execution.LOST
    if job.is_altered or live.outlived_code is not None or (job.is_suspended and _has_run(facts, memory, job)):
        return Execution.SPENT
    outdated = Execution.BARRED if seen.dry_run is not None and seen.dry_run.refusal else Execution.OUTDATED
    if seen.spec is None or job.spec_hash != facts.hashes.spec:
        return outdated
    if seen.dataset.hash and job.dataset_hash != seen.dataset.hash:
        return outdated if seen.has_turn or not job.ready else Execution.QUEUED
    if live.has_outdated_form or (gate is Gate.OPEN and follows_image_now(facts, memory, live)):
        return outdated
    return _current_execution(facts, memory, job)


def _current_execution(facts: Facts, memory: ConnectorStatus, job: ObservedJob) -> Execution:
    """The state of a live execution that was made from the present spec."""
    if job.is_suspended:
        return Execution.SUSPENDED
    match find_standing(facts, memory, job):
        case Standing.UNSENT:
            return Execution.BEHIND
        case Standing.SENT if job.ready:
            return Execution.BEHIND
        case Standing.DECLINED if job.ready:
            return Execution.DECLINED
    return Execution.READY if job.ready else Execution.WAITING


def _has_run(facts: Facts, memory: ConnectorStatus, job: ObservedJob) -> bool:
    """Whether an execution is known to have been ready: if its Job were resumed, it would run a second pod."""
    healthy = facts.conditions.get("RunnerHealthy")
    was_healthy = healthy is not None and healthy.status == "True"
    is_reported = was_healthy and names.job_of_execution(facts.seen.status.state.exec_id) == job.name
    return is_reported or memory.last_execution.run == job.run


def _is_leaving(facts: Facts, memory: ConnectorStatus, job: ObservedJob) -> bool:
    """Whether a Job that is not live may still have a pod: Kubernetes may mark a Job failed before its pod is removed.

    A Job that is deleted in the foreground goes after its pod. One of the history that somebody deletes does not
    count: its end is already recorded.
    """
    seen, last = facts.seen, memory.last_execution
    if _is_expired(facts, job.deleting):
        return False
    if job.finished is None:
        return True
    return job.deleting is not None and job.owner == seen.uid and job.run == last.run and not last.finished_at


def _is_expired(facts: Facts, deleting: datetime | None) -> bool:
    """Whether a deleted Job has outlived its pods' grace period, so that only the pods show what still runs."""
    policy = facts.seen.policy
    return deleting is not None and facts.seen.now > deleting + policy.grace + policy.node_lost_after


def _listing(facts: Facts, memory: ConnectorStatus, streams: StreamFacts, request: Request) -> ListingInputs:
    seen, need, timer = facts.seen, Need.NO, Timer.DUE
    if seen.spec is not None and not facts.problems:
        if streams.is_list_due or (request is Request.RUNNING and streams.is_missed):
            need = Need.YES
        if streams.has_failed and seen.wanted == "stopped":
            timer = Timer.NEVER
        elif streams.next_at is not None and streams.next_at > seen.now:
            timer = Timer.LATER
    listing = _discovery(facts, memory)
    if listing is Listing.NONE and find_asker(facts, memory, streams) is not None:
        listing = Listing.SHARED
    return ListingInputs(need, listing, timer, Slot.FREE if seen.has_slot else Slot.TAKEN)


def _discovery(facts: Facts, memory: ConnectorStatus) -> Listing:
    """The state of the discovery's Job."""
    underway = [d for d in facts.discoveries if not d.is_over]
    if any(d.job.deleting is not None for d in underway):
        return Listing.ENDING
    done = facts.unread if facts.unread is not None and facts.unread.job.run > memory.discovery.attempts else None
    if underway and (done is None or len(underway) > 1):
        first = underway[0]
        is_current = len(underway) == 1 and first.is_asked_for
        is_spent = first.outlived_code is not None or first.has_outdated_form
        return Listing.ACTIVE if is_current and not is_spent else Listing.OUTDATED
    if done is None:
        return Listing.NONE
    return Listing.DONE if done.is_asked_for else Listing.OUTDATED
