"""`decide`: one observation in, one decision out. The only entry point: facts, fold, classify, row, what it means."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from connector_operator.decide.actions import JobAction, plan_actions, prune
from connector_operator.decide.case import Case, waiting_jobs
from connector_operator.decide.classify import classify
from connector_operator.decide.facts import Facts, gather_facts
from connector_operator.decide.fold import fold
from connector_operator.decide.inputs import Request
from connector_operator.decide.messages import build_messages
from connector_operator.decide.observation import Observation
from connector_operator.decide.orders import next_answer
from connector_operator.decide.outputs import Action, ListingAction
from connector_operator.decide.record import forget_cancelled, record
from connector_operator.decide.sharing import find_asker, take_shared
from connector_operator.decide.status import Announcement, announce, compose_status, has_changed
from connector_operator.decide.stream_facts import gather_stream_facts
from connector_operator.decide.table import ListingRow, Row, find_listing_row, find_row
from connector_operator.decide.wake import next_wake


class Look(StrEnum):
    """What must be read before a decision can be made."""

    PODS = "pods"
    EVENTS = "events"
    CATALOGUE = "catalogue"
    DRY_RUN = "dry run"
    PEERS = "peers"
    ANSWER = "answer"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do.

    Attributes:
        facts: What was known; for those who read more or carry out the actions.
        row, listing_row: Which rows of the tables held.
        looks: What to read before deciding again; if there is any, nothing else in this decision counts.
        status: The new status, as it is applied; None: it stays as it is.
        actions: Jobs to create or delete after the status was written.
        announcement: A change to report.
        waits_for: The name of the Connector whose discovery this one waits for; "" for none.
        wake: When to look again even if nothing happens.
    """

    facts: Facts
    row: Row
    listing_row: ListingRow
    looks: frozenset[Look] = frozenset()
    status: dict[str, Any] | None = None
    actions: tuple[JobAction, ...] = ()
    announcement: Announcement | None = None
    waits_for: str = ""
    wake: datetime | None = None


def decide(seen: Observation) -> Decision:
    """Decides what to do about one connector. Pure: equal observations give equal decisions."""
    case = _understand(seen)
    looks = frozenset[Look]() if case.inputs.request is Request.DELETED else _needed_looks(case)
    if looks or case.inputs.request is Request.DELETED:
        return Decision(facts=case.facts, row=case.row, listing_row=case.listing_row, looks=looks)
    case = record(case)
    actions = plan_actions(case) + prune(case.facts, seen.status)
    case = forget_cancelled(case)
    messages = build_messages(case)
    status = compose_status(case, messages)
    is_new = has_changed(seen.stored, status)
    return Decision(
        facts=case.facts,
        row=case.row,
        listing_row=case.listing_row,
        status=status if is_new else None,
        actions=actions,
        announcement=announce(case, messages, status) if is_new else None,
        waits_for=_waits_for(case),
        wake=next_wake(case),
    )


def _waits_for(case: Case) -> str:
    asker = find_asker(case.facts, case.memory, case.streams) if case.listing_row.waits_for_peer else None
    return asker.name if asker is not None else ""


def _understand(seen: Observation) -> Case:
    """The facts, the memory, and the rows that hold."""
    facts = gather_facts(seen)
    memory = take_shared(facts, fold(facts))
    streams = gather_stream_facts(facts, memory)
    inputs, listing = classify(facts, memory, streams)
    return Case(
        facts=facts,
        memory=memory,
        streams=streams,
        inputs=inputs,
        listing=listing,
        row=find_row(inputs),
        listing_row=find_listing_row(listing),
        waiting=waiting_jobs(facts, inputs),
    )


def _needed_looks(case: Case) -> frozenset[Look]:
    """What has not been read yet and must be; once the observation has it, it is not requested again."""
    seen, reads = case.facts.seen, case.listing_row.action is ListingAction.READ
    looks: set[Look] = set()
    if seen.pods is None:
        if case.row.action is Action.LOOK or reads:
            looks.add(Look.PODS)
        if any(j.created is not None and seen.now - j.created >= seen.policy.look_after for j in case.waiting):
            looks |= {Look.PODS, Look.EVENTS}
    unread = case.facts.unread
    is_unseen = seen.catalogue is None and not seen.catalogue_lost
    if reads and unread is not None and unread.has_listed and is_unseen:
        looks |= {Look.PODS, Look.CATALOGUE}
    answer_at = next_answer(case.facts, case.memory)
    if not looks and answer_at is not None and answer_at <= seen.now:
        looks.add(Look.ANSWER)
    if not looks and case.row.needs_dry_run and seen.dry_run is None:
        looks.add(Look.DRY_RUN)
    if not looks and case.listing_row.asks_peers and seen.peers is None:
        looks.add(Look.PEERS)  # the last: nothing may happen between this look and the decision
    return frozenset(looks)
