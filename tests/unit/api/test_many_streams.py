"""Requests with many streams."""

from typing import Any

import pytest

from connector_operator.api import patches, requests
from connector_operator.api.problems import ProblemError
from tests.unit.api.test_requests import BODY, paths

MANY = {"include": ["shop.*"]}


def test_many_streams_are_taken_by_both_calls() -> None:
    body = {**BODY, "streams": {**MANY, "exclude": ["shop.audit_*"], "added": "ignore"}, "onStreamFailure": "stop"}
    creation = requests.parse_create_request("x", body)
    assert (creation.document, creation.ignored) == (body, ())
    built = patches.build_connector("x", "x", creation, "")
    assert built["spec"]["streams"] == body["streams"]
    changed = {"streams": MANY, "onStreamFailure": None}
    assert requests.parse_update_request(changed, "COINBASE", has_secrets=False).document == changed


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"streams": MANY, "selectedStream": "shop.orders"}, "$.streams"),
        ({"streams": {"include": []}}, "$.streams.include"),
        ({"streams": {"include": ["a", "b."]}}, "$.streams.include[1]"),
        ({"streams": {"include": ["a"], "exclude": ['"b']}}, "$.streams.exclude[0]"),
        ({"streams": {**MANY, "more": 1}}, "$.streams.more"),
        ({"streams": "shop.*"}, "$.streams"),
        ({"onStreamFailure": "ignore"}, "$.onStreamFailure"),
    ],
)
def test_a_wrong_selection_is_told_with_its_path(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ProblemError) as error:
        requests.parse_create_request("x", {**BODY, **fields})
    assert paths(error) == [wrong]
    with pytest.raises(ProblemError) as error:
        requests.parse_update_request(fields, "COINBASE", has_secrets=False)
    assert paths(error) == [wrong]


def test_one_stream_beside_many_is_a_conflict_that_says_how() -> None:
    refuse = requests.refuse_second_selection
    one: dict[str, Any] = {"selectedStream": "shop.orders"}
    many: dict[str, Any] = {"streams": MANY}
    for document, spec, how in (
        (one, many, '{"selectedStream": "…", "streams": null}'),
        (many, one, '{"streams": {…}, "selectedStream": null}'),
    ):
        with pytest.raises(ProblemError) as error:
            refuse(document, spec)
        assert error.value.status == 409
        assert how in error.value.detail
    taken: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (one, one), (many, many), ({**one, "streams": None}, many), ({**many, "selectedStream": ""}, one),
        ({"selectedStream": ""}, many), ({"selectedStream": None}, many), ({"wait": False}, many),
    ]  # fmt: skip
    for document, spec in taken:
        refuse(document, spec)
