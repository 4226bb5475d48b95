"""YAML as kubectl reads it. What is expected here was said by kubectl 1.36.3; `tests/e2e/test_by_hand.py` asks it again, about much more."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.kubectl_yaml import KubectlYamlError, load_documents
from connector_runner.manifests import orders_from_file
from connector_runner.protocols.errors import InvalidConfigError
from tests.kit.yaml_values import DOCUMENTS, SCALARS

CONNECTOR = """apiVersion: apperate.io/v1
kind: Connector
metadata: {name: c}
spec: {connectorType: MYSQL, configFrom: [{secretRef: {name: db}}]}
"""


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("0123", 83), ("08", 8), ("0o14", 12), ("0x1F", 31), ("0b101", 5), ("1_000", 1000), ("yes", True), ("y", True),
        ("off", False), ("N", False), ("yEs", "yEs"), ("12:30:45", "12:30:45"), ("190:20:30", "190:20:30"),
        ("2026-01-01", "2026-01-01"), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), ("~", None), ("", None),
        ("1e3", 1000), ("1.0", 1), (".5", 0.5), (".1_0", 0.1), ("1e309", "1e309"), ("9223372036854775807", 2**63 - 1),
        ("18446744073709551615", float(2**64)), ("'0123'", "0123"), ('"yes"', "yes"), ("!!str 0123", "0123"),
        ("!!float 3", 3), ('!!bool "yes"', True), ("! 12", "12"), ("!foo 12", "12"), ("!!binary aGVsbG8=", "hello"),
        ("123456789012345678901", 1.2345678901234568e20), ("0b-01", -1), ("0x", "0x"), ("Infinity", "Infinity"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars(scalar: str, value: Any) -> None:
    (found,) = load_documents(f"a: {scalar}\n")
    assert (type(found["a"]), found["a"]) == (type(value), value)


@pytest.mark.parametrize(
    "scalar",
    [".nan", ".inf", "!!int x", "!!timestamp x", "!!null x", "!!binary ä", "*x", "&a [*a]", "{~: 1}", "{<<: 5}"],
)
def test_what_kubectl_refuses(scalar: str) -> None:
    with pytest.raises(KubectlYamlError):
        load_documents(f"a: {scalar}\n")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{a: 1, a: 2}", {"a": 2}),
        ("{0123: a, y: b, 1.5: c, 1e6: d}", {"83": "a", "true": "b", "1.5": "c", "1e+06": "d"}),
        ("{p: &p {a: 1}, q: {a: 2, <<: *p}, r: {<<: *p, a: 2}}", {"p": {"a": 1}, "q": {"a": 1}, "r": {"a": 2}}),
    ],
)
def test_mappings(text: str, values: Any) -> None:
    assert load_documents(f"a: {text}\n") == [{"a": values}]


def test_documents() -> None:
    assert load_documents("---\na: 1\n--- # next\n---\nb: y\n...\nc: 2\n") == [{"a": 1}, {"b": True}]
    assert load_documents('{"a": 1.0}\n{"a": 1, "a": 2}') == [{"a": 1}, {"a": 2}]


@given(st.text(alphabet="0123456789abxoeE+-_.:yYnN~ []{},&*!|>'\"#\n", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(KubectlYamlError):
        load_documents(text)


def test_the_list_for_kubectl_has_something_to_compare() -> None:
    assert len(SCALARS) > 200
    assert len(DOCUMENTS) > 20


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("stringData: {password: 0123}", "stringData.password is a number"),
        ("stringData: {password: yes}", "stringData.password is a boolean"),
        ("stringData: {password: [a]}", "stringData.password is a list"),
        ("data: {password: 1234}", "data.password is a number"),
        ("data: {password: ä}", "data.password is not text in base64"),
        ("data: {password: /w==}", "data.password is not text in base64"),
    ],
)
def test_a_secret_that_kubectl_refuses_is_told_with_its_key(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "m.yaml").write_text(f"{CONNECTOR}---\nkind: Secret\nmetadata: {{name: db}}\n{line}\n")
    with pytest.raises(InvalidConfigError, match=f"Secret db: {says}"):
        orders_from_file(tmp_path / "m.yaml")


def test_a_secret_keeps_its_texts(tmp_path: Path) -> None:
    secret = (
        "kind: Secret\nmetadata: {name: db}\ndata: {a: YQ==, b: }\nstringData: {password: 12:30:45, b: , c: '0123'}\n"
    )
    (tmp_path / "m.yaml").write_text(f"{secret}---\n{CONNECTOR}")
    read = orders_from_file(tmp_path / "m.yaml").read_secrets()
    assert read == [{"a": "a", "b": "", "password": "12:30:45", "c": "0123"}]
