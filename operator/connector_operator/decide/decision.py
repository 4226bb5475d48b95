"""`decide`: one observation in, one decision out. The only entrance; the tables say what, this module puts it together."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from connector_operator.decide.actions import (
    CreateDiscovery,
    JobAction,
    execution_actions,
    listing_actions,
    next_run,
    prune,
)
from connector_operator.decide.classify import classify, classify_listing, live_jobs, next_listing
from connector_operator.decide.conditions import build_conditions, has_changed, transition
from connector_operator.decide.facts import has_listed, overdue_at, own_jobs, undone_discovery
from connector_operator.decide.fold import finish, fold, record_ending
from connector_operator.decide.inputs import (
    Action,
    Execution,
    Inputs,
    Listing,
    ListingAction,
    ListingInputs,
    Request,
)
from connector_operator.decide.messages import Messages, build_messages
from connector_operator.decide.observation import Observation
from connector_operator.decide.pod_problems import is_look_due, next_look
from connector_operator.decide.provenance import with_provenance
from connector_operator.decide.table import ListingRow, Row, find_listing_row, find_row
from connector_operator.decide.termination import read_spent_ending
from connector_operator.resources import names
from connector_operator.resources.connector import (
    ConnectorStatus,
    EffectiveDataset,
    Held,
    Ordered,
    Retry,
    State,
    build_status,
    config_hash,
    form_hash,
    spec_hash,
    take_over_hash,
)
from connector_operator.resources.times import format_time, parse_time
from connector_operator.resources.workload import ObservedJob

replace = msgspec.structs.replace


class Look(StrEnum):
    """What must be seen before a decision can be made."""

    PODS = "pods"
    EVENTS = "events"
    CATALOGUE = "catalogue"
    TRIAL = "trial"


class Announcement(msgspec.Struct, frozen=True):
    """A transition to tell; a quiet one is for the log, not worth an event."""

    reason: str
    message: str
    is_warning: bool
    is_quiet: bool


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done.

    Attributes:
        row, listing_row: Which rows of the tables held.
        looks: What to look at before deciding again; then nothing else counts.
        status: What the status becomes, as it is applied; None: it stays as it is.
        acts: After the status was written: Jobs to create or delete.
        announcement: A transition to tell.
        again: When to look again though nothing happens.
    """

    row: Row
    listing_row: ListingRow
    looks: frozenset[Look] = frozenset()
    status: dict[str, Any] | None = None
    acts: tuple[JobAction, ...] = ()
    announcement: Announcement | None = None
    again: datetime | None = None


def decide(seen: Observation) -> Decision:
    """Decides what to do about one connector. Pure: equal observations give equal decisions."""
    seen = replace(seen, jobs=with_provenance(seen.jobs, seen.uid, seen.status))
    memory = fold(seen)
    situation, listing = classify(seen, memory), classify_listing(seen, memory)
    row, listing_row = find_row(situation), find_listing_row(listing)
    if situation.request is Request.DELETED:
        return Decision(row=row, listing_row=listing_row)
    looks = needed_looks(seen, row, listing_row, situation)
    if looks:
        return Decision(row=row, listing_row=listing_row, looks=looks)
    memory = _carry_on(seen, memory, row, situation)
    listed = listing_actions(seen, memory, listing_row.action)
    acts = execution_actions(seen, memory, row.action) + listed
    memory = _note_discovery(seen, memory, listed)
    if listing_row.action is ListingAction.CANCEL:
        attempts = [memory.discovery.attempts, *(j.run for j in own_jobs(seen, names.ROLE_DISCOVERY))]
        memory = replace(memory, discovery=replace(memory.discovery, attempts=max(attempts)))
    words = build_messages(seen, memory, row, listing_row, situation)
    status = _compose(seen, memory, row, listing_row, situation, words)
    changed = has_changed(seen.stored, status)
    return Decision(
        row=row,
        listing_row=listing_row,
        status=status if changed else None,
        acts=acts + prune(seen),
        announcement=_announce(seen, status, row, words) if changed else None,
        again=_again(seen, memory, row, situation, listing),
    )


