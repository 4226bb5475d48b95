"""The declarations of the kinds: what follows from them takes and refuses the same documents."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_operator.api.problems import ProblemError
from connector_operator.api.requests import parse_create_request, parse_update_request
from connector_operator.crds.definitions import build_connector_crd, build_dataset_crd
from connector_operator.resources.connector import parse_spec
from connector_operator.resources.dataset import parse_dataset
from connector_runner.manifests import orders_from_file
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.registry import FolderRegistry
from connector_runner.schemas.config import Schema, config_problems, config_schema, connector_types, fill_defaults
from connector_runner.schemas.kinds.checks import connector_problems, dataset_problems
from connector_runner.schemas.kinds.connector import CONNECTOR
from connector_runner.schemas.kinds.dataset import DATASET
from connector_runner.schemas.kinds.declare import Kind, build_schema, http_fields, plain

BASE: dict[str, Any] = {"connectorType": "COINBASE", "config": {"productId": ["BTC-USD"]}}
TEXTS = ["a", "A_b-1", "x y", "a/b", "a/b/c", "-a", "http:x", "ü"]
WRONG: list[Any] = ["no", 5, True, ["a"], {"a": "b"}]
CONFIGS: list[Any] = [5, {"productId": 5}, {"productId": ["a"], "nonsense": 1}, {"productId": []}, {"productId": ["*"]}]


def edges(schema: Schema) -> list[Any]:
    """Values on both sides of each limit, and of other types."""
    found: list[Any] = list(WRONG)
    match schema.get("type"):
        case "string":
            found += [*schema.get("enum", TEXTS), *("a" * length for length in lengths(schema, "Length"))]
        case "integer":
            found += [schema[key] + step for key in ("minimum", "maximum") if key in schema for step in (-1, 0, 1)]
        case "array":
            items = [item for item in edges(schema["items"]) if item not in WRONG] or ["a"]
            found += [[item] for item in edges(schema["items"])]
            found += [items[:1] * length for length in lengths(schema, "Items")]
        case "object":
            found += list(objects(schema))
            found += [{f"k{index}": "v" for index in range(length)} for length in lengths(schema, "Properties")]
    return found


def lengths(schema: Schema, what: str) -> list[int]:
    limits = [schema[f"{side}{what}"] for side in ("min", "max") if f"{side}{what}" in schema]
    return [limit + step for limit in limits for step in (-1, 0, 1)]


def objects(schema: Schema) -> Iterator[dict[str, Any]]:
    """Objects with each field at its edges; the others at a good value if they are required."""
    properties = schema.get("properties", {})
    needed = {name: good(properties[name]) for name in schema.get("required", ())}
    yield dict(needed)
    yield {**needed, "nonsense": 1}
    for name, child in properties.items():
        yield {key: value for key, value in needed.items() if key != name}
        yield from ({**needed, name: value} for value in edges(child))


def good(schema: Schema) -> Any:
    """One value that fits."""
    match schema["type"]:
        case "string":
            return schema.get("enum", ["a"])[0]
        case "integer":
            return schema.get("minimum", 1)
        case "object":
            return {name: good(schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return [good(schema["items"])] * schema.get("minItems", 0)
    raise AssertionError(schema)


@cache
def changes(name: str) -> list[tuple[str, Any]]:
    """Single changes of a spec: a field, and a value at one of its edges. Of the pod's own shapes only the outermost."""
    spec = build_schema(KINDS[name].spec)
    found: list[tuple[str, Any]] = [("nonsense", 1)]
    for field, schema in spec["properties"].items():
        if field == "runner":
            flat = {key: child for key, child in schema["properties"].items() if child.get("type") in SIMPLE}
            found += [("runner", value) for value in objects({**schema, "properties": flat})]
        elif field == "config":
            found += [("config", value) for value in CONFIGS]
        else:
            # Whose config it then is, the API server's rules say: see tests/e2e/test_bad_input.py.
            others = [kind for kind in connector_types() if kind != BASE["connectorType"]]
            found += [(field, value) for value in edges(schema) if value not in others]
    return found


KINDS = {"Connector": CONNECTOR, "Dataset": DATASET}
SIMPLE = ("string", "integer", "boolean")


