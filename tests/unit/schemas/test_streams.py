"""`spec.streams`: what is refused, its key, and what stays as it was without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_operator.crds.definitions import build_connector_crd
from connector_operator.resources.connector import config_hash, parse_spec, spec_hash
from connector_runner.manifests import orders_from_file
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.schemas.catalogue import (
    CatalogueSummary,
    SelectionSummary,
    StreamInfo,
    StreamSummary,
    encode_line,
    parse_line,
)
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.manifest import RunnerManifest, encode_manifest, parse_manifest

BASE: dict[str, Any] = {"connectorType": "COINBASE", "config": {"productId": ["BTC-USD"]}}
SHOP = {"include": ["shop.*"]}
PATTERNS = st.lists(st.sampled_from(["shop.*", "crm.customers", '"my.db"."a*b"', "*"]), min_size=1, max_size=4)


def problems_of(**fields: Any) -> tuple[str, ...]:
    return parse_spec({**BASE, **fields})[1]


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"selectedStream": "shop.orders", "streams": SHOP},
        "spec.streams: give either selectedStream (one stream) or streams (many), not both",
    ),
    ({"streams": {"include": []}}, "spec.streams.include: "),
    ({"streams": {"include": ["shop."]}}, "spec.streams.include[0]: 'shop.' ends with a dot"),
    (
        {"streams": {"include": ["shop.*"], "exclude": ["a", '"b']}},
        "spec.streams.exclude[1]: '\"b': a quote that is not",
    ),
    ({"streams": {"include": ["a" * 301]}}, "spec.streams.include[0]: "),
    ({"streams": {"include": ["a"], "tables": {"a": ""}}}, "spec.streams.tables.a: "),
    ({"streams": {"include": ["a"], "tables": {"a": "b" * 129}}}, "spec.streams.tables.a: "),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_a_wrong_selection_is_refused_with_its_path(fields: dict[str, Any], said: str, tmp_path: Path) -> None:
    """By the operator, because an API server with another definition lets it pass, and by the command line."""
    (problem,) = problems_of(**fields)
    assert problem.startswith(said)
    file = tmp_path / "connector.yaml"
    document = {
        "apiVersion": "apperate.io/v1",
        "kind": "Connector",
        "metadata": {"name": "a"},
        "spec": {**BASE, **fields},
    }
    file.write_bytes(msgspec.json.encode(document))
    with pytest.raises(InvalidConfigError) as refused:
        orders_from_file(file)
    assert problem in refused.value.problems


def test_an_unreadable_selection_is_named(tmp_path: Path) -> None:
    for streams in (
        {},
        {"include": "shop.*"},
        {"include": ["a"], "added": "sometimes"},
        {"include": ["a"], "tables": []},
    ):
        spec, problems = parse_spec({**BASE, "streams": streams})
        assert spec is None
        assert "$.streams" in problems[0]


def test_a_manifest_by_hand_takes_a_selection(tmp_path: Path) -> None:
    spec = {**BASE, "streams": {**SHOP, "added": "ignore"}, "onStreamFailure": "stop"}
    file = tmp_path / "connector.yaml"
    document = {"apiVersion": "apperate.io/v1", "kind": "Connector", "metadata": {"name": "a"}, "spec": spec}
    file.write_bytes(msgspec.json.encode(document))
    orders = orders_from_file(file).manifest
    assert (orders.streams, orders.on_stream_failure) == (StreamsSpec(("shop.*",), added="ignore"), "stop")
    named = orders_from_file(file, stream="shop.orders").manifest
    assert named.stream == ""
    assert named.streams is not None
    assert (named.streams.include, named.streams.exclude) == (('"shop.orders"',), ())
    assert orders_from_file(file).target().table == "", "the runner's own template"


def test_all_limits_stand_in_the_definition() -> None:
    crd = build_connector_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    streams = crd["properties"]["streams"]
    assert streams["required"] == ["include"]
    for name in ("include", "exclude"):
        assert streams["properties"][name]["maxItems"] == 1000
        assert streams["properties"][name]["items"]["maxLength"] == 300
    assert any(rule.get("fieldPath") == ".streams" for rule in crd["x-kubernetes-validations"])


def hash_of(**fields: Any) -> str:
    spec, problems = parse_spec({**BASE, **fields})
    assert (spec is not None, problems) == (True, ())
    assert spec is not None
    return spec_hash(spec)


def test_what_starts_a_new_execution() -> None:
    one = hash_of(selectedStream="shop.orders")
    assert hash_of(selectedStream="shop.orders", onStreamFailure="stop") == one, "it says nothing about one stream"
    assert hash_of(selectedStream="shop.orders", onStreamFailure="isolate") == one
    many = {hash_of(streams=SHOP), hash_of(streams=SHOP, onStreamFailure="stop"), hash_of()}
    assert len({*many, one}) == 4
    assert hash_of(streams={**SHOP, "added": "follow", "exclude": [], "tables": {}}) == hash_of(streams=SHOP)


def test_the_streams_known_stay_when_the_selection_changes() -> None:
    spec, other = (parse_spec({**BASE, **fields})[0] for fields in ({"streams": SHOP}, {"selectedStream": "a"}))
    assert isinstance(spec, ConnectorSpec)
    assert isinstance(other, ConnectorSpec)
    assert config_hash(spec) == config_hash(other)


@given(PATTERNS, PATTERNS, st.randoms(use_true_random=False))
def test_the_key_stands_for_what_is_taken(include: list[str], exclude: list[str], random: Any) -> None:
    one = StreamsSpec(tuple(include), tuple(exclude))
    shuffled = random.sample(include, len(include))
    assert StreamsSpec((*shuffled, include[0]), tuple(exclude), "ignore", {"a": "b"}).key == one.key
    assert StreamsSpec((*include, "another"), tuple(exclude)).key != one.key
    assert StreamsSpec(tuple(include), (*exclude, "another")).key != one.key


def test_the_documents_that_are_exchanged_carry_it() -> None:
    many = StreamsSpec(("shop.*",), ("shop.audit_*",), "ignore", {"shop.orders": "orders"})
    told = RunnerManifest(
        namespace="a",
        name="b",
        uid="c",
        connector_type="MYSQL",
        streams=many,
        on_stream_failure="stop",
        selections=(many,),
    )
    assert parse_manifest(encode_manifest(told)) == told
    summary = CatalogueSummary(
        (StreamSummary("shop.orders"),), 1,
        selections=(SelectionSummary(many.key, 1, {"crm.*": ("shop.orders",)}, ("shop._orders_gho",), ("a problem",)),),
    )  # fmt: skip
    line, proof = encode_line(summary)
    assert parse_line(line, proof) == summary


def test_what_an_earlier_version_wrote_is_read() -> None:
    old = parse_manifest(
        '{"namespace":"a","name":"b","uid":"c","connectorType":"MYSQL","stream":"shop.orders","also":["x"]}'
    )
    assert (old.streams, old.on_stream_failure, old.selections) == (None, "isolate", ())
    assert msgspec.json.decode('{"streams":[],"total":0}', type=CatalogueSummary).selections == ()
    assert msgspec.json.decode('{"id":"a"}', type=StreamInfo).parts == {}


def test_the_example_is_read_by_hand() -> None:
    orders = orders_from_file(Path(__file__).parents[3] / "examples" / "mysql" / "many-cluster.yaml").manifest
    assert orders.streams == StreamsSpec(("shop.*",), ("shop.audit_*",))
