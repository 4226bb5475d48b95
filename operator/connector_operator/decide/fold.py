"""What was observed becomes memory: ended executions and discoveries are taken into the status, once."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from connector_operator.decide import backoff, termination
from connector_operator.decide.facts import (
    discovery_subject,
    has_listed,
    has_outstayed,
    is_asked_for,
    outlived_code,
    own_jobs,
    undone_discovery,
    unrecorded,
)
from connector_operator.decide.observation import Observation
from connector_operator.resources import names
from connector_operator.resources.connector import (
    ConnectorStatus,
    Discovery,
    LastExecution,
)
from connector_operator.resources.times import format_time
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.catalogue import CatalogueSummary, with_unique_streams
from connector_runner.schemas.outcome import ExitCode

replace = msgspec.structs.replace
_KILLED = 137


def fold(seen: Observation) -> ConnectorStatus:
    """The status as far as it is memory: nothing is decided here."""
    status = _fold_execution(seen, seen.status)
    return _fold_discovery(seen, status)


def _fold_execution(seen: Observation, status: ConnectorStatus) -> ConnectorStatus:
    jobs = own_jobs(seen, names.ROLE_RUNNER)
    highest = max([status.run, *(job.run for job in jobs)])
    status = replace(status, run=highest)
    job = unrecorded(seen)
    if job is not None and seen.pods is not None:
        return _record(seen, status, job)
    last = status.last_execution
    taken = next((j for j in jobs if j.deleting is not None and j.run > last.run), None)
    if taken is not None:
        return _record_deleted(seen, status, taken)
    gone = seen.vanished.get(status.run) if status.state.exec_id and status.run > last.run else None
    if gone is None or any(j.run == status.run for j in jobs):
        return status
    if gone.finished is not None:  # ended, and then taken away (a time to live) before anybody looked
        return _record(seen, status, gone)
    status = _record_deleted(seen, status, gone)
    return replace(status, last_execution=finish(seen, status.last_execution))


def _record(seen: Observation, status: ConnectorStatus, job: ObservedJob) -> ConnectorStatus:
    return record_ending(seen, status, job, termination.read_ending(job, seen.pods or ()))


def record_ending(
    seen: Observation, status: ConnectorStatus, job: ObservedJob, ending: termination.Ending
) -> ConnectorStatus:
    """Takes in how an execution ended, and what follows from it for the next."""
    pods = seen.pods or ()
    pod = next((p for p in pods if p.job == job.name and p.ended is not None), None)
    ended = (pod.ended if pod is not None else None) or job.ended or seen.now
    started = (pod.started if pod is not None else None) or job.started or job.created or ended
    last = LastExecution(
        job.run,
        names.execution_id(seen.namespace, seen.name, job.name),
        format_time(started),
        format_time(ended),
        ending.exit_code,
        ending.reason,
        ending.message,
    )
    status = replace(status, held=ending.held)
    return replace(status, last_execution=last, retry=backoff.next_retry(status.retry, job, ending, ended, seen.policy))


def finish(seen: Observation, last: LastExecution) -> LastExecution:
    """The end of an execution that was told to leave: its Job is gone, and said by then with which code its pod ended.

    Where the pod and its Job were gone before the code was noted in the Job, the time that they took tells of a kill.
    """
    if last.exit_code is not None:  # it had ended before it was told to leave
        return replace(last, finished_at=format_time(seen.now))
    job = seen.vanished.get(last.run)
    code = termination.exit_code_of(job) if job is not None else None
    message = last.message
    if code is not None and code != ExitCode.TERMINATED:
        why = "did not leave within its grace and was killed" if code == _KILLED else "failed while it left"
        message += f" It {why} (exit code {code}); what it had not committed comes again."
    elif job is not None and has_outstayed(job, seen.now):
        message += " It was there until its grace was over, and was killed then; what it had not committed comes again."
    return replace(last, finished_at=format_time(seen.now), exit_code=code, message=message)


def _record_deleted(seen: Observation, status: ConnectorStatus, job: ObservedJob) -> ConnectorStatus:
    ending = termination.Ending(termination.DISRUPTED, "JobDeleted", "Somebody deleted the execution's Job.")
    status = record_ending(seen, status, job, ending)
    return replace(status, last_execution=replace(status.last_execution, finished_at=""))


def _fold_discovery(seen: Observation, status: ConnectorStatus) -> ConnectorStatus:
    job = undone_discovery(seen)
    if job is None or seen.pods is None or not is_asked_for(seen, job):
        return status
    if has_listed(seen, job) and seen.catalogue is not None:
        return _record_catalogue(seen, status, job, seen.catalogue)
    if has_listed(seen, job) and not seen.catalogue_lost:
        return status
    return replace(status, discovery=_failed(seen, status.discovery, job))


def _record_catalogue(
    seen: Observation, status: ConnectorStatus, job: ObservedJob, catalogue: CatalogueSummary
) -> ConnectorStatus:
    catalogue = with_unique_streams(catalogue)
    selected = seen.spec.selected_stream if seen.spec else ""
    missing = bool(selected) and all(stream.id != selected for stream in catalogue.streams)
    discovery = Discovery(
        config_hash=job.config_hash,
        rediscover_at=job.rediscover_at,
        stream=job.stream,
        at=format_time(seen.now),
        notes=catalogue.notes,
        misses=status.discovery.misses + 1 if missing else 0,
        attempts=job.run,
        ordered=status.discovery.ordered,
    )
    return replace(status, discovery=discovery, streams=catalogue.streams, streams_total=catalogue.total)


def _failed(seen: Observation, before: Discovery, job: ObservedJob) -> Discovery:
    subject = discovery_subject(seen)
    failures = before.failures + 1 if before.failed_for == subject else 1
    ending = termination.read_ending(job, seen.pods or ())
    refused = ending.outcome == termination.REFUSED
    reason, message = ending.reason, ending.message
    if has_listed(seen, job):
        reason, message = "CatalogueLost", "The list of streams could not be read whole from the discovery's log."
    elif job.finished is None and outlived_code(seen, job) is None:
        reason, message = "NodeLost", "The node of the discovery's pod does not answer."
    elif ending.reason == "DeadlineExceeded":
        reason, message = "DiscoveryTimedOut", "The source did not answer in time." + _seen_before(seen)
    limits = backoff.REFUSED_DELAY if refused else backoff.DISCOVERY_DELAY
    wait: timedelta = backoff.delay_after(failures, limits, job.uid)
    return replace(
        before,
        attempts=job.run,
        failures=failures,
        failed_for=subject,
        refused=refused,
        reason=reason,
        message=message,
        retry_at=format_time(seen.now + wait),
    )


def _seen_before(seen: Observation) -> str:
    """What was said of the pod while it did not get ready (a missing Secret): the deadline took pod and reason away."""
    said = next((c for c in seen.status.conditions if c.type == "Discovered" and c.status == "False"), None)
    quiet = {"Discovering", "AwaitingAdmission", "AwaitingSlot", "DiscoveryTimedOut"}
    return "" if said is None or said.reason in quiet else f" Last seen: {said.message}"
