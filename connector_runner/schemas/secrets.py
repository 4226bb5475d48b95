"""Secrets as others make them: which keys of a Secret are which properties of a configuration. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from connector_runner.schemas.config import Schema


class SecretSource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One entry of `configFrom`.

    Attributes:
        name: The Secret's; "" where an operator of an earlier version did not tell.
        keys: Property by key; None: every key is the property of its own name.
        optional: Whether the Secret, and keys of it that `keys` names, may be absent.
    """

    name: str = ""
    keys: dict[str, str] | None = None
    optional: bool = False


class SecretKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key of one Secret."""

    name: str
    key: str

    def __str__(self) -> str:
        return f"key {self.key!r} of Secret {self.name!r}" if self.name else f"key {self.key!r} of a Secret"


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """What one Secret gives.

    Attributes:
        values: Texts by property, as a dotted path.
        origins: Which key each property comes from.
        missing: Keys that `keys` names and the Secret lacks.
    """

    values: dict[str, str]
    origins: dict[str, SecretKey]
    missing: tuple[SecretKey, ...] = ()


def is_property(schema: Schema, path: str) -> bool:
    """Whether a configuration has such a property; below an object of any content each path is one."""
    for part in path.split("."):
        properties = schema.get("properties")
        if properties is None:
            return schema.get("type") == "object"
        if part not in properties:
            return False
        schema = properties[part]
    return True


def select_properties(values: Mapping[str, str], source: SecretSource, schema: Schema) -> Selected:
    """The properties that a Secret gives.

    Without `keys` all keys count. With it, a key that it names is the property that it says; another key counts if it is a
    property by its own name, and is ignored if not. A property that both give is the one that `keys` says.
    """
    if source.keys is None:
        origins = {key: SecretKey(name=source.name, key=key) for key in values}
        return Selected(values=dict(values), origins=origins)
    taken = {key: key for key in values if key not in source.keys and is_property(schema, key)}
    taken |= {path: key for key, path in source.keys.items() if key in values}
    missing = () if source.optional else tuple(key for key in source.keys if key not in values)
    return Selected(
        values={path: values[key] for path, key in taken.items()},
        origins={path: SecretKey(name=source.name, key=key) for path, key in taken.items()},
        missing=tuple(SecretKey(name=source.name, key=key) for key in missing),
    )


def mapping_problems(source: SecretSource, schema: Schema, path: str) -> list[str]:
    """What can be told of `keys` without the Secret: targets that are no properties, and two keys for one."""
    problems, taken = [], dict[str, str]()
    for key, target in (source.keys or {}).items():
        if not is_property(schema, target):
            known = ", ".join(schema.get("properties", {}))
            problems.append(f"{path}.keys.{key}: {target!r} is not a known property; known are {known}")
        if target in taken:
            problems.append(f"{path}.keys.{key}: {target!r} is what {taken[target]!r} is mapped to already")
        taken.setdefault(target, key)
    return problems
