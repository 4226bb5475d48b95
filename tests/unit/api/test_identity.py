import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_operator.api.identity import (
    ANNOTATION_ID,
    BadIdError,
    build_secret_name,
    connector_id,
    has_id,
    is_own_secret,
    resource_name,
)
from connector_runner.schemas.kinds.naming import is_connector_name


def metadata(name: str, given_id: str | None = None) -> dict[str, Any]:
    return {"name": name} | ({"annotations": {ANNOTATION_ID: given_id}} if given_id is not None else {})


@pytest.mark.parametrize(
    ("given_id", "name"),
    [
        ("YOUR_CONNECTOR", "your-connector"),
        ("a", "a"),
        ("_A_", "a"),
        ("a__b", "a--b"),
        ("7", "7"),
        ("x" * 51, "x" * 51),
    ],
)
def test_ids_lead_to_names(given_id: str, name: str) -> None:
    assert resource_name(given_id) == name


@pytest.mark.parametrize(
    "bad", ["", "-", "__", "a.b", "a/b", "a%2Fb", "é", "a\n", "a ", "..", "x" * 52, "K" * 300, "\u212a"]
)
def test_bad_ids_are_refused(bad: str) -> None:
    with pytest.raises(BadIdError):
        resource_name(bad)


@given(st.text(max_size=80))
def test_whatever_is_accepted_is_a_name(text: str) -> None:
    try:
        name = resource_name(text)
    except BadIdError:
        return
    assert is_connector_name(name)
    assert re.fullmatch("[-a-z0-9]+", name)
    assert resource_name(name) == name


def test_an_id_is_kept_as_given_only_if_it_leads_to_the_name() -> None:
    assert connector_id(metadata("your-connector", "YOUR_CONNECTOR")) == "YOUR_CONNECTOR"
    assert connector_id(metadata("your-connector", "ANOTHER")) == "your-connector"
    assert connector_id(metadata("your-connector", "a/b")) == "your-connector"
    assert connector_id({"name": "x", "annotations": None}) == "x"


def test_who_means_whom() -> None:
    made_here = metadata("a-b", "A_B")
    assert [has_id(made_here, asked) for asked in ("A_B", "a-b", "a_b")] == [True, False, False]
    by_kubectl = metadata("a-b")
    assert [has_id(by_kubectl, asked) for asked in ("A_B", "a-b", "a_b")] == [True, True, True]
    lower = metadata("a-b", "a-b")
    assert [has_id(lower, asked) for asked in ("a-b", "A_B")] == [True, False]


def test_names_of_secrets_are_new_and_known_again() -> None:
    first, second = build_secret_name("x"), build_secret_name("x")
    assert first != second
    assert is_own_secret(first, "x")
    assert not is_own_secret(first, "y")
    assert not is_own_secret("x-api", "x")
    assert not is_own_secret("x-api-1234567", "x")
