"""Which keys of a Secret are which properties, and what is said of those that are missing or no property."""

from __future__ import annotations

from connector_runner.schemas.config import Schema
from connector_runner.schemas.secrets import SecretSource, is_property, mapping_problems, select_properties

SCHEMA: Schema = {
    "properties": {
        "user": {"type": "string"},
        "password": {"type": "string"},
        "ssl": {"type": "object", "properties": {"ca": {"type": "string"}}},
        "headers": {"type": "object"},
    }
}
OTHERS = {"username": "u", "password": "p", "engine": "mysql", "ssl.ca": "c"}


def test_without_keys_everything_counts() -> None:
    selected = select_properties(OTHERS, SecretSource(name="db"), SCHEMA)
    assert selected.values == OTHERS
    assert str(selected.origins["engine"]) == "key 'engine' of Secret 'db'"


def test_keys_are_mapped_known_ones_stay_and_others_are_ignored() -> None:
    selected = select_properties(OTHERS, SecretSource(name="db", keys={"username": "user"}), SCHEMA)
    assert selected.values == {"user": "u", "password": "p", "ssl.ca": "c"}
    assert str(selected.origins["user"]) == "key 'username' of Secret 'db'"
    assert selected.missing == ()


def test_what_keys_say_wins_over_a_property_of_the_same_name() -> None:
    source = SecretSource(name="db", keys={"admin": "user"})
    assert select_properties({"user": "a", "admin": "b"}, source, SCHEMA).values == {"user": "b"}


def test_a_mapped_key_must_be_there_unless_optional() -> None:
    source = SecretSource(name="db", keys={"username": "user"})
    assert [str(key) for key in select_properties({}, source, SCHEMA).missing] == ["key 'username' of Secret 'db'"]
    optional = SecretSource(name="db", keys={"username": "user"}, optional=True)
    assert select_properties({}, optional, SCHEMA).missing == ()


def test_properties_by_their_paths() -> None:
    good = ["user", "ssl", "ssl.ca", "headers", "headers.Authorization"]
    assert [path for path in [*good, "ssl.cert", "users", "user.x", ""] if is_property(SCHEMA, path)] == good


def test_mappings_that_lead_nowhere() -> None:
    source = SecretSource(name="db", keys={"a": "usr", "b": "user", "c": "user"})
    first, second = mapping_problems(source, SCHEMA, "spec.configFrom[0]")
    assert first.startswith("spec.configFrom[0].keys.a: 'usr' is not a known property; known are user")
    assert second == "spec.configFrom[0].keys.c: 'user' is what 'b' is mapped to already"
