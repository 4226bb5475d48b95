"""The conditions as a table: who says what of each, and which are abnormal when true."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connector_operator.decide.classify import live_jobs
from connector_operator.decide.facts import problems_of
from connector_operator.decide.inputs import ListingAction
from connector_operator.decide.messages import Messages, say_discovered, sentence
from connector_operator.decide.observation import Observation
from connector_operator.decide.table import ListingRow, Row
from connector_operator.resources.connector import Condition, ConnectorStatus
from connector_operator.resources.dataset import Resolution
from connector_operator.resources.times import format_time

Said = tuple[str, str, str]
"""Status, reason, message."""

CONDITIONS = {
    "Ready": "True when the state is what the spec asks for, so that nobody waits for what was not asked.",
    "Reconciling": "True while something is being changed, or waits for what may come by itself. Abnormal when true.",
    "Stalled": "True when only a person can mend it. Abnormal when true.",
    "ConfigValid": "Whether the spec agrees with the type's schema; lists every problem with its path.",
    "Discovered": "Whether the streams in status are those of the present configuration.",
    "DatasetResolved": "Whether datasetId leads to a valid Dataset.",
    "RunnerHealthy": "Whether the execution's pod is ready; Unknown when none is asked for.",
}
"""Each condition that the operator owns, and what it means; in the order in which they are written."""
UNHEALTHY_ROWS = frozenset(
    [
        "stop",
        "stopping",
        "orphaned",
        "stranded",
        "leaving",
        "replace",
        "lost",
        "spent",
        "trim",
        "start",
        "backoff",
        "failing",
        "mend",
        "fenced",
    ]
)
"""Where what is said of Ready is said of the runner's health, too."""


def build_conditions(
    seen: Observation, memory: ConnectorStatus, row: Row, listing: ListingRow, words: Messages
) -> tuple[Condition, ...]:
    """All conditions of a status; the time of the last transition is kept where the status is the same."""
    said: dict[str, Said] = {
        "Ready": ("True" if "R" in words.flags else "False", words.reason, words.message),
        "Reconciling": _reconciling(row, listing, words),
        "Stalled": _if("S" in words.flags, words.reason, words.message, "NotStalled", "Nothing needs a person."),
        "ConfigValid": _config_valid(seen),
        "Discovered": say_discovered(seen, memory, words.listing),
        "DatasetResolved": _dataset_resolved(seen),
        "RunnerHealthy": _runner_healthy(seen, row, words),
    }
    before = {condition.type: condition for condition in seen.status.conditions}
    built = []
    for kind in CONDITIONS:
        status, reason, message = said[kind]
        old = before.get(kind)
        kept = old is not None and old.status == status and old.last_transition_time
        since = old.last_transition_time if old is not None and kept else format_time(seen.now)
        built.append(Condition(kind, status, reason, message, since, seen.generation))
    return tuple(built)


def _if(holds: bool, reason: str, message: str, other_reason: str, other: str) -> Said:
    return ("True", reason, message) if holds else ("False", other_reason, other)


def _reconciling(row: Row, listing: ListingRow, words: Messages) -> Said:
    if "P" in words.flags:
        return "True", words.reason, words.message
    if "S" in words.flags:
        return "False", "Settled", "Nothing is being changed."
    busy = listing.name in {"begin", "line", "active", "read", "change", "leave", "cancel"}
    if busy and listing.action is not ListingAction.CANCEL:
        return "True", words.listing.reason, words.listing.message + words.listing.when
    return "False", "Settled", "Nothing is being changed."


def _config_valid(seen: Observation) -> Said:
    problems = problems_of(seen)
    if problems:
        return "False", "InvalidConfig", sentence(problems)
    if seen.spec is not None and seen.spec.config_from:
        return "True", "Valid", "Valid as far as it stands in the spec; what Secrets add is checked by the runner."
    return "True", "Valid", "The configuration agrees with the type's schema."


def _dataset_resolved(seen: Observation) -> Said:
    return (
        "True" if seen.dataset.resolution is Resolution.RESOLVED else "False",
        seen.dataset.reason,
        seen.dataset.message,
    )


def _runner_healthy(seen: Observation, row: Row, words: Messages) -> Said:
    live = live_jobs(seen)
    if row.name in UNHEALTHY_ROWS:
        return "False", words.reason, words.message
    if live and live[-1].ready:
        return "True", "Running", f"Execution {live[-1].name} is ready."
    if live:
        return "False", words.pod.reason, words.pod.message
    return "Unknown", "NoExecution", "No execution is asked for, or none can start."


def _settled(status: Any) -> Any:
    """A raw status without what changes by itself."""
    if not isinstance(status, dict):
        return None
    bare = {key: value for key, value in status.items() if key != "updated"}
    conditions = bare.get("conditions")
    if isinstance(conditions, list):  # else a hand wrote it
        bare["conditions"] = [
            {key: value for key, value in condition.items() if key != "lastTransitionTime"}
            for condition in conditions
            if isinstance(condition, dict) and condition.get("type") in CONDITIONS
        ]
    return bare


def has_changed(stored: dict[str, Any], desired: dict[str, Any]) -> bool:
    """Whether a status must be written: `updated` and times of transitions alone are no reason; foreign conditions neither."""
    return bool(_settled(stored) != _settled(desired))


def refused_status(stored: dict[str, Any], desired: dict[str, Any], message: str, now: datetime) -> dict[str, Any]:
    """The stored status with the conditions of a desired one that was refused, and that said in Ready and Stalled."""
    said = dict(Ready="False", Reconciling="False", Stalled="True")  # noqa: C408
    conditions = []
    for condition in desired["conditions"]:
        kind = condition["type"]
        if kind in said:
            times = {"lastTransitionTime": format_time(now)} if condition["status"] != said[kind] else {}
            condition = {**condition, **times, "status": said[kind], "reason": "StatusRefused", "message": message}
        conditions.append(condition)
    kept = {name: value for name, value in stored.items() if name != "conditions"}
    return {**kept, "observedGeneration": desired["observedGeneration"], "conditions": conditions}


def transition(before: ConnectorStatus, after: dict[str, Any]) -> str | None:
    """The new Ready reason when state or reason has changed, else None."""
    ready = next(c for c in after["conditions"] if c["type"] == "Ready")
    old = next((c for c in before.conditions if c.type == "Ready"), None)
    same = old is not None and old.reason == ready["reason"] and before.state.status == after["state"]["status"]
    return None if same else str(ready["reason"])
