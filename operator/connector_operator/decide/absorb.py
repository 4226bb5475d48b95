"""What was observed becomes memory: ended executions and discoveries are taken into the status, once."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from connector_operator.decide import endings
from connector_operator.decide.observation import Observation, Policy
from connector_operator.resources import names
from connector_operator.resources.connector import (
    ConnectorStatus,
    Discovery,
    LastExecution,
    config_hash,
    form_hash,
)
from connector_operator.resources.runner_rules import restricted_problems
from connector_operator.resources.times import format_time
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.catalogue import CatalogueSummary, with_unique_streams
from connector_runner.schemas.outcome import ExitCode

replace = msgspec.structs.replace
_KILLED = 137


def own_jobs(seen: Observation, role: str) -> list[ObservedJob]:
    """This very connector's Jobs of a role, by run."""
    return sorted((j for j in seen.jobs if j.owner == seen.uid and j.role == role), key=lambda j: j.run)


def absorb(seen: Observation) -> ConnectorStatus:
    """The status as far as it is memory: nothing is decided here."""
    status = _absorb_execution(seen, seen.status)
    return _absorb_discovery(seen, status)


def unrecorded(seen: Observation) -> ObservedJob | None:
    """The newest finished execution that the status doesn't tell of yet."""
    last = seen.status.last_execution
    ended = [j for j in own_jobs(seen, names.ROLE_RUNNER) if j.finished is not None and j.deleting is None]
    # The stop of a run may have been noted, and then not been carried out because the request changed.
    untold = [j for j in ended if j.run > last.run or (j.run == last.run and not last.finished_at)]
    return untold[-1] if untold else None


def _absorb_execution(seen: Observation, status: ConnectorStatus) -> ConnectorStatus:
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
    return record_ending(seen, status, job, endings.judge(job, seen.pods or ()))


