"""The newest rows as the console shows them: columns and texts, and the rights that reading them needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from connector_operator.resources.rights import Right
from connector_operator.workloads.asked_jobs import Object, find_end, read_last_words

LONGEST_TEXT = 2000
"""Characters of one value that are shown."""


def list_rights(namespace: str) -> list[Right]:
    """What a caller must be allowed so that a Job is made, its log read, and the Job removed."""
    wanted = [("create", "jobs.batch"), ("delete", "jobs.batch"), ("list", "jobs.batch"), ("list", "pods")]
    return [Right(verb, resource, namespace) for verb, resource in [*wanted, ("get", "pods/log")]]


def build_review(right: Right) -> dict[str, Any]:
    """The question to the API server whether who asks has a right."""
    attributes = {"namespace": right.namespace, "verb": right.verb, "group": right.group, "resource": right.kind}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes | ({"subresource": right.part} if right.part else {})},
    }


def build_table(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows for a page: `columns`, and `rows` as lists of texts; None for NULL.

    Numbers are texts, since a browser would round large ones.
    """
    listed = list(rows)
    columns = list(dict.fromkeys(name for row in listed for name in row))
    return {"columns": columns, "rows": [[_show(row.get(name)) for name in columns] for row in listed]}


def build_failure(pod: Object) -> dict[str, Any]:
    """Why the Job printed no rows, from its pod that has ended."""
    ended = find_end(pod) or {}
    reason, message = read_last_words(ended)
    status = pod.get("status") or {}
    return {
        "exitCode": ended.get("exitCode"),
        "reason": reason or str(status.get("reason") or ""),
        "message": message or str(status.get("message") or "Its container has ended and left no message."),
    }


def _show(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text):,} characters)"
