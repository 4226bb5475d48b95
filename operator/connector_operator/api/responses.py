"""Connectors in answers: the fields of the seed's examples, from a resource's spec and status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

import msgspec

from connector_operator.api.identity import connector_id
from connector_operator.api.requests import split_secrets
from connector_operator.api.schemas import FIELDS
from connector_operator.resources.connector import parse_status
from connector_operator.resources.times import parse_time
from connector_runner.schemas.config import connector_types
from connector_runner.schemas.kinds.conditions import Condition
from connector_runner.schemas.kinds.connector_status import ConnectorStatus, RunProgress

_ALWAYS = {
    name: "" if field.default is None else field.default
    for name, field in FIELDS.items()
    if field.http.read == "always"
}
"""Fields that every answer has, and their values when the spec has none."""
_WHEN_SET = {name: field.http.shown_as or name for name, field in FIELDS.items() if field.http.read == "set"}
"""Fields that an answer has when they are set, and their names there."""


def build_response(resource: Mapping[str, Any], *, with_config: bool) -> dict[str, Any]:
    """One connector as GET returns it; with its config, but never with a secret's value."""
    spec, status = resource.get("spec") or {}, parse_status(resource.get("status"))
    metadata = resource["metadata"]
    answer: dict[str, Any] = {
        "id": connector_id(metadata),
        "state": build_state(metadata["name"], status),
        "streams": [{"id": stream.id} for stream in status.streams],
        "updated": _milliseconds(status.updated or metadata.get("creationTimestamp", "")),
    }
    answer |= {name: spec.get(name, default) for name, default in _ALWAYS.items()}
    answer = dict(sorted(answer.items()))
    answer |= {shown: spec[name] for name, shown in _WHEN_SET.items() if spec.get(name)}
    if status.progress.run and not status.progress.unread:
        answer["progress"] = _build_progress(status.progress)
    if with_config:
        answer["config"] = open_config(spec)
    return answer


def _build_progress(progress: RunProgress) -> dict[str, Any]:
    """What the runner of the present execution reports, without what stands in `state`."""
    figures: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(progress))
    return {name: value for name, value in figures.items() if name not in {"run", "lag"}}


def build_update_response(resource: Mapping[str, Any]) -> dict[str, Any]:
    """One connector as PUT returns it."""
    metadata = resource["metadata"]
    return {
        "id": connector_id(metadata),
        "state": build_state(metadata["name"], parse_status(resource.get("status"))),
    }


def build_state(name: str, status: ConnectorStatus) -> dict[str, str]:
    """`state`, with reason and message when people need them; `pending` before the operator's first visit."""
    state = {"jobId": status.state.job_id or name, "status": status.state.status or "pending"}
    if status.state.exec_id:
        state["execId"] = status.state.exec_id
    ready = _find_condition(status, "Ready")
    if ready is not None and ready.status != "True" and has_error(status):
        state |= {"reason": ready.reason, "message": ready.message}
    return state


def has_error(status: ConnectorStatus) -> bool:
    """Whether something went wrong: the connector is errored, stalled, or retrying."""
    stalled = _find_condition(status, "Stalled")
    failures = status.discovery.failures + status.retry.failures
    return status.state.status == "errored" or (stalled is not None and stalled.status == "True") or failures > 0


def is_settled(resource: Mapping[str, Any]) -> bool:
    """Whether the state is the new one.

    The operator must have seen this spec, and have nothing in progress or have started the execution.
    """
    status = parse_status(resource.get("status"))
    if status.observed_generation < resource["metadata"].get("generation", 0):
        return False
    if status.state.status == "errored":
        return True
    asked = (resource.get("spec") or {}).get("status")
    if asked == "running" and status.state.status == "running" and _has_begun(status):
        return True
    reconciling = _find_condition(status, "Reconciling")
    return reconciling is not None and reconciling.status == "False"


LEAVING = frozenset({"Replacing", "NodeLost"})
"""Reasons of Ready while `execId` is still that of an execution which is being replaced."""


def _has_begun(status: ConnectorStatus) -> bool:
    """Whether the execution is the requested one: not one that is ending, nor one that runs until the next can start.

    For the latter, Ready says what the next start waits for (streams, a Dataset); its own pod's condition does not.
    """
    ready, healthy = _find_condition(status, "Ready"), _find_condition(status, "RunnerHealthy")
    execution = status.state.exec_id
    if ready is None or not execution or execution == status.last_execution.exec_id or ready.reason in LEAVING:
        return False
    return ready.status == "True" or (healthy is not None and healthy.reason == ready.reason)


def _find_condition(status: ConnectorStatus, kind: str) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == kind), None)


def open_config(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The config in the spec, without properties that the schema marks as secret (somebody may have put them there)."""
    config, kind = spec.get("config") or {}, spec.get("connectorType")
    return split_secrets(config, str(kind))[0] if kind in connector_types() else {}


def _milliseconds(text: str) -> str:
    """A time in the seed's format: `2023-03-24T14:56:10.000Z`."""
    moment = parse_time(text)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else text