@cache
def published(name: str) -> Schema:
    crd = build_connector_crd() if name == "Connector" else build_dataset_crd()
    schema: Schema = plain(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"])
    return schema


def is_published(name: str, spec: Any) -> bool:
    """Whether the resource definition takes it, as far as it says so without CEL."""
    return not config_problems(spec, published(name))


def is_declared(spec: dict[str, Any]) -> bool:
    if connector_problems(spec) or spec["connectorType"] != "COINBASE":
        return False
    schema = config_schema("COINBASE")
    return not config_problems(fill_defaults(spec["config"], schema), schema, partial=bool(spec.get("configFrom")))


def is_run_by_hand(kind: str, spec: dict[str, Any]) -> bool:
    """Whether `connector-runner run -f` goes on after reading; the Secrets it asks for are there."""
    sources = [spec.get(field) for field in ("configFrom", "urlFrom", "optionsFrom")]
    names = [name for name in walk(sources) if isinstance(name, str)]
    documents: list[Any] = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": dict.fromkeys(names, "sqlite:///a.db"),
        }
        for name in dict.fromkeys(names)
        if name
    ]
    own = {"apiVersion": "apperate.io/v1", "kind": kind, "metadata": {"name": "c" if kind == "Connector" else "a"}}
    documents.append({**own, "spec": spec})
    if kind == "Dataset":
        documents.append({**own, "kind": "Connector", "spec": {**BASE, "datasetId": "a"}})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.yaml"
        path.write_text(yaml.safe_dump_all(documents, allow_unicode=True))
        try:
            orders = orders_from_file(path)
            if not spec.get("configFrom"):
                orders.config(FolderRegistry())
        except InvalidConfigError:
            return False
    return orders.manifest.connector_type in connector_types()


def walk(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from walk(part)
    else:
        yield value


def is_created(spec: dict[str, Any]) -> bool:
    try:
        return not parse_create_request("x", spec).ignored
    except ProblemError:
        return False


def is_updated(changed: dict[str, Any]) -> bool:
    try:
        parse_update_request(changed, "COINBASE", has_secrets=False)
    except ProblemError:
        return False
    return True


def drawn(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Up to three changes at once.

    Not of config together with configFrom, which the runner merges before it checks, nor of selectedStream together with streams, which
    in a cluster a rule in CEL refuses (test_streams has it).
    """
    several = st.lists(st.sampled_from(changes(name)), min_size=1, max_size=3).map(dict)
    apart = ({"config", "configFrom"}, {"selectedStream", "streams"})
    return several.filter(lambda changed: not any(two <= changed.keys() for two in apart))


@settings(max_examples=150)
@given(drawn("Connector"))
def test_a_connector_is_taken_or_refused_by_all_alike(changed: dict[str, Any]) -> None:
    spec = {**BASE, **changed}
    is_good = is_declared(spec)
    assert is_published("Connector", spec) is is_good
    assert is_run_by_hand("Connector", spec) is is_good
    if is_good and "configFrom" not in changed:  # whether a key leads to a property is the source's to say
        assert parse_spec(spec)[1] == (), "what the API server takes, the operator carries out"
    api = http_fields(CONNECTOR.spec)
    if all(field in api or field == "nonsense" for field in changed):
        assert is_created(spec) is is_good
        if "connectorType" not in changed:
            assert is_updated(changed) is is_good


@settings(max_examples=150)
@given(drawn("Dataset"))
def test_a_dataset_is_taken_or_refused_by_all_alike(changed: dict[str, Any]) -> None:
    spec = {**({} if "urlFrom" in changed else {"url": "sqlite:///a.db", "volumeClaim": "c"}), **changed}
    is_good = not dataset_problems(spec)
    assert is_run_by_hand("Dataset", spec) is is_good
    if is_good:
        assert is_published("Dataset", spec)
    if is_good and "urlFrom" not in spec:
        assert parse_dataset({"volumeClaim": "c", **spec})[1] == ()


def test_single_changes_of_a_connector_fall_on_both_sides() -> None:
    good, bad = set[str](), set[str]()
    for field, value in changes("Connector"):
        (good if is_declared({**BASE, field: value}) else bad).add(field)
    fields = set(build_schema(CONNECTOR.spec)["properties"])
    assert fields <= bad
    assert fields <= good


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_columns_and_selectable_fields_are_declared(kind: Kind) -> None:
    roots = {"spec": build_schema(kind.spec), "status": build_schema(kind.status)}
    paths = [column.path for column in kind.columns if "conditions" not in column.path] + list(kind.selectable)
    for path in paths:
        first, *steps = path.removeprefix(".").split(".")
        if first == "metadata":
            continue
        schema = roots[first]
        for step in steps:
            schema = schema["properties"][step]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_field_is_described(kind: Kind) -> None:
    def undescribed(schema: Schema, path: str) -> Iterator[str]:
        if not schema.get("description"):
            yield path
        for name, child in schema.get("properties", {}).items():
            yield from undescribed(child, f"{path}.{name}")
        if isinstance(schema.get("items"), dict):
            yield from undescribed(schema["items"], f"{path}[]")

    assert [*undescribed(build_schema(kind.spec), "spec"), *undescribed(build_schema(kind.status), "status")] == []


def test_what_follows_for_the_http_api_is_derived_once() -> None:
    assert http_fields(CONNECTOR.spec) is http_fields(CONNECTOR.spec), "every GET of the schemas asks for it"
