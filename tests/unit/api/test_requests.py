import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_operator.api import patches, requests
from connector_operator.api.problems import ProblemError, Violation
from connector_runner.schemas.config import config_schema, merge_config

CONFIG = {"url": "wss://x", "productId": ["BTC-USD"]}
BODY: dict[str, Any] = {"connectorType": "COINBASE", "datasetId": "YOUR_DATASET", "config": CONFIG, "wait": True}


def paths(error: pytest.ExceptionInfo[ProblemError]) -> list[str]:
    assert error.value.status == 400
    return sorted(violation.path for violation in error.value.errors)


def connector(**spec: Any) -> dict[str, Any]:
    meta = {"name": "x", "uid": "u-1", "resourceVersion": "7", "generation": 1}
    return {"metadata": meta, "spec": {"connectorType": "COINBASE", "config": CONFIG} | spec}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nope", b"\xff", b'{"a": NaN}', b'{"a": 1e999}', b"[" * 9_000, b'"\\ud800"']
)
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(ProblemError) as error:
        requests.parse_body(body)
    assert error.value.status == 400


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"'])
def test_what_is_no_object(body: bytes) -> None:
    with pytest.raises(ProblemError) as error:
        requests.parse_body(body)
    assert paths(error) == ["$"]


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_problem(body: bytes) -> None:
    try:
        found: Any = requests.parse_body(body)
    except ProblemError as problem:
        found = problem.build_body()
    assert isinstance(found, dict)


def test_the_documented_example_is_taken_as_it_is() -> None:
    creation = requests.parse_create_request("YOUR_CONNECTOR", BODY)
    assert (creation.document, creation.secrets, creation.ignored) == (BODY, {}, ())


def test_required_fields_with_a_default_may_be_left_out() -> None:
    body = {"connectorType": "COINBASE", "config": {"productId": ["A"]}}
    assert requests.parse_create_request("x", body).document == body


def test_every_problem_is_told_with_its_path() -> None:
    bad = {
        **BODY,
        "id": "y",
        "wait": "true",
        "datasetId": "a b",
        "status": "paused",
        "config": {"productId": [], "port": 1},
    }
    with pytest.raises(ProblemError) as error:
        requests.parse_create_request("x", bad)
    assert paths(error) == ["$.config.port", "$.config.productId", "$.datasetId", "$.id", "$.status", "$.wait"]


def test_odd_names_are_quoted_as_in_rfc_9535() -> None:
    with pytest.raises(ProblemError) as error:
        requests.parse_create_request("x", {**BODY, "config": {**CONFIG, "a: b": 1, "it's \"\\": 2, "plain_1": 3}})
    assert paths(error) == ["$.config.plain_1", "$.config['a: b']", "$.config['it\\'s \"\\\\']"]
    assert all(violation.message.startswith("not a known property") for violation in error.value.errors)
    with pytest.raises(ProblemError) as error:
        requests.parse_update_request({"a: b": 1}, "COINBASE", has_secrets=False)
    assert paths(error) == ["$['a: b']"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"config": {**CONFIG, "productId": [[]] * 90_000}},
        {"config": {**CONFIG, **{f"p{n}": n for n in range(30_000)}}},
        {f"p{n}": n for n in range(30_000)},
    ],
)
def test_of_many_problems_the_first_are_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProblemError) as error:
        requests.parse_update_request(wrong, "COINBASE", has_secrets=False)
    assert len(error.value.errors) == requests.MOST_PROBLEMS + 1
    assert error.value.errors[0] == Violation("$", "these are the first 100 problems; there may be more")
    assert len(json.dumps(error.value.build_body())) < 50_000


def test_values_of_unknown_fields_are_not_kept() -> None:
    body = requests.parse_body(b'{"connectorType": "COINBASE", "config": {"a": [1]}, "more": [[], []]}')
    assert body == {"connectorType": "COINBASE", "config": {"a": [1]}, "more": None}


def test_an_unknown_type_lists_those_there_are() -> None:
    with pytest.raises(ProblemError) as error:
        requests.parse_create_request("x", {**BODY, "connectorType": "KAFKA"})
    assert paths(error) == ["$.connectorType"]
    assert "COINBASE, ETHEREUM, MYSQL" in error.value.detail


