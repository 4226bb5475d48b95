"""Configuration by type: merging, coercion, defaults, and problems that name their place."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.schemas.config import (
    Schema,
    coerce,
    config_problems,
    config_schema,
    connector_types,
    fill_defaults,
    find_problems,
    merge_config,
    secret_properties,
)

SCHEMA: Schema = {
    "type": "object",
    "required": ["host", "port"],
    "properties": {
        "host": {"type": "string", "minLength": 1},
        "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 3306},
        "password": {"type": "string", "format": "password", "pattern": "^[a-z]+$"},
        "products": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "tls": {
            "type": "object",
            "properties": {"mode": {"type": "string", "enum": ["off", "on"], "default": "on"}},
        },
    },
}


def test_types_are_the_folders_with_a_schema() -> None:
    assert "COINBASE" in connector_types()
    assert all(name == name.upper() for name in connector_types())


def test_unknown_type_lists_the_known_ones() -> None:
    with pytest.raises(LookupError, match="COINBASE"):
        config_schema("REDIS")


@pytest.mark.parametrize("connector_type", connector_types())
def test_every_schema_keeps_to_the_shared_subset(connector_type: str) -> None:
    schema = config_schema(connector_type)
    jsonschema.Draft202012Validator.check_schema(schema)
    pending = [("config", schema)]
    while pending:
        path, node = pending.pop()
        assert node.get("description"), f"{connector_type} {path}: a description is missing"
        assert not {"$ref", "additionalProperties", "oneOf", "anyOf"} & node.keys(), f"{connector_type} {path}"
        assert not isinstance(node.get("exclusiveMinimum"), bool), f"{connector_type} {path}"
        pending += [(f"{path}.{name}", child) for name, child in node.get("properties", {}).items()]


def test_schema_is_a_fresh_copy() -> None:
    config_schema("COINBASE")["properties"].clear()
    assert config_schema("COINBASE")["properties"]


def test_secrets_are_found_by_format() -> None:
    assert {"key", "secret", "passphrase"} <= secret_properties("COINBASE")


def test_merge_takes_secrets_in_order_and_sets_nested_properties() -> None:
    merged = merge_config(
        {"host": "a", "tls": {"mode": "off"}},
        [{"password": "one\n", "tls.mode": "on"}, {"password": "two", "port": "3307"}],
        SCHEMA,
    )
    assert merged == {"host": "a", "tls": {"mode": "on"}, "password": "two", "port": 3307}


def test_merge_leaves_its_input_alone() -> None:
    config = {"tls": {"mode": "off"}}
    merge_config(config, [{"tls.mode": "on"}], SCHEMA)
    assert config == {"tls": {"mode": "off"}}


def test_merge_replaces_a_value_that_stands_where_an_object_belongs() -> None:
    assert merge_config({"tls": "yes"}, [{"tls.mode": "on"}], SCHEMA) == {"tls": {"mode": "on"}}


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ("3306", "integer", 3306),
        ("many", "integer", "many"),
        ("true", "boolean", True),
        ("1.5", "number", 1.5),
        ("BTC-USD, ETH-USD", "array", ["BTC-USD", "ETH-USD"]),
        ('["BTC-USD"]', "array", ["BTC-USD"]),
        ('{"a": 1}', "object", {"a": 1}),
        ("{broken", "object", "{broken"),
        ("3306", "string", "3306"),
        ("3306", None, "3306"),
    ],
)
def test_coercion(text: str, wanted: str | None, value: object) -> None:
    assert coerce(text, {"type": wanted} if wanted else {}) == value


def test_defaults_fill_only_what_is_absent() -> None:
    assert fill_defaults({"tls": {}}, SCHEMA) == {"tls": {"mode": "on"}, "port": 3306}
    assert fill_defaults({"port": 1}, SCHEMA) == {"port": 1}


def test_all_problems_are_told_at_once_with_their_paths() -> None:
    config = {"port": 0, "products": [], "tls": {"mode": "perhaps", "extra": 1}, "hots": "x", "password": "S3cr3t!"}
    problems = config_problems(config, SCHEMA)
    starts = [problem.split(": ")[0] for problem in problems]
    assert starts == [
        "config.host",
        "config.hots",
        "config.password",
        "config.port",
        "config.products",
        "config.tls.extra",
        "config.tls.mode",
    ]
    assert "S3cr3t!" not in " ".join(problems)
    assert "off, on" in problems[-1]


@pytest.mark.parametrize(
    ("connector_type", "config", "said"),
    [
        ("COINBASE", {"url": "http://x"}, '"http://x" must begin with ws:// or wss://'),
        ("COINBASE", {"restUrl": "x"}, '"x" must begin with http:// or https://'),
        (
            "ETHEREUM",
            {"addresses": ["1"]},
            '"1" does not match ^0x[0-9a-fA-F]{40}$: A contract\'s address, 20 bytes in hexadecimal',
        ),
    ],
)
def test_a_pattern_is_said_in_words(connector_type: str, config: dict[str, object], said: str) -> None:
    problems = find_problems(config, config_schema(connector_type), partial=True)
    assert said in [problem.message for problem in problems]


def test_what_secrets_may_still_bring_is_not_missing() -> None:
    assert config_problems({}, SCHEMA, partial=True) == ()


def test_both_missing_names_are_told() -> None:
    assert [p.split(":")[0] for p in config_problems({}, SCHEMA)] == ["config.host", "config.port"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(JSON)
def test_any_json_gives_sentences_that_start_with_a_path(config: object) -> None:
    assert all(problem.startswith("config") and ": " in problem for problem in config_problems(config, SCHEMA))