def record_ending(
    seen: Observation, status: ConnectorStatus, job: ObservedJob, ending: endings.Ending
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
    return replace(status, last_execution=last, retry=endings.next_retry(status.retry, job, ending, ended, seen.policy))


def finish(seen: Observation, last: LastExecution) -> LastExecution:
    """The end of an execution that was told to leave: its Job is gone, and said by then with which code its pod ended.

    Where the pod and its Job were gone before the code was noted in the Job, the time that they took tells of a kill.
    """
    if last.exit_code is not None:  # it had ended before it was told to leave
        return replace(last, finished_at=format_time(seen.now))
    job = seen.vanished.get(last.run)
    code = endings.exit_code_of(job) if job is not None else None
    message = last.message
    if code is not None and code != ExitCode.TERMINATED:
        why = "did not leave within its grace and was killed" if code == _KILLED else "failed while it left"
        message += f" It {why} (exit code {code}); what it had not committed comes again."
    elif job is not None and has_outstayed(job, seen.now):
        message += " It was there until its grace was over, and was killed then; what it had not committed comes again."
    return replace(last, finished_at=format_time(seen.now), exit_code=code, message=message)


def has_outstayed(job: ObservedJob, now: datetime) -> bool:
    """Whether a deleted Job's pod was there until its grace was over, when the kubelet kills."""
    return job.deleting is not None and job.grace is not None and now >= job.deleting + job.grace


def _record_deleted(seen: Observation, status: ConnectorStatus, job: ObservedJob) -> ConnectorStatus:
    ending = endings.Ending(endings.DISRUPTED, "JobDeleted", "Somebody deleted the execution's Job.")
    status = record_ending(seen, status, job, ending)
    return replace(status, last_execution=replace(status.last_execution, finished_at=""))


def overdue_at(job: ObservedJob, policy: Policy) -> datetime | None:
    """When a discovery that still goes on counts as lost with its node: Kubernetes can't say then how it ended."""
    if job.is_suspended and job.deleting is None:
        return None
    begun = job.started or job.created
    due = begun + job.deadline if begun is not None and job.deadline is not None else None
    due = job.deleting or due
    return None if due is None else due + policy.grace + policy.node_lost_after


def is_underway(job: ObservedJob, now: datetime, policy: Policy) -> bool:
    """Whether a discovery goes on, or is on its way out."""
    limit = overdue_at(job, policy)
    return job.finished is None and (limit is None or now <= limit)


def is_over(job: ObservedJob, now: datetime, policy: Policy) -> bool:
    """Whether a discovery has ended, be it with its node."""
    return not is_underway(job, now, policy)


def outlived_code(seen: Observation, job: ObservedJob) -> int | None:
    """The exit code of a Job's container that has ended beside containers that go on; None when it has not."""
    return next((p.exit_code for p in seen.pods or () if p.job == job.name and p.is_outlived), None)


def undone_discovery(seen: Observation) -> ObservedJob | None:
    """The discovery Job that has ended (or whose container has, beside others) and is not recorded yet."""
    jobs = own_jobs(seen, names.ROLE_DISCOVERY)
    new = [j for j in jobs if j.deleting is None and j.run > seen.status.discovery.attempts]
    ended = [j for j in new if is_over(j, seen.now, seen.policy) or outlived_code(seen, j) is not None]
    return ended[-1] if ended else None


def has_outdated_form(seen: Observation, job: ObservedJob) -> bool:
    """Whether a Job's pod was to be otherwise than one that is made now, and has never started.

    What has started goes on: a setting of the installation is no reason to restart what runs.
    """
    if seen.spec is None or seen.pods is None or job.ready or job.is_suspended:
        return False
    pods = [p for p in seen.pods if p.job == job.name]
    has_started = any(p.started is not None or p.exit_code is not None for p in pods)
    return not has_started and job.form != form_hash(seen.spec, seen.policy.installation)


def has_listed(seen: Observation, job: ObservedJob) -> bool:
    """Whether a discovery has ended well, so that its log holds the list."""
    return bool(job.finished) or outlived_code(seen, job) == ExitCode.END_OF_STREAM


def is_asked_for(seen: Observation, job: ObservedJob) -> bool:
    """Whether a discovery Job lists what the spec now asks for."""
    spec = seen.spec
    return spec is not None and job.config_hash == config_hash(spec) and job.rediscover_at == spec.rediscover_at


def _absorb_discovery(seen: Observation, status: ConnectorStatus) -> ConnectorStatus:
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


def discovery_subject(seen: Observation) -> str:
    """What a row of failed attempts belongs to: what is listed, and how the pod that lists it is to be."""
    if seen.spec is None:
        return ""
    return names.hash_value(
        [config_hash(seen.spec), seen.spec.rediscover_at, form_hash(seen.spec, seen.policy.installation)]
    )


def _failed(seen: Observation, before: Discovery, job: ObservedJob) -> Discovery:
    subject = discovery_subject(seen)
    failures = before.failures + 1 if before.failed_for == subject else 1
    ending = endings.judge(job, seen.pods or ())
    refused = ending.outcome == endings.REFUSED
    reason, message = ending.reason, ending.message
    if has_listed(seen, job):
        reason, message = "CatalogueLost", "The list of streams could not be read whole from the discovery's log."
    elif job.finished is None and outlived_code(seen, job) is None:
        reason, message = "NodeLost", "The node of the discovery's pod does not answer."
    elif ending.reason == "DeadlineExceeded":
        reason, message = "DiscoveryTimedOut", "The source did not answer in time." + _seen_before(seen)
    limits = endings.REFUSED_DELAY if refused else endings.DISCOVERY_DELAY
    wait: timedelta = endings.delay_after(failures, limits, job.uid)
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


def problems_of(seen: Observation) -> tuple[str, ...]:
    """Everything wrong with the spec, this installation's own rules included."""
    if seen.spec is None:
        return seen.problems
    problems = [*seen.problems]
    account, allowed = seen.spec.runner.service_account_name, seen.policy.service_accounts
    if account and account not in allowed and "*" not in allowed:
        choice = f"allowed are {', '.join(allowed)}" if allowed else "this installation allows none to be named"
        problems.append(f"spec.runner.serviceAccountName: {account!r} may not be used; {choice}")
    runner = seen.spec.runner.raw()
    return (*problems, *restricted_problems(runner, seen.policy.allowances, "spec.runner"))
