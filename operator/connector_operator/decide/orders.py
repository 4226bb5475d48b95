"""What a live execution must be sent, and whether its runner carries it: a changed `spec.streams` makes no new execution. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from connector_operator.decide.facts import Facts
from connector_operator.resources.reasons import Reason, RunnerReason
from connector_operator.resources.times import parse_time
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.kinds.connector_status import ConnectorStatus

PATIENCE = timedelta(seconds=120)
"""How long an answer is awaited. A kubelet brings a changed ConfigMap into a pod within 90 s, a runner looks every 5 s."""
FIRST_LOOK = timedelta(seconds=10)
"""How often the log is read for an answer that is awaited."""
LATER_LOOK = timedelta(seconds=60)
"""The same once the runner has refused (it takes the selection when that becomes possible: a table is created), or is late."""


EARLIER_GOES_ON = "The earlier selection goes on."


class Standing(Enum):
    """How a live execution stands to the selection that is asked for."""

    SAME = "it carries it, or has no selection"
    UNSENT = "it does not know it"
    SENT = "it was sent, and has not answered"
    UNCONFIRMED = "it was sent, and has not answered in time"
    DECLINED = "its runner refuses it, and goes on with the earlier one"


def has_orders(facts: Facts, memory: ConnectorStatus) -> bool:
    """Whether the one live execution has orders that are to be kept as they are."""
    if len(facts.live) != 1 or not facts.hashes.selection:
        return False
    ordered, job = memory.ordered, facts.live[0].job
    return ordered.run == job.run and ordered.sent == facts.hashes.selection


def say_refused_orders(facts: Facts, memory: ConnectorStatus) -> str:
    """Why the API server refuses the orders of the live execution, as a sentence; "" if it does not."""
    done = facts.seen.delivery
    if done is None or not has_orders(facts, memory) or done.mark != facts.hashes.selection:
        return ""
    return done.refusal if done.job == facts.live[0].job.name else ""


def find_standing(facts: Facts, memory: ConnectorStatus, job: ObservedJob) -> Standing:
    """How the live execution of a Job stands; `memory` is the status after `fold`."""
    wanted, ordered = facts.hashes.selection, memory.ordered
    if not wanted:
        return Standing.SAME
    if job.selection != wanted:
        return Standing.UNSENT
    if ordered.run != job.run or ordered.sent != wanted:
        return Standing.SAME
    if say_refused_orders(facts, memory):
        return Standing.SENT
    if ordered.answer.mark == wanted:
        return Standing.DECLINED if ordered.answer.reason else Standing.SAME
    sent_at = parse_time(ordered.sent_at)
    return Standing.SENT if sent_at is not None and facts.seen.now < sent_at + PATIENCE else Standing.UNCONFIRMED


def find_what_holds_image(facts: Facts, memory: ConnectorStatus, job: ObservedJob) -> str:
    """Why a changed image must wait for the runner's word on a changed selection, as a sentence; "" if it need not.

    A new execution starts with the selection that is asked for, and ends at once if that can't be carried.
    """
    standing = find_standing(facts, memory, job)
    if standing is Standing.DECLINED:
        return "Its runner refuses the selection of spec.streams, with which a new execution would start; see the condition SelectionApplied."
    if standing in {Standing.UNSENT, Standing.SENT} and not say_refused_orders(facts, memory):
        return "It is being sent the selection of spec.streams, which comes first; see the condition SelectionApplied."
    return ""


def next_writing(facts: Facts) -> datetime:
    """When the orders of the live execution, which has some, are to be written (again)."""
    seen, job = facts.seen, facts.live[0].job.name
    done = seen.delivery
    if done is None or done.again is None or (done.job, done.mark) != (job, facts.hashes.selection):
        return seen.now
    return done.again


def next_answer(facts: Facts, memory: ConnectorStatus) -> datetime | None:
    """When the runner's log is to be read for its answer; None: none is awaited."""
    if not has_orders(facts, memory) or not facts.live[0].job.ready:
        return None
    job, done = facts.live[0].job, facts.seen.delivery
    standing = find_standing(facts, memory, job)
    if standing is Standing.SAME:
        return None
    looked = done.looked if done is not None and done.job == job.name else None
    if looked is None:
        sent_at = parse_time(memory.ordered.sent_at)
        return sent_at + FIRST_LOOK if sent_at is not None else facts.seen.now
    return looked + (FIRST_LOOK if standing is Standing.SENT else LATER_LOOK)


def next_orders(facts: Facts, memory: ConnectorStatus) -> tuple[datetime | None, ...]:
    """When to look again for the orders' sake."""
    return (next_writing(facts), next_answer(facts, memory)) if has_orders(facts, memory) else ()


def answer_of(memory: ConnectorStatus) -> tuple[RunnerReason, str]:
    """Reason and sentence of a runner that refuses the selection."""
    answer = memory.ordered.answer
    return RunnerReason(answer.reason), answer.message


def say_applied(facts: Facts, memory: ConnectorStatus) -> tuple[str, Reason | RunnerReason, str]:
    """Status, reason and message of the condition SelectionApplied, for a connector with a selection."""
    if len(facts.live) != 1:
        return (
            "Unknown",
            Reason.NO_EXECUTION,
            "No execution runs; the next one starts with the selection of spec.streams.",
        )
    if refusal := say_refused_orders(facts, memory):
        return "False", Reason.ORDERS_REFUSED, f"{EARLIER_GOES_ON} {refusal}"
    match find_standing(facts, memory, facts.live[0].job):
        case Standing.UNSENT | Standing.SENT:
            return (
                "False",
                Reason.SELECTION_CHANGING,
                "The running execution is being sent the selection of spec.streams.",
            )
        case Standing.UNCONFIRMED:
            since = memory.ordered.sent_at
            said = f"The selection of spec.streams was sent at {since}; the runner has not said that it carries it."
            return "Unknown", Reason.SELECTION_UNCONFIRMED, said
        case Standing.DECLINED:
            reason, message = answer_of(memory)
            return "False", reason, f"{EARLIER_GOES_ON} {message}"
        case Standing.SAME:
            left_out = " ".join(f"{problem.rstrip('.')}." for problem in memory.ordered.answer.problems)
            said = "The running execution carries the selection of spec.streams."
            return "True", Reason.SELECTION_APPLIED, f"{said} {left_out}".rstrip()
