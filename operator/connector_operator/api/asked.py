"""Jobs that the console has made to answer a question: the rights that they need, and why one has no answer. Pure."""

from __future__ import annotations

from typing import Any

from connector_operator.resources.rights import Right
from connector_operator.workloads.asked_jobs import Object, find_end, read_last_words


def list_rights(namespace: str) -> list[Right]:
    """What a caller must be allowed so that a Job is made, its log read, and the Job removed."""
    wanted = [("create", "jobs.batch"), ("delete", "jobs.batch"), ("list", "pods"), ("get", "pods/log")]
    return [Right(verb, resource, namespace) for verb, resource in wanted]


def build_review(right: Right) -> dict[str, Any]:
    """The question to the API server whether who asks has a right."""
    attributes = {"namespace": right.namespace, "verb": right.verb, "group": right.group, "resource": right.kind}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes | ({"subresource": right.part} if right.part else {})},
    }


def build_failure(pod: Object) -> dict[str, Any]:
    """Why the Job printed no answer, from its pod that has ended."""
    ended = find_end(pod) or {}
    reason, message = read_last_words(ended)
    status = pod.get("status") or {}
    return {
        "event": "failed",
        "exitCode": ended.get("exitCode"),
        "reason": reason or str(status.get("reason") or ""),
        "message": message or str(status.get("message") or "Its container has ended and left no message."),
    }