def needed_looks(seen: Observation, row: Row, listing: ListingRow, situation: Inputs) -> frozenset[Look]:
    """What is not seen yet and must be; the same observation completed by it never asks again."""
    looks: set[Look] = set()
    waits = _waiting_jobs(seen, situation)
    if seen.pods is None:
        if row.action is Action.LOOK or listing.action is ListingAction.READ:
            looks.add(Look.PODS)
        if any(is_look_due(job, seen.now, seen.policy.look_after) for job in waits):
            looks |= {Look.PODS, Look.EVENTS}
    done = undone_discovery(seen)
    unread = seen.catalogue is None and not seen.catalogue_lost
    if listing.action is ListingAction.READ and done is not None and has_listed(seen, done) and unread:
        looks |= {Look.PODS, Look.CATALOGUE}
    if not looks and row.name == "replace" and seen.trial is None:
        looks.add(Look.TRIAL)
    return frozenset(looks)


def _waiting_jobs(seen: Observation, situation: Inputs) -> list[ObservedJob]:
    """Jobs that live without a ready pod."""
    jobs = [j for j in own_jobs(seen, names.ROLE_DISCOVERY) if j.finished is None and j.deleting is None]
    if situation.execution in {Execution.WAITING, Execution.OUTDATED, Execution.LOST}:
        jobs += live_jobs(seen)
    return [job for job in jobs if not job.ready and not job.is_suspended]


def _note_discovery(seen: Observation, memory: ConnectorStatus, acts: tuple[JobAction, ...]) -> ConnectorStatus:
    """Memory with what a discovery that starts now is made from."""
    made = next((act for act in acts if isinstance(act, CreateDiscovery)), None)
    if made is None or seen.spec is None:
        return memory
    ordered = Ordered(
        run=made.attempt,
        config_hash=config_hash(seen.spec),
        rediscover_at=seen.spec.rediscover_at,
        stream=seen.spec.selected_stream,
        form=form_hash(seen.spec, seen.policy.installation),
    )
    return replace(memory, discovery=replace(memory.discovery, ordered=ordered))


def _carry_on(seen: Observation, memory: ConnectorStatus, row: Row, situation: Inputs) -> ConnectorStatus:
    """Memory after the row: the run reserved, the stop noted, the end noted, what a stop empties emptied."""
    if situation.request is not Request.RUNNING:
        memory = replace(memory, retry=Retry())
    if situation.execution is Execution.READY:
        memory = replace(memory, held=Held())
    last = memory.last_execution
    if situation.execution is Execution.NONE and last.run and not last.finished_at:
        memory = replace(memory, last_execution=finish(seen, last))
    if row.action is Action.START and seen.spec is not None:
        run = next_run(seen, memory)
        form = form_hash(seen.spec, seen.policy.installation)
        ordered = Ordered(
            run=run,
            spec_hash=spec_hash(seen.spec),
            dataset_hash=seen.dataset.hash,
            form=form,
            take_over=take_over_hash(seen.take_over),
        )
        return replace(memory, run=run, ordered=ordered)
    if row.action is Action.STOP:
        job = live_jobs(seen)[-1]
        if row.name == "spent":
            return _note_spent(seen, memory, job)
        reason, message = LEAVES.get(row.name, LEAVES["replace"])
        execution = names.execution_id(seen.namespace, seen.name, job.name)
        started = format_time(job.started or job.created or seen.now)
        return replace(memory, last_execution=type(last)(job.run, execution, started, "", None, reason, message))
    return memory


def _note_spent(seen: Observation, memory: ConnectorStatus, job: ObservedJob) -> ConnectorStatus:
    """How it ended is taken in once, before its Job goes."""
    if memory.last_execution.run == job.run and memory.last_execution.reason:
        return memory
    memory = record_ending(seen, memory, job, read_spent_ending(seen, job))
    return replace(memory, last_execution=replace(memory.last_execution, finished_at=""))


