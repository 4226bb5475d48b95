"""The status that follows from a case, whether it must be written, and which change to report."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from connector_operator.decide.case import Case
from connector_operator.decide.conditions import CONDITIONS, Report, build_conditions
from connector_operator.decide.image import execution_version
from connector_operator.decide.inputs import Execution
from connector_operator.decide.messages import Messages
from connector_operator.decide.outputs import Action, EventType
from connector_operator.decide.selected import with_text
from connector_operator.resources import names
from connector_operator.resources.connector import build_status
from connector_operator.resources.reasons import Reason, RunnerReason
from connector_operator.resources.times import format_time
from connector_runner.schemas.kinds.connector_status import EffectiveDataset, State

_OWN = frozenset(kind.type for kind in CONDITIONS)


class Announcement(msgspec.Struct, frozen=True):
    """A change to report; a quiet one is logged and gets no event."""

    reason: Reason | RunnerReason
    message: str
    is_warning: bool
    is_quiet: bool


def compose_status(case: Case, messages: Messages) -> dict[str, Any]:
    """The whole status, as it is applied."""
    seen = case.facts.seen
    dataset = EffectiveDataset(seen.dataset.name, seen.dataset.table) if seen.dataset.spec else EffectiveDataset()
    status = msgspec.structs.replace(
        case.memory,
        observed_generation=seen.generation,
        state=State(case.row.state, seen.name, _execution_id(case)),
        selection=with_text(seen.spec, case.memory.selection),
        dataset=dataset,
        conditions=build_conditions(
            CONDITIONS, Report(case, messages), seen.status.conditions, seen.generation, seen.now
        ),
        runner_version=execution_version(case),
        updated=format_time(seen.now),
    )
    return build_status(status)


def _execution_id(case: Case) -> str:
    """The id of the execution that exists, is being created or is ending; "" when no Job and no pod is left."""
    seen, live = case.facts.seen, case.facts.live
    if case.row.action is Action.START:
        job = names.execution_job_name(seen.name, seen.uid, case.memory.run)
        return names.execution_id(seen.namespace, seen.name, job)
    if case.inputs.execution is Execution.NONE:
        return ""
    return names.execution_id(seen.namespace, seen.name, live[-1].job.name) if live else case.memory.state.exec_id


def announce(case: Case, messages: Messages, status: dict[str, Any]) -> Announcement | None:
    """The change to report with a written status: a new state, a new reason of Ready, a person is needed now, or streams failed."""
    ready = _find(status, "Ready")
    old, stalled = case.facts.conditions.get("Ready"), case.facts.conditions.get("Stalled")
    is_same_state = case.facts.seen.status.state.status == status["state"]["status"]
    is_same_need = not messages.stalled or (stalled is not None and stalled.status == "True")
    if old is not None and old.reason == ready["reason"] and is_same_state and is_same_need:
        return _announce_streams(case, status)
    reason = messages.reason
    is_quiet = isinstance(reason, Reason) and reason.is_quiet
    is_warning = not is_quiet and (case.row.event is EventType.WARNING or messages.stalled)
    return Announcement(reason, messages.event, is_warning, is_quiet)


def _announce_streams(case: Case, status: dict[str, Any]) -> Announcement | None:
    """That a stream has failed, or that all are carried again."""
    new, old = _find(status, "StreamsHealthy"), case.facts.conditions.get("StreamsHealthy")
    before = old.status if old is not None else ""
    if new["status"] == "False" and before != "False":
        return Announcement(Reason.STREAMS_FAILED, new["message"], True, False)
    if new["status"] == "True" and before == "False":
        return Announcement(Reason.NO_STREAM_FAILED, new["message"], False, False)
    return None


def _find(status: dict[str, Any], kind: str) -> dict[str, Any]:
    condition: dict[str, Any] = next(c for c in status["conditions"] if c["type"] == kind)
    return condition


def has_changed(stored: dict[str, Any], desired: dict[str, Any]) -> bool:
    """Whether a status must be written: `updated`, times of transitions and foreign conditions alone are no reason."""
    return bool(_settled(stored) != _settled(desired))


def _settled(status: Any) -> Any:
    """A raw status without the parts that change by themselves."""
    if not isinstance(status, dict):
        return None
    bare = {key: value for key, value in status.items() if key != "updated"}
    conditions = bare.get("conditions")
    if isinstance(conditions, list):  # otherwise somebody wrote it by hand
        bare["conditions"] = [
            {key: value for key, value in condition.items() if key != "lastTransitionTime"}
            for condition in conditions
            if isinstance(condition, dict) and condition.get("type") in _OWN
        ]
    return bare


def refused_status(stored: dict[str, Any], desired: dict[str, Any], message: str, now: datetime) -> dict[str, Any]:
    """The stored status with the conditions of the desired one, which was refused; Ready and Stalled say so."""
    said = {"Ready": "False", "Reconciling": "False", "Stalled": "True"}
    conditions = []
    for condition in desired["conditions"]:
        kind = condition["type"]
        if kind in said:
            times = {"lastTransitionTime": format_time(now)} if condition["status"] != said[kind] else {}
            condition = {
                **condition,
                **times,
                "status": said[kind],
                "reason": str(Reason.STATUS_REFUSED),
                "message": message,
            }
        conditions.append(condition)
    kept = {name: value for name, value in stored.items() if name != "conditions"}
    return {**kept, "observedGeneration": desired["observedGeneration"], "conditions": conditions}
