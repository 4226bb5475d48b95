"""What was observed becomes memory: ended executions and discoveries are recorded in the status, once."""

from __future__ import annotations

import msgspec

from connector_operator.decide import backoff, termination
from connector_operator.decide.facts import Facts, JobFacts
from connector_operator.decide.progress import fold_progress
from connector_operator.decide.provenance import with_provenance
from connector_operator.decide.selected import MOST_SELECTIONS, find_selection
from connector_operator.resources import names
from connector_operator.resources.reasons import Reason
from connector_operator.resources.times import format_time, parse_time
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.catalogue import CatalogueSummary, with_unique_streams
from connector_runner.schemas.kinds.connector_status import ConnectorStatus, Discovery, LastExecution
from connector_runner.schemas.outcome import ExitCode

replace = msgspec.structs.replace
_KILLED = 137
_OF_FAILURES = (
    *("failures", "failed_for", "refused", "held_back", "reason", "message"),
    *("retry_at", "failed_begun", "failed_at", "failed_alone"),
)
"""Fields of a Discovery that say how attempts failed."""


def fold(facts: Facts) -> ConnectorStatus:
    """The part of the status that is memory; nothing is decided here."""
    status = _fold_execution(facts, facts.seen.status)
    status = _fold_answer(facts, status)
    status = replace(status, discovery=_without_earlier(facts, status.discovery))
    return _fold_discovery(facts, fold_progress(facts, status))


def _fold_answer(facts: Facts, status: ConnectorStatus) -> ConnectorStatus:
    """Records what the runner said about the selection that it was sent; an answer to an earlier one does not count."""
    answer, ordered = facts.seen.answer, status.ordered
    is_awaited = answer is not None and bool(ordered.sent) and answer.mark == ordered.sent
    return replace(status, ordered=replace(ordered, answer=answer)) if answer is not None and is_awaited else status


def _fold_execution(facts: Facts, status: ConnectorStatus) -> ConnectorStatus:
    seen, runs = facts.seen, [e.job.run for e in facts.executions]
    status = replace(status, run=max([status.run, *runs]))
    if facts.unrecorded is not None and seen.pods is not None:
        return _record(facts, status, facts.unrecorded)
    last = status.last_execution
    deleted = next((e.job for e in facts.executions if e.job.deleting is not None and e.job.run > last.run), None)
    if deleted is not None:
        return _record_deleted(facts, status, deleted)
    gone = seen.vanished.get(status.run) if status.state.exec_id and status.run > last.run else None
    if gone is None and status.run not in runs:
        gone = _gone_unseen(facts, status)
        return status if gone is None else _record_deleted(facts, status, gone)
    if gone is None or status.run in runs:
        return status
    if gone.finished is not None:  # ended, and then removed (by its time to live) before it was observed
        return _record(facts, status, gone)
    return finish(facts, _record_deleted(facts, status, gone))


def _gone_unseen(facts: Facts, status: ConnectorStatus) -> ObservedJob | None:
    """The Job of an execution that is known to have run and is not there any more: nobody saw it go.

    Somebody deleted it, or took its labels away, while the operator was down. Its run must not be given to another pod.
    """
    name, healthy = names.job_of_execution(status.state.exec_id), facts.conditions.get("RunnerHealthy")
    if healthy is None or healthy.status != "True" or not name or status.run <= status.last_execution.run:
        return None
    if name != names.execution_job_name(facts.seen.name, facts.seen.uid, status.run):
        return None
    begun = parse_time(healthy.last_transition_time)
    job = ObservedJob(name=name, owner=facts.seen.uid, run=status.run, started=begun)
    return with_provenance((job,), facts.seen.uid, status)[0]


def _record(facts: Facts, status: ConnectorStatus, job: ObservedJob) -> ConnectorStatus:
    return record_ending(facts, status, job, termination.read_ending(job, facts.seen.pods or ()))


def record_ending(
    facts: Facts, status: ConnectorStatus, job: ObservedJob, ending: termination.Ending
) -> ConnectorStatus:
    """Records how an execution ended, and what follows from that for the next one."""
    seen = facts.seen
    pod = next((p for p in seen.pods or () if p.job == job.name and p.ended is not None), None)
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


def finish(facts: Facts, status: ConnectorStatus) -> ConnectorStatus:
    """Records the end of a stopped execution whose Job is gone; the Job's condition had the exit code of its pod.

    If pod and Job were gone before the Job reported the code, the time they took shows whether the pod was killed.
    """
    seen, last = facts.seen, status.last_execution
    ended = replace(last, finished_at=format_time(seen.now))
    if last.exit_code is not None:  # it had ended before it was stopped
        return replace(status, last_execution=ended)
    job = seen.vanished.get(last.run)
    code = termination.exit_code_of(job) if job is not None else None
    message = last.message
    if code is not None and code != ExitCode.TERMINATED:
        why = "did not end within its grace period and was killed" if code == _KILLED else "failed while ending"
        message += f" It {why} (exit code {code}); uncommitted rows are read again."
    elif (
        job is not None and job.deleting is not None and job.grace is not None and seen.now >= job.deleting + job.grace
    ):
        # The kubelet kills when the grace period is over.
        message += " It ran until its grace period was over and was killed; uncommitted rows are read again."
    return replace(status, last_execution=replace(ended, exit_code=code, message=message))


