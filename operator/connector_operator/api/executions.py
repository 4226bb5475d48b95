"""A connector's executions as people see them: from its Jobs, their pods, and the last one that its status remembers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connector_operator.resources.names import LABEL_ROLE, LABEL_RUN, ROLE_RUNNER
from connector_operator.workloads.asked_jobs import find_end, read_last_words

Object = Mapping[str, Any]


def build_executions(jobs: Iterable[Object], pods: Iterable[Object], last: Object) -> list[dict[str, Any]]:
    """The executions that are known, the newest first: the operator removes a Job once it has noted how it ended.

    Args:
        jobs: Of the connector.
        pods: Of these Jobs.
        last: `status.lastExecution` of the connector, as JSON.
    """
    by_run = {_run_of(pod): pod for pod in pods if _role_of(pod) == ROLE_RUNNER}
    found = {
        _run_of(job): _build_execution(job, by_run.get(_run_of(job), {}))
        for job in jobs
        if _role_of(job) == ROLE_RUNNER
    }
    if number := int(last.get("run") or 0):
        found[number] = {**found.get(number, {}), **_build_last(last)}
    return [found[run] for run in sorted(found, reverse=True)]


def _build_execution(job: Object, pod: Object) -> dict[str, Any]:
    ended = find_end(pod) or {}
    reason, message = read_last_words(ended)
    return {
        "run": _run_of(job),
        "job": str(job["metadata"]["name"]),
        "pod": str((pod.get("metadata") or {}).get("name", "")),
        "node": str((pod.get("spec") or {}).get("nodeName", "")),
        "phase": str((pod.get("status") or {}).get("phase", "")),
        "startedAt": str((job.get("status") or {}).get("startTime") or job["metadata"].get("creationTimestamp") or ""),
        "finishedAt": str(ended.get("finishedAt") or ""),
        "exitCode": ended.get("exitCode"),
        "reason": reason,
        "message": message,
    }


def _build_last(last: Object) -> dict[str, Any]:
    kept = {
        "run": int(last.get("run") or 0),
        "job": str(last.get("execId") or "").rpartition("/")[2],
        "exitCode": last.get("exitCode"),
        **{name: str(last.get(name) or "") for name in ("startedAt", "finishedAt", "reason", "message")},
    }
    return {"pod": "", "node": "", "phase": "", **kept} if kept["finishedAt"] else kept


def _run_of(thing: Object) -> int:
    text = str((thing["metadata"].get("labels") or {}).get(LABEL_RUN, ""))
    return int(text) if text.isdecimal() else 0


def _role_of(thing: Object) -> str:
    return str((thing["metadata"].get("labels") or {}).get(LABEL_ROLE, ""))