def test_the_value_of_a_secret_is_in_no_problem() -> None:
    with pytest.raises(ProblemError) as error:
        requests.parse_create_request("x", {**BODY, "config": {**CONFIG, "key": 123456789}})
    assert paths(error) == ["$.config.key"]
    assert "123456789" not in json.dumps(error.value.build_body())


def test_unknown_fields_are_allowed_and_named() -> None:
    creation = requests.parse_create_request("x", {**BODY, "id": "x", "state": {}, "selectedstream": "ticker"})
    assert creation.ignored == ("selectedstream", "state")
    assert creation.document == BODY


@pytest.mark.parametrize("body", [{}, {"id": "x"}, {"state": {}}, {"status": "paused"}, {"wait": 1}, {"config": None}])
def test_updates_that_are_none(body: dict[str, Any]) -> None:
    with pytest.raises(ProblemError) as error:
        requests.parse_update_request(body, "COINBASE", has_secrets=False)
    assert len(error.value.errors) == 1


def test_an_update_with_a_config_is_checked_against_the_type() -> None:
    with pytest.raises(ProblemError) as error:
        requests.parse_update_request({"config": {"host": "h"}}, "COINBASE", has_secrets=False)
    assert paths(error) == ["$.config.host", "$.config.productId"]
    assert requests.parse_update_request({"config": {}}, "COINBASE", has_secrets=True).document == {"config": {}}


def test_nested_secrets_and_nulls() -> None:
    config = {"host": "h", "user": "u", "password": None, "ssl": {"mode": "REQUIRED", "key": "pem\n"}}
    update = requests.parse_update_request({"config": config}, "MYSQL", has_secrets=False)
    assert update.document["config"] == {"host": "h", "user": "u", "ssl": {"mode": "REQUIRED"}}
    assert update.secrets == {"password": None, "ssl.key": "pem\n\n"}


@given(
    st.dictionaries(st.sampled_from(["key", "secret", "passphrase"]), st.text(max_size=20)),
    st.dictionaries(st.from_regex("[A-Za-z]{1,8}", fullmatch=True), st.text(max_size=9), max_size=3),
)
def test_secrets_come_back_as_they_were(keys: dict[str, str], headers: dict[str, str]) -> None:
    """What is split here is what the runner merges."""
    for kind, config in (("COINBASE", {**CONFIG, **keys}), ("ETHEREUM", {"url": "u", "headers": headers})):
        bare, taken = requests.split_secrets(config, kind)
        assert not set(bare) & {"key", "secret", "passphrase", "headers"}
        texts = {path: text for path, text in taken.items() if text is not None}
        assert merge_config(bare, [texts], config_schema(kind)) == config


def apply(patch: patches.Patch, spec: dict[str, Any]) -> dict[str, Any]:
    """RFC 6902, as far as the patches use it."""
    for step in patch:
        if step["path"].startswith("/spec/"):
            field = step["path"].removeprefix("/spec/")
            if step["op"] == "add":
                spec[field] = step["value"]
            else:
                del spec[field]
    return spec


def test_a_patch_touches_what_is_named_and_nothing_else() -> None:
    document = {
        "config": {"productId": ["B"]},
        "selectedStream": None,
        "datasetId": "",
        "description": "",
        "wait": False,
    }
    patch = patches.build_patch(document, connector())
    assert patch[0] == {"op": "replace", "path": "/metadata/uid", "value": "u-1"}
    before = {"connectorType": "COINBASE", "config": CONFIG, "selectedStream": "s", "status": "running"}
    expected = {"connectorType": "COINBASE", "config": {"productId": ["B"]}, "description": "", "wait": False}
    assert apply(patch, before) == {**expected, "status": "running"}


def test_a_new_secret_takes_the_old_ones_place_and_leaves_others() -> None:
    theirs = {"secretRef": {"name": "theirs"}}
    before = connector(configFrom=[{"secretRef": {"name": "x-api-00000000"}}, theirs])
    assert patches.own_secret(before) == "x-api-00000000"
    patch = patches.build_secret_patch([], before, "x-api-11111111")
    assert patch[0] == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
    assert patch[1]["value"] == [theirs, {"secretRef": {"name": "x-api-11111111"}}]
    assert patches.build_secret_patch([], before, "")[1]["value"] == [theirs]
    assert patches.own_secret(connector()) == ""