def _record_deleted(facts: Facts, status: ConnectorStatus, job: ObservedJob) -> ConnectorStatus:
    ending = termination.Ending(termination.DISRUPTED, Reason.JOB_DELETED, "Somebody deleted the execution's Job.")
    status = record_ending(facts, status, job, ending)
    return replace(status, last_execution=replace(status.last_execution, finished_at=""))


def _without_earlier(facts: Facts, known: Discovery) -> Discovery:
    """Without failures to list what the spec no longer asks for: they say nothing of the present configuration."""
    if not known.failures or known.failed_for == facts.hashes.listing:
        return known
    never = Discovery()
    return replace(known, **{name: getattr(never, name) for name in _OF_FAILURES})


def _fold_discovery(facts: Facts, status: ConnectorStatus) -> ConnectorStatus:
    seen, unread = facts.seen, facts.unread
    if unread is None or seen.pods is None or not unread.is_asked_for:
        return status
    if unread.has_listed and seen.catalogue is not None:
        return _record_catalogue(facts, status, unread.job, seen.catalogue)
    if unread.has_listed and not seen.catalogue_lost:
        return status
    return replace(status, discovery=_record_failure(facts, status.discovery, unread))


def _record_catalogue(
    facts: Facts, status: ConnectorStatus, job: ObservedJob, catalogue: CatalogueSummary
) -> ConnectorStatus:
    seen, catalogue = facts.seen, with_unique_streams(catalogue)
    selection, missing = status.selection, False
    if seen.spec is not None and seen.spec.streams is not None:
        selection = (
            find_selection(seen.spec.asked, catalogue.selections, is_asked=job.stream == seen.spec.asked) or selection
        )
        missing = selection.key == seen.spec.asked and not selection.selected
    elif seen.spec is not None and seen.spec.asked:
        missing = all(stream.id != seen.spec.asked for stream in catalogue.streams)
    discovery = Discovery(
        config_hash=job.config_hash,
        rediscover_at=job.rediscover_at,
        stream=job.stream,
        at=format_time(seen.now),
        form=job.form,
        begun=format_time(job.created) if job.created is not None else "",
        missing=catalogue.missing,
        notes=catalogue.notes,
        selections=catalogue.selections[:MOST_SELECTIONS],
        misses=status.discovery.misses + 1 if missing else 0,
        attempts=job.run,
        ordered=status.discovery.ordered,
    )
    return replace(
        status, discovery=discovery, streams=catalogue.streams, streams_total=catalogue.total, selection=selection
    )


def _record_failure(facts: Facts, before: Discovery, unread: JobFacts) -> Discovery:
    job, seen = unread.job, facts.seen
    ending = termination.read_ending(job, seen.pods or ())
    reason, message = ending.reason, ending.message
    if unread.has_listed:
        reason, message = Reason.CATALOGUE_LOST, _explain_lost(facts, job)
    elif job.finished is None and unread.outlived_code is None:
        reason, message = Reason.NODE_LOST, "The node of the discovery's pod does not answer."
    elif ending.reason is Reason.DEADLINE_EXCEEDED:
        reason, message = Reason.DISCOVERY_TIMED_OUT, "The source did not answer in time." + _seen_before(facts)
    failed = replace(
        before,
        attempts=job.run,
        failures=before.failures + 1,
        failed_for=facts.hashes.listing,
        refused=ending.outcome == termination.REFUSED,
        held_back=reason is Reason.DISCOVERY_TIMED_OUT and not _has_started(facts, job),
        reason=reason,
        message=message,
        failed_begun=format_time(job.created) if job.created is not None else "",
        failed_at=format_time(seen.now),
        failed_alone=ending.is_of_stream,
    )
    return replace(failed, retry_at=format_time(seen.now + backoff.listing_delay(failed, job.name)))


def _has_started(facts: Facts, job: ObservedJob) -> bool:
    return any(pod.started is not None for pod in facts.seen.pods or () if pod.job == job.name)


def _explain_lost(facts: Facts, job: ObservedJob) -> str:
    if any(pod.job == job.name for pod in facts.seen.pods or ()):
        return "The list of streams could not be read whole from the discovery's log."
    return (
        f"The list of streams can't be read: no pod of Job {job.name} is found. Something has removed it, or takes the label "
        f"{names.LABEL_CONNECTOR} away from pods (a mutating policy or webhook)."
    )


def _seen_before(facts: Facts) -> str:
    """Why the pod was not ready before (a missing Secret): the deadline removed the pod, and the reason with it."""
    said = facts.conditions.get("Discovered")
    quiet = {Reason.DISCOVERING, Reason.AWAITING_SLOT, Reason.DISCOVERY_TIMED_OUT}
    return "" if said is None or said.status != "False" or said.reason in quiet else f" Last seen: {said.message}"
