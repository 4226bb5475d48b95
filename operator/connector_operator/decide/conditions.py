"""How conditions are built, for every kind; a Connector's: each is declared once, with its meaning and content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

import msgspec

from connector_operator.decide.case import Case
from connector_operator.decide.image import say_image
from connector_operator.decide.messages import Messages, list_problems, say_streams
from connector_operator.decide.orders import say_applied
from connector_operator.decide.progress import say_streams_healthy
from connector_operator.decide.selected import say_unmatched
from connector_operator.resources.dataset import Resolution
from connector_operator.resources.reasons import Reason, RunnerReason
from connector_operator.resources.times import format_time
from connector_runner.schemas.kinds.conditions import Condition

Subject = TypeVar("Subject")


class Said(NamedTuple):
    """The content of a condition."""

    status: str
    reason: Reason | RunnerReason
    message: str


class ConditionKind(msgspec.Struct, Generic[Subject], frozen=True):
    """A condition that the operator owns: its type, what it means, and what it reports about a subject (None: it has none)."""

    type: str
    meaning: str
    say: Callable[[Subject], Said | None]


def build_conditions(
    kinds: Sequence[ConditionKind[Subject]],
    subject: Subject,
    before: Sequence[Condition],
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """All conditions of a status; the time of the last transition is kept where the status is unchanged."""
    known = {condition.type: condition for condition in before}
    built = []
    for kind in kinds:
        said, old = kind.say(subject), known.get(kind.type)
        if said is None:
            continue
        is_same = old is not None and old.status == said.status
        since = (old.last_transition_time if old is not None and is_same else "") or format_time(now)
        built.append(Condition(kind.type, said.status, said.reason, said.message, since, generation))
    return tuple(built)


class Report(NamedTuple):
    """What a Connector's conditions are computed from."""

    case: Case
    messages: Messages


def _ready(report: Report) -> Said:
    messages = report.messages
    return Said("True" if messages.ready else "False", messages.reason, messages.message)


def _reconciling(report: Report) -> Said:
    messages, settled = report.messages, Said("False", Reason.SETTLED, "Nothing is being changed.")
    if messages.reconciling:
        return Said("True", messages.reason, messages.message)
    if messages.stalled or not report.case.listing_row.reconciling:
        return settled
    return Said("True", messages.listing.reason, messages.listing.message + messages.listing.when)


def _stalled(report: Report) -> Said:
    messages = report.messages
    if messages.stalled:
        return Said("True", messages.reason, messages.message)
    return Said("False", Reason.NOT_STALLED, "Nothing needs a person.")


def _config_valid(report: Report) -> Said:
    facts = report.case.facts
    if facts.problems:
        return Said("False", Reason.INVALID_CONFIG, list_problems(facts.problems))
    if facts.seen.spec is not None and facts.seen.spec.config_from:
        return Said("True", Reason.VALID, "What is in the spec is valid; the runner checks what Secrets add.")
    return Said("True", Reason.VALID, "The configuration agrees with the type's schema.")


def _discovered(report: Report) -> Said:
    case, listing = report.case, report.messages.listing
    if case.facts.seen.spec is None or case.facts.problems:
        return Said("False", Reason.INVALID_CONFIG, "The configuration has problems; see the condition ConfigValid.")
    if not case.streams.is_fresh:
        return Said("False", listing.reason, listing.message + listing.when)
    spec, known = case.facts.seen.spec, case.memory.selection
    unmatched = say_unmatched(known) if spec.streams is not None and known.key == spec.asked else ()
    notes = " ".join((say_streams(case.memory), *unmatched, *case.memory.discovery.notes))
    if case.streams.has_failed:
        notes += f" Listing them again failed: {listing.message}{listing.when}"
    return Said("True", Reason.DISCOVERED, notes)


def _dataset_resolved(report: Report) -> Said:
    dataset = report.case.facts.seen.dataset
    is_resolved = dataset.resolution is Resolution.RESOLVED
    return Said("True" if is_resolved else "False", dataset.reason, dataset.message)


def _runner_healthy(report: Report) -> Said:
    (case, messages), live = report, report.case.facts.live
    if case.row.unhealthy:
        return Said("False", messages.reason, messages.message)
    if live and live[-1].job.ready:
        return Said("True", Reason.RUNNING, f"Execution {live[-1].job.name} is ready.")
    if live:
        return Said("False", messages.pod.reason, messages.pod.message)
    return Said("Unknown", Reason.NO_EXECUTION, "No execution is requested, or none can start.")


def _runner_up_to_date(report: Report) -> Said:
    return Said(*say_image(report.case, is_stalled=report.messages.stalled))


def _selection_applied(report: Report) -> Said | None:
    facts = report.case.facts
    if facts.seen.spec is None or facts.seen.spec.streams is None:
        return None
    return Said(*say_applied(facts, report.case.memory))


def _streams_healthy(report: Report) -> Said:
    return Said(*say_streams_healthy(report.case))


CONDITIONS: tuple[ConditionKind[Report], ...] = (
    ConditionKind(
        "Ready",
        "True when the state is what the spec asks for; a connector that nobody asked to run is Ready, too.",
        _ready,
    ),
    ConditionKind(
        "Reconciling",
        "True while something is being changed, or waits for what may come by itself. Abnormal when true.",
        _reconciling,
    ),
    ConditionKind("Stalled", "True when only a person can fix it. Abnormal when true.", _stalled),
    ConditionKind(
        "ConfigValid",
        "Whether the spec agrees with the type's schema; lists every problem with its path.",
        _config_valid,
    ),
    ConditionKind("Discovered", "Whether the streams in status are those of the present configuration.", _discovered),
    ConditionKind("DatasetResolved", "Whether datasetId leads to a valid Dataset.", _dataset_resolved),
    ConditionKind(
        "RunnerHealthy",
        "Whether the execution's pod is ready; Unknown when no execution is requested.",
        _runner_healthy,
    ),
    ConditionKind(
        "SelectionApplied",
        "Whether the running execution carries what spec.streams selects; only with spec.streams. A runner that refuses a changed selection says why.",
        _selection_applied,
    ),
    ConditionKind(
        "RunnerUpToDate",
        "Whether the execution was made from the runner's present image; Unknown when none is live.",
        _runner_up_to_date,
    ),
    ConditionKind(
        "StreamsHealthy",
        "False while a stream of the selection has failed and is paused; the others continue, so Ready stays True. Unknown when no execution is ready, or its progress is not known.",
        _streams_healthy,
    ),
)
"""In the order in which they are written."""
