"""Rows as the console shows them, the rights that they need, and the commands that give rights."""

from __future__ import annotations

import pytest

from connector_operator.api.asked import build_failure, build_review, list_rights
from connector_operator.api.problems import from_kubernetes
from connector_operator.api.rows import LONGEST_TEXT, build_table
from connector_operator.resources.rights import Right, build_grants, read_refusal


def test_numbers_are_texts_that_no_browser_rounds() -> None:
    table = build_table([{"id": 2**63 + 1, "price": 0.1}, {"id": 3, "note": None, "tags": ["a"], "price": "1.10"}])
    assert table["columns"] == ["id", "price", "note", "tags"]
    assert table["rows"] == [["9223372036854775809", "0.1", None, None], ["3", "1.10", None, '["a"]']]
    assert build_table([]) == {"columns": [], "rows": []}


def test_a_long_value_is_cut_and_says_so() -> None:
    ((text,),) = build_table([{"body": "x" * 1_234_567}])["rows"]
    assert text.startswith("x" * LONGEST_TEXT + "… (1,234,567 ")


def test_why_there_are_no_rows() -> None:
    ended = {"exitCode": 78, "message": '{"reason": "NotReadable", "message": "HTTP datasets can\'t be read back"}'}
    pod = {"status": {"containerStatuses": [{"name": "runner", "state": {"terminated": ended}}]}}
    assert build_failure(pod) == {
        "event": "failed", "exitCode": 78, "reason": "NotReadable", "message": "HTTP datasets can't be read back",
    }  # fmt: skip
    evicted = {"status": {"phase": "Failed", "reason": "DeadlineExceeded", "message": "was active too long"}}
    assert build_failure(evicted) == {
        "event": "failed", "exitCode": None, "reason": "DeadlineExceeded", "message": "was active too long",
    }  # fmt: skip


def test_each_right_is_asked_for_by_its_parts() -> None:
    asked = [build_review(right)["spec"]["resourceAttributes"] for right in list_rights("shop")]
    assert {"namespace": "shop", "verb": "create", "group": "batch", "resource": "jobs"} in asked
    assert {"namespace": "shop", "verb": "get", "group": "", "resource": "pods", "subresource": "log"} in asked


@pytest.mark.parametrize(
    ("message", "right", "user"),
    [
        (
            'jobs.batch is forbidden: User "system:serviceaccount:shop:you" cannot create resource "jobs" in API group "batch" in the namespace "shop"',
            Right("create", "jobs.batch", "shop"), "system:serviceaccount:shop:you",
        ),
        (
            'pods "x" is forbidden: User "ada" cannot get resource "pods/log" in API group "" in the namespace "shop"',
            Right("get", "pods/log", "shop"), "ada",
        ),
        (
            'connectors.apperate.io is forbidden: User "ada" cannot list resource "connectors" in API group "apperate.io" at the cluster scope',
            Right("list", "connectors.apperate.io", ""), "ada",
        ),
    ],
)  # fmt: skip
def test_a_refusal_names_the_right_and_the_commands_that_give_it(message: str, right: Right, user: str) -> None:
    assert read_refusal(message) == (right, user)
    problem = from_kubernetes(403, {"message": message})
    assert problem.build_body()["commands"] == build_grants([right], user)
    assert from_kubernetes(403, {"message": "denied by a webhook"}).build_body().get("commands") is None


def test_verbs_of_one_kind_share_a_role() -> None:
    rights = [
        Right("create", "jobs.batch", "shop"),
        Right("get", "pods/log", "shop"),
        Right("delete", "jobs.batch", "shop"),
    ]
    assert build_grants(rights, "o'neil dev") == [
        "kubectl create role connectors-create-delete-jobs-batch --verb=create,delete --resource=jobs.batch --namespace=shop",
        "kubectl create rolebinding connectors-create-delete-jobs-batch --role=connectors-create-delete-jobs-batch "
        "--user='o'\"'\"'neil dev' --namespace=shop",
        "kubectl create role connectors-get-pods-log --verb=get --resource=pods/log --namespace=shop",
        "kubectl create rolebinding connectors-get-pods-log --role=connectors-get-pods-log --user='o'\"'\"'neil dev' --namespace=shop",
    ]
