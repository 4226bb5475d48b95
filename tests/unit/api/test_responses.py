from typing import Any

import jsonschema
import pytest

from connector_operator.api.problems import from_kubernetes, read_causes
from connector_operator.api.responses import LEAVING, build_response, build_update_response, is_settled
from connector_operator.api.schemas import build_connector_schema, build_problem_schema
from connector_operator.resources.reasons import Reason


def condition(kind: str, status: str, reason: str = "Why") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": f"{reason}!", "observedGeneration": 2}


def resource(state: str = "", *, asked: str = "", exec_id: str = "", seen: int = 2, **more: Any) -> dict[str, Any]:
    conditions = more.pop("conditions", [condition("Ready", "True"), condition("Reconciling", "False")])
    status = {
        "observedGeneration": seen,
        "state": {"status": state, "jobId": "your-connector", "execId": exec_id},
        "streams": [{"id": "ticker", "key": ["id"], "columns": 9}],
        "conditions": conditions,
        "updated": "2023-03-24T14:56:10Z",
        **more,
    }
    return {
        "metadata": {
            "name": "your-connector",
            "generation": 2,
            "creationTimestamp": "2023-03-24T14:00:00Z",
            "annotations": {"apperate.io/id": "YOUR_CONNECTOR"},
        },
        "spec": {
            "connectorType": "COINBASE",
            "datasetId": "YOUR_DATASET",
            "config": {"productId": ["A"], "key": "put here by hand"},
        }
        | ({"status": asked} if asked else {}),
        "status": status,
    }


def test_the_documented_answer() -> None:
    answer = build_response(resource("received"), with_config=False)
    assert answer == {
        "connectorType": "COINBASE",
        "datasetId": "YOUR_DATASET",
        "description": "",
        "id": "YOUR_CONNECTOR",
        "state": {"jobId": "your-connector", "status": "received"},
        "streams": [{"id": "ticker"}],
        "updated": "2023-03-24T14:56:10.000Z",
        "wait": True,
    }
    jsonschema.validate(answer, build_connector_schema())


def test_a_config_is_shown_without_secrets_even_those_put_into_the_spec() -> None:
    assert build_response(resource("received"), with_config=True)["config"] == {"productId": ["A"]}


def test_before_the_first_look_it_is_pending() -> None:
    raw = resource() | {"status": {"observedGeneration": -1}}
    answer = build_response(raw, with_config=False)
    assert answer["state"] == {"jobId": "your-connector", "status": "pending"}
    assert answer["updated"] == "2023-03-24T14:00:00.000Z"
    assert not is_settled(raw)


@pytest.mark.parametrize("status", [None, {}, {"state": 7, "conditions": "none"}, {"streams": [1]}])
def test_a_status_that_a_hand_wrote_breaks_nothing(status: Any) -> None:
    raw = resource() | {"status": status}
    assert build_update_response(raw) == {
        "id": "YOUR_CONNECTOR",
        "state": {"jobId": "your-connector", "status": "pending"},
    }


@pytest.mark.parametrize(
    ("raw", "is_told"),
    [
        (resource("errored", conditions=[condition("Ready", "False", "Bad")]), True),
        (resource("received", conditions=[condition("Ready", "False", "Bad"), condition("Stalled", "True")]), True),
        (resource("pending", conditions=[condition("Ready", "False", "Bad")], discovery={"failures": 1}), True),
        (resource("running", conditions=[condition("Ready", "False", "Bad")], retry={"failures": 1}), True),
        (resource("running", conditions=[condition("Ready", "False", "Bad")]), False),
        (resource("running"), False),
    ],
)
def test_trouble_is_told_and_nothing_else(raw: dict[str, Any], is_told: bool) -> None:
    state = build_update_response(raw)["state"]
    assert (state.get("reason"), state.get("message")) == (("Bad", "Bad!") if is_told else (None, None))


def waiting(ready: str, runner: str) -> list[dict[str, Any]]:
    """Conditions while something is under way: the reasons of Ready and of RunnerHealthy."""
    healthy = condition("RunnerHealthy", "True" if runner == "Running" else "False", runner)
    return [condition("Ready", "False", ready), condition("Reconciling", "True", ready), healthy]


