"""Lists and watches of connectors are read in part: what the fleet shows of them stays the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connector_operator.api.fleet import build_summary
from connector_operator.api.listed import decode_event, decode_page
from tests.kit.console_fleet import build_fleet

MANAGED = [
    {"manager": "kubectl", "fieldsV1": {"f:metadata": {}}},
    {"manager": "kustomize-controller", "fieldsV1": {"f:spec": {"f:config": {"f:url": {}}}}},
]


def build_stored() -> list[dict[str, Any]]:
    """Connectors as the API server stores them, some of them odd."""
    stored = [*build_fleet(60, datetime(2026, 11, 1, tzinfo=UTC)), {"metadata": {"name": "bare"}}]
    for number, one in enumerate(stored):
        one["metadata"] |= {
            "uid": "u", "resourceVersion": str(number), "generation": 1 + number % 2, "creationTimestamp": "2026-11-01T00:00:00Z",
            "annotations": {"apperate.io/id": one["metadata"]["name"].upper()}, **({"managedFields": MANAGED} if number % 3 else {}),
        }  # fmt: skip
    odd: list[dict[str, Any]] = [
        {"status": {"streams": [{"id": "a"}, {"id": "b"}], "state": {"status": "received"}}},  # of an early operator
        {"status": {"state": 5, "run": "x", "conditions": [{"type": "Ready", "status": "True", "reason": "Running"}]}},
        {"status": None, "spec": None},
        {"spec": {"connectorType": "MYSQL", "streams": {"include": ["shop.*"]}}},
    ]
    return stored + [{"metadata": {"name": f"odd-{number}"}, **one} for number, one in enumerate(odd)]


def test_a_page_gives_the_same_summaries_as_the_whole_objects() -> None:
    stored = build_stored()
    page = decode_page(json.dumps({"metadata": {"continue": "x", "resourceVersion": "9"}, "items": stored}).encode())
    assert page["metadata"] == {"continue": "x", "resourceVersion": "9"}
    assert [build_summary(one) for one in page["items"]] == [build_summary(one) for one in stored]
    assert any(build_summary(one).get("managedBy") == {"tool": "Flux", "name": ""} for one in page["items"])
    assert all("config" not in (one.get("spec") or {}) for one in page["items"])


def test_an_event_gives_the_same_summary() -> None:
    for one in build_stored():
        event = decode_event(json.dumps({"type": "MODIFIED", "object": one}).encode())
        assert event["type"] == "MODIFIED"
        assert build_summary(event["object"]) == build_summary(one)


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "Status", "code": 410, "message": "too old"},
        {"type": "ERROR", "object": {"code": 410}},
        [],
        5,
        {"items": [7]},
    ],
)
def test_what_is_no_list_and_no_event_is_read_whole(value: Any) -> None:
    assert decode_page(json.dumps(value).encode()) == decode_event(json.dumps(value).encode()) == value
    assert decode_page(b"<html>") is decode_event(b"") is None
