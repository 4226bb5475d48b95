"""Every action is recorded in memory first: a run is reserved before its Job is created, a stop before its Job is deleted."""

from __future__ import annotations

import msgspec

from connector_operator.decide.case import Case
from connector_operator.decide.fold import finish, record_ending
from connector_operator.decide.image import has_proved, start_update, stop_update
from connector_operator.decide.inputs import Execution, Request
from connector_operator.decide.outputs import Action, ListingAction, StopCause
from connector_operator.decide.termination import read_live_ending
from connector_operator.resources import names
from connector_operator.resources.reasons import Reason
from connector_operator.resources.times import format_time
from connector_runner.schemas.kinds.connector_status import (
    ConnectorStatus,
    Held,
    LastExecution,
    Ordered,
    Retry,
    RunProgress,
    Update,
)
from connector_runner.schemas.orders import NO_ANSWER

replace = msgspec.structs.replace
_STOPS = {
    StopCause.ASKED: (Reason.STOPPED, "It was stopped as requested."),
    StopCause.REPLACED: (Reason.REPLACED, "It was stopped to be replaced by the next execution."),
    StopCause.NODE_LOST: (Reason.NODE_LOST, "Its node did not answer; another execution took over."),
}
"""Reason and message of `lastExecution` for an execution that is stopped."""


def record(case: Case) -> Case:
    """The case with the memory that results from both rows."""
    memory = _record_row(case, _settle(case))
    if case.listing_row.action is ListingAction.START:
        memory = _reserve_attempt(case, memory)
    return msgspec.structs.replace(case, memory=memory)


def _settle(case: Case) -> ConnectorStatus:
    """Clears what a stop or a success clears, and records the end of an execution that is gone."""
    memory, inputs = case.memory, case.inputs
    if inputs.request is not Request.RUNNING:
        memory = replace(memory, retry=Retry(), update=Update())
    if inputs.execution is Execution.NONE:
        memory = replace(memory, progress=RunProgress())
    if memory.update.run and has_proved(case.facts, memory, inputs.execution):
        memory = replace(memory, update=Update())
    if inputs.execution is Execution.READY:
        memory = replace(memory, held=Held())
    last = memory.last_execution
    is_gone = inputs.execution is Execution.NONE and bool(last.run) and not last.finished_at
    return finish(case.facts, memory) if is_gone else memory


def _record_row(case: Case, memory: ConnectorStatus) -> ConnectorStatus:
    if case.row.action is Action.START:
        return _reserve_run(case, memory)
    if case.row.action is Action.SEND:
        return _note_sent(case, memory)
    if case.row.stop is StopCause.OVER:
        return _note_ending(case, memory)
    return memory if case.row.stop is None else _note_stop(case, memory, case.row.stop)


def _reserve_run(case: Case, memory: ConnectorStatus) -> ConnectorStatus:
    hashes, seen = case.facts.hashes, case.facts.seen
    wanted = Ordered(
        run=memory.run,
        spec_hash=hashes.spec,
        dataset_hash=seen.dataset.hash,
        selection=hashes.selection,
        form=hashes.form,
        take_over=hashes.take_over,
        image=seen.policy.image,
        defaults=seen.policy.defaults,
    )
    run = _next_run(case, memory, wanted)
    ordered = replace(wanted, run=run)
    return replace(memory, run=run, ordered=ordered, update=start_update(case.facts, memory.update, run))


def _note_sent(case: Case, memory: ConnectorStatus) -> ConnectorStatus:
    """Records what the live execution is sent, before its ConfigMap is written."""
    job, wanted, ordered = case.facts.live[0].job, case.facts.hashes.selection, memory.ordered
    if ordered.run != job.run or not ordered.spec_hash:  # somebody took it out of the status
        ordered = Ordered(
            run=job.run, spec_hash=job.spec_hash, dataset_hash=job.dataset_hash, form=job.form, selection=job.selection
        )
    if ordered.sent != wanted:
        sent_at = format_time(case.facts.seen.now)
        ordered = replace(ordered, sent=wanted, sent_at=sent_at, answer=NO_ANSWER)
    return replace(memory, ordered=ordered)


def _next_run(case: Case, memory: ConnectorStatus, wanted: Ordered) -> int:
    """The run to reserve: the one already reserved for the same, if its Job was never seen; otherwise the next number.

    A Job that was never seen may exist (the answer was lost, the watch is late): it must not pass for one of the present spec.
    """
    seen = case.facts.seen
    reserved = names.job_of_execution(memory.state.exec_id)
    is_unused = (
        memory.run > max(memory.last_execution.run, memory.held.run)
        and memory.run not in seen.vanished
        and reserved == names.execution_job_name(seen.name, seen.uid, memory.run)
        and memory.ordered == wanted
    )
    return memory.run if is_unused else max([memory.run, memory.held.run, *seen.vanished]) + 1


def _note_stop(case: Case, memory: ConnectorStatus, cause: StopCause) -> ConnectorStatus:
    seen, job = case.facts.seen, case.facts.live[-1].job
    reason, message = _STOPS[cause]
    execution = names.execution_id(seen.namespace, seen.name, job.name)
    started = format_time(job.started or job.created or seen.now)
    last = LastExecution(job.run, execution, started, "", None, reason, message)
    if cause is StopCause.REPLACED:
        memory = replace(memory, update=stop_update(case.facts, memory.update))
    return replace(memory, last_execution=last)


def _note_ending(case: Case, memory: ConnectorStatus) -> ConnectorStatus:
    """Records once how the execution ended, before its Job is deleted."""
    facts, live = case.facts, case.facts.live[-1]
    if memory.last_execution.run == live.job.run and memory.last_execution.reason:
        return memory
    ending = read_live_ending(live.job, facts.seen.pods or (), live.outlived_code)
    memory = record_ending(facts, memory, live.job, ending)
    return replace(memory, last_execution=replace(memory.last_execution, finished_at=""))


def _reserve_attempt(case: Case, memory: ConnectorStatus) -> ConnectorStatus:
    """Records what the discovery that starts now is made from; a number that was reserved for another is not used again."""
    seen, discovery, hashes = case.facts.seen, memory.discovery, case.facts.hashes
    runs = [d.job.run for d in case.facts.discoveries]
    before = discovery.ordered
    ordered = Ordered(
        run=before.run,
        config_hash=hashes.config,
        rediscover_at=seen.spec.rediscover_at if seen.spec else "",
        stream=seen.spec.asked if seen.spec else "",
        form=hashes.form,
        image=seen.policy.image,
    )
    used = max([discovery.attempts, seen.vanished_attempts, *runs, before.run if before != ordered else 0])
    return replace(memory, discovery=replace(discovery, ordered=replace(ordered, run=used + 1)))


def forget_cancelled(case: Case) -> Case:
    """Forgets discoveries that are no longer needed, after their deletion: they are never read."""
    if case.listing_row.action is not ListingAction.CANCEL:
        return case
    discovery = case.memory.discovery
    attempts = max([discovery.attempts, *(d.job.run for d in case.facts.discoveries)])
    return msgspec.structs.replace(case, memory=replace(case.memory, discovery=replace(discovery, attempts=attempts)))