def _execution(seen: Observation, memory: ConnectorStatus, row: Row, situation: Inputs) -> str:
    """`execId`: of the execution that is, is being made or is leaving; "" when no Job and no pod is left."""
    if row.action is Action.START:
        job = names.execution_job_name(seen.name, seen.uid, memory.run)
        return names.execution_id(seen.namespace, seen.name, job)
    if situation.execution is Execution.NONE:
        return ""
    live = live_jobs(seen)
    if live:
        return names.execution_id(seen.namespace, seen.name, live[-1].name)
    return memory.state.exec_id


def _compose(
    seen: Observation, memory: ConnectorStatus, row: Row, listing: ListingRow, situation: Inputs, words: Messages
) -> dict[str, Any]:
    status = replace(
        memory,
        observed_generation=seen.generation,
        state=State(row.state, seen.name, _execution(seen, memory, row, situation)),
        dataset=EffectiveDataset(seen.dataset.name, seen.dataset.table) if seen.dataset.spec else EffectiveDataset(),
        conditions=build_conditions(seen, memory, row, listing, words),
        updated=format_time(seen.now),
    )
    return build_status(status)


def _announce(seen: Observation, status: dict[str, Any], row: Row, words: Messages) -> Announcement | None:
    reason = transition(seen.status, status)
    if reason is None:
        return None
    is_quiet = reason in QUIET_REASONS
    calm = is_quiet or "R" in words.flags or (row.name in CALM_ROWS and not words.is_trouble)
    return Announcement(reason, words.told, not calm, is_quiet)


LEAVES = {
    "stop": ("Stopped", "It was told to commit and leave, as asked."),
    "replace": ("Replaced", "It was told to commit and leave, to make way for the next execution."),
    "lost": ("NodeLost", "Its node did not answer; another execution took over."),
}
"""How an execution that is told to leave ended: reason and message of lastExecution, by row."""
CALM_ROWS = {"leaving", "replace", "stop", "stopping", "start", "starting"}
QUIET_REASONS = {"Discovering", "AwaitingSlot", "Starting", "Stopping", "AwaitingTurn"}


def _again(
    seen: Observation, memory: ConnectorStatus, row: Row, situation: Inputs, listing: ListingInputs
) -> datetime | None:
    """The earliest moment at which time alone changes the decision."""
    moments: list[datetime | None] = []
    if row.name == "barred" and seen.trial is not None:
        moments.append(seen.trial.again)
    if row.name in {"backoff", "failing", "mend"}:
        moments.append(parse_time(memory.retry.at))
    if listing.listing is Listing.NONE and find_listing_row(listing).name == "later":
        moments.append(next_listing(seen, memory))
    waiting = _waiting_jobs(seen, situation)
    moments += [next_look(job.created, seen.now) for job in waiting]
    moments += [overdue_at(job, seen.policy) for job in own_jobs(seen, names.ROLE_DISCOVERY) if job.finished is None]
    if situation.execution is Execution.ENDING:
        moments.append(_next_leave(seen))
    if situation.execution in {Execution.ORPHANED, Execution.STRANDED}:
        unready = next((c for c in seen.status.conditions if c.type == "Ready" and c.status == "False"), None)
        moments.append(next_look(parse_time(unready.last_transition_time) if unready else None, seen.now))
    if prune(replace(seen, status=memory)):
        moments.append(seen.now)  # what this very status takes in may be removed once it is stored
    later = [max(moment, seen.now + timedelta(milliseconds=200)) for moment in moments if moment is not None]
    return min(later, default=None)


def _next_leave(seen: Observation) -> datetime:
    """While a Job goes, its own event wakes us; pods without a Job have no event that we watch."""
    limit = seen.policy.grace + seen.policy.node_lost_after + timedelta(seconds=1)
    deleting = [j.deleting + limit for j in seen.jobs if j.deleting is not None and j.deleting + limit > seen.now]
    return min(deleting, default=seen.now + timedelta(seconds=2))