STARTING = waiting("Starting", "Starting")
TURN = [condition("Ready", "True", "AwaitingTurn"), condition("Reconciling", "True", "AwaitingTurn")]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (resource("ready"), True),
        (resource("ready", seen=1), False),
        (resource("running", asked="running", exec_id="e", conditions=STARTING), True),
        (resource("running", asked="running", conditions=STARTING), False),
        (resource("running", asked="stopped", exec_id="e", conditions=waiting("Stopping", "Stopping")), False),
        (resource("stopped", asked="stopped"), True),
        (resource("errored", asked="running", conditions=STARTING), True),
        (resource("pending", asked="running", conditions=waiting("Discovering", "NoExecution")), False),
        (resource("ready", conditions=[]), False),
        # The execution that is to go, or that has gone, is not the new state.
        (resource("running", asked="running", exec_id="e", conditions=waiting("Replacing", "Replacing")), False),
        (resource("running", asked="running", exec_id="e", conditions=waiting("NodeLost", "NodeLost")), False),
        (
            resource("running", asked="running", exec_id="e", conditions=STARTING, lastExecution={"execId": "e"}),
            False,
        ),
        (
            resource("running", asked="running", exec_id="e", conditions=STARTING, lastExecution={"execId": "d"}),
            True,
        ),
        # One that runs on while the streams of the new configuration are listed is neither.
        (resource("running", asked="running", exec_id="e", conditions=waiting("Discovering", "Running")), False),
        (resource("running", asked="running", exec_id="e", conditions=TURN), True),
    ],
)
def test_when_a_state_is_the_new_one(raw: dict[str, Any], expected: bool) -> None:
    assert is_settled(raw) is expected


def test_reasons_are_those_of_the_operator() -> None:
    assert set(Reason) >= LEAVING


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, 400),
        (401, 401),
        (403, 403),
        (404, 404),
        (409, 409),
        (413, 400),
        (422, 400),
        (429, 503),
        (500, 502),
        (503, 503),
        (504, 503),
        (302, 502),
        (200, 502),
    ],
)
def test_refusals_of_the_cluster(status: int, expected: int) -> None:
    problem = from_kubernetes(status, {"message": "said"}, "x")
    assert problem.status == expected
    jsonschema.validate(problem.build_body(), build_problem_schema())
    assert from_kubernetes(status, {}).status == expected


def test_causes_are_paths_of_the_body() -> None:
    causes = [
        {"field": f, "message": "m"} for f in ("spec.config.port", "spec", "<nil>", "spec.datasetId", "spec.datasetId")
    ]
    found = read_causes({"details": {"causes": causes}})
    assert [violation.path for violation in found] == ["$", "$.config.port", "$.datasetId"]
    assert read_causes({"details": None}) == ()


def test_a_selection_of_many_is_answered_as_it_was_given() -> None:
    many = resource("ready")
    many["spec"] |= {"streams": {"include": ["shop.*"], "added": "ignore"}, "onStreamFailure": "stop"}
    answer = build_response(many, with_config=False)
    assert answer["streams"] == [{"id": "ticker"}], "what the source has, as for one stream"
    assert (answer["selectedStreams"], answer["onStreamFailure"]) == (
        {"include": ["shop.*"], "added": "ignore"},
        "stop",
    )
    jsonschema.validate(answer, build_connector_schema())


def test_progress_is_answered_while_its_runner_reports_it() -> None:
    failure = {"stream": "shop.t7", "reason": "SchemaConflict", "message": "no", "since": "2026-01-01T00:00:00Z"}
    progress = {
        "selected": 2, "following": 1, "failed": 1, "lagSeconds": 3, "rows": 5, "failures": [failure],
        "run": 1, "text": "1 following, 1 failed", "lag": "3s",
    }  # fmt: skip
    answer = build_response(resource("running", progress=progress), with_config=False)
    assert answer["progress"] == {name: value for name, value in progress.items() if name not in {"run", "lag"}}
    jsonschema.validate(answer, build_connector_schema())
    others: list[dict[str, Any]] = [{}, {"run": 1, "unread": "forbidden"}]
    for other in others:
        assert "progress" not in build_response(resource("running", progress=other), with_config=False)
