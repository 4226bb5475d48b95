"""What the console shows, from resources: a connector in one line, one in detail, its events and executions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from connector_operator.api.identity import connector_id
from connector_operator.api.ownership import find_owner
from connector_operator.api.responses import open_config
from connector_operator.resources.connector import parse_status
from connector_operator.resources.names import LABEL_CONNECTOR
from connector_operator.resources.reasons import NOTHING, Reason
from connector_operator.resources.runner_metrics import Sample
from connector_operator.resources.yaml_text import format_yaml
from connector_runner.schemas.kinds.conditions import Condition
from connector_runner.schemas.kinds.connector_status import ConnectorStatus
from connector_runner.schemas.kinds.naming import API_VERSION

Object = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as JSON."""

_LISTS_OF_PROGRESS = frozenset({"failures", "copies", "slowest"})
"""Parts of the progress that only the view of one connector shows."""
_OWN_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration",)
_NO_CONDITION = Condition(type="Ready", status="", reason="", message="")


def build_summary(resource: Object) -> dict[str, Any]:
    """A connector in one line of the fleet: its state without streams and config.

    `rows` counts since the start of the execution `run`: a reader that sees two of them knows rows per second.
    """
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    status = parse_status(resource.get("status"))
    ready = find_condition(status, "Ready")
    summary: dict[str, Any] = {
        "id": connector_id(metadata),
        "name": metadata["name"],
        "type": str(spec.get("connectorType", "")),
        "dataset": str(spec.get("datasetId", "")),
        "state": status.state.status or "pending",
        "asked": str(spec.get("status", "")),
        "ready": ready.status,
        "reason": ready.reason,
        "message": ready.message,
        "stalled": find_condition(status, "Stalled").status == "True",
        "since": ready.last_transition_time,
        "streams": status.selection.text or describe_selection(spec),
        "streamsTotal": status.streams_total or len(status.streams),
        "run": status.run,
        "observed": status.observed_generation >= int(metadata.get("generation") or 0),
        "created": str(metadata.get("creationTimestamp", "")),
        "updated": status.updated,
        "version": str(metadata.get("resourceVersion", "")),
    }
    if status.progress.run and status.state.status == "running":
        figures = msgspec.to_builtins(status.progress)
        summary["progress"] = {name: value for name, value in figures.items() if name not in _LISTS_OF_PROGRESS}
    if owner := find_owner(metadata):
        summary["managedBy"] = owner
    return summary


def build_detail(resource: Object) -> dict[str, Any]:
    """One connector: its summary, conditions with their cures, streams, selection, progress, and its manifest as YAML."""
    spec, status = resource.get("spec") or {}, parse_status(resource.get("status"))
    detail = build_summary(resource)
    detail |= {
        "description": str(spec.get("description", "")),
        "wait": spec.get("wait", True) is not False,
        "selectedStream": str(spec.get("selectedStream", "")),
        "selectedStreams": spec.get("streams"),
        "onStreamFailure": str(spec.get("onStreamFailure", "")),
        "config": open_config(spec),
        "secrets": [source["secretRef"]["name"] for source in spec.get("configFrom") or () if "secretRef" in source],
        "conditions": [_build_condition(condition) for condition in status.conditions],
        "streamList": msgspec.to_builtins(status.streams),
        "selection": msgspec.to_builtins(status.selection),
        "discovery": _build_discovery(status),
        "retry": {"failures": status.retry.failures, "at": status.retry.at},
        "lastExecution": msgspec.to_builtins(status.last_execution),
        "execId": status.state.exec_id,
        "runnerVersion": status.runner_version,
        "table": status.dataset.table,
        "manifest": build_manifest(resource),
    }
    if status.progress.run:
        detail["progress"] = msgspec.to_builtins(status.progress)
    return detail


def build_manifest(resource: Object) -> str:
    """The connector as YAML to keep under version control: what a person wrote, without a secret's value."""
    metadata, spec = resource["metadata"], dict(resource.get("spec") or {})
    kept: dict[str, Any] = {"name": metadata["name"]}
    for part in ("labels", "annotations"):
        if entries := {key: value for key, value in (metadata.get(part) or {}).items() if key not in _OWN_ANNOTATIONS}:
            kept[part] = entries
    if "config" in spec:
        spec["config"] = open_config(spec)
    document = {"apiVersion": API_VERSION, "kind": "Connector", "metadata": kept, "spec": spec}
    return format_yaml(document, width=10_000)


def describe_selection(spec: Object) -> str:
    """What the spec selects, before the operator has said it in words."""
    include = (spec.get("streams") or {}).get("include") or ()
    return str(spec.get("selectedStream") or "") or ", ".join(map(str, include))


def build_events(events: Iterable[Object]) -> list[dict[str, Any]]:
    """Kubernetes' events of a connector, the newest first."""
    found = [
        {
            "at": str(event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp") or ""),
            "first": str(event.get("firstTimestamp") or ""),
            "count": int(event.get("count") or 1),
            "warning": event.get("type") == "Warning",
            "reason": str(event.get("reason", "")),
            "message": str(event.get("message", "")),
            "remedy": find_remedy(str(event.get("reason", ""))),
        }
        for event in events
    ]
    return sorted(found, key=lambda event: str(event["at"]), reverse=True)


def build_reasons() -> list[dict[str, str]]:
    """The table of reasons, as docs/reasons.md has it."""
    return [{"reason": reason.value, "meaning": reason.meaning, "remedy": reason.remedy} for reason in Reason]


def find_remedy(reason: str) -> str:
    """What a person does about a reason; "" if there is nothing to do, or the reason is the runner's own."""
    known = _REASONS.get(reason)
    return known.remedy if known is not None and known.remedy != NOTHING else ""


_REASONS: dict[str, Reason] = {reason.value: reason for reason in Reason}


def find_condition(status: ConnectorStatus, kind: str) -> Condition:
    """A condition of the status; an empty one if it is absent."""
    return next((condition for condition in status.conditions if condition.type == kind), _NO_CONDITION)


def build_sample(sample: Sample) -> dict[str, Any]:
    """A runner's metrics at one moment: `at` in seconds since 1970; counts since the execution began."""
    return {
        "at": round(sample.at, 3),
        "rows": int(sample.rows),
        "lagSeconds": sample.lag,
        "commits": int(sample.commits),
        "commitSeconds": sample.commit_seconds,
    }


def build_selector(name: str) -> str:
    """The label selector of what belongs to a connector."""
    return f"{LABEL_CONNECTOR}={name}"


def _build_condition(condition: Condition) -> dict[str, Any]:
    known = _REASONS.get(condition.reason)
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message or (known.meaning if known is not None else ""),
        "since": condition.last_transition_time,
        "remedy": find_remedy(condition.reason),
        "known": known is not None,
    }


def _build_discovery(status: ConnectorStatus) -> dict[str, Any]:
    discovery = status.discovery
    return {
        "at": discovery.at,
        "failures": discovery.failures,
        "reason": discovery.reason,
        "message": discovery.message,
        "retryAt": discovery.retry_at,
        "notes": list(discovery.notes),
    }