def test_what_a_secret_carries_over() -> None:
    assert patches.carry_over({"a": "1", "b": "2", "c": "3"}, {"a": "9", "b": None}) == {"a": "9", "c": "3"}


def test_a_resource_and_its_secret() -> None:
    creation = requests.parse_create_request("Y_C", {**BODY, "datasetId": "", "config": {**CONFIG, "key": "k"}})
    made = patches.build_connector("Y_C", "y-c", creation, "y-c-api-00000000")
    assert made["metadata"] == {"name": "y-c", "annotations": {"apperate.io/id": "Y_C"}}
    assert made["spec"]["config"] == CONFIG
    assert "datasetId" not in made["spec"]
    assert made["spec"]["configFrom"] == [{"secretRef": {"name": "y-c-api-00000000"}}]
    secret = patches.build_secret("y-c-api-00000000", {"metadata": {"name": "y-c", "uid": "u"}}, creation.secrets)
    assert patches.read_secret(secret) == {"key": "k"}
    assert secret["immutable"] is True
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "u"


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=6)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
)
SECRETS = {"key", "secret", "passphrase"}
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "url": st.just("wss://x") | ANYTHING,
        "productId": st.just(["A"]) | ANYTHING,
        **{name: st.just(f"hidden-{name}") | ANYTHING for name in SECRETS},
        "odd name": ANYTHING,
    },
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "datasetId": st.sampled_from(["", "rows", None]) | ANYTHING,
    "description": st.text(max_size=9) | ANYTHING,
    "wait": st.booleans() | ANYTHING,
    "selectedStream": st.sampled_from(["", "ticker", None]) | ANYTHING,
    "status": st.sampled_from(["running", "stopped", None]) | ANYTHING,
    "config": CONFIGS | ANYTHING,
}
CREATIONS = st.fixed_dictionaries(
    {"connectorType": st.just("COINBASE") | ANYTHING},
    optional={**FIELDS, "id": st.just("x") | ANYTHING, "more": ANYTHING},
)
UPDATES = st.fixed_dictionaries({}, optional={**FIELDS, "id": ANYTHING})


@given(CREATIONS)
def test_any_creation_is_a_resource_or_a_problem(body: dict[str, Any]) -> None:
    try:
        creation = requests.parse_create_request("x", body)
    except ProblemError as problem:
        told = problem.build_body()
        assert (told["status"], "hidden-" in json.dumps(told)) == (400, False)
        assert all(error["path"].startswith("$") and error["message"] for error in told["errors"])
        return
    spec = patches.build_connector("x", "x", creation, "x-api-00000000")["spec"]
    assert not SECRETS & set(spec["config"])
    assert set(spec) <= {"connectorType", "configFrom", *FIELDS}
    assert merge_config(spec["config"], [creation.secrets], config_schema("COINBASE")) == {
        name: value for name, value in body["config"].items() if name not in SECRETS or value is not None
    }


@given(UPDATES, st.booleans())
def test_any_update_is_a_patch_or_a_problem(body: dict[str, Any], has_secrets: bool) -> None:
    try:
        update = requests.parse_update_request(body, "COINBASE", has_secrets=has_secrets)
    except ProblemError as problem:
        told = problem.build_body()
        assert (told["status"], "hidden-" in json.dumps(told)) == (400, False)
        return
    before = {"connectorType": "COINBASE", "config": {"productId": ["old"]}, "description": "old", "status": "stopped"}
    after = apply(patches.build_patch(update.document, connector()), dict(before))
    assert {name: after.get(name) for name in before if name not in body} == {
        name: value for name, value in before.items() if name not in body
    }
    for name, value in body.items():
        if name == "config":
            assert after["config"] == {key: text for key, text in value.items() if key not in SECRETS}
        elif value is None or (value == "" and name != "description"):
            assert name not in after
        else:
            assert after[name] == value
