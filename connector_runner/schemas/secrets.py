"""Secrets with any keys: maps the keys of a Secret to the properties of a configuration, or to options of a dataset. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from connector_runner.schemas.config import Schema


class SecretSource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One entry of `configFrom` or `optionsFrom`.

    Attributes:
        name: The Secret's name; "" from an operator of an earlier version.
        keys: Property by key; None if every key is the property of the same name.
        optional: Whether the Secret, and its keys named in `keys`, may be absent.
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
    """The properties from one Secret.

    Attributes:
        values: Texts by property (a dotted path).
        origins: The key that each property comes from.
        missing: Keys named in `keys` that the Secret does not have.
    """

    values: dict[str, str]
    origins: dict[str, SecretKey]
    missing: tuple[SecretKey, ...] = ()


def is_property(schema: Schema, path: str) -> bool:
    """Whether a configuration has such a property; inside an object with free content every path is valid."""
    for part in path.split("."):
        properties = schema.get("properties")
        if properties is None:
            return schema.get("type") == "object"
        if part not in properties:
            return False
        schema = properties[part]
    return True


def select_properties(values: Mapping[str, str], source: SecretSource, schema: Schema) -> Selected:
    """Selects the properties of a configuration from a Secret; see `select`."""
    return select(values, source, lambda path: is_property(schema, path))


def select(values: Mapping[str, str], source: SecretSource, is_known: Callable[[str], bool]) -> Selected:
    """Selects from a Secret what is known by name.

    Without `keys`, all keys are used. With it, a key that it names sets the property that it maps to; another key is used if it is
    known itself, else ignored. If both set the same property, `keys` wins.
    """
    if source.keys is None:
        origins = {key: SecretKey(name=source.name, key=key) for key in values}
        return Selected(values=dict(values), origins=origins)
    taken = {key: key for key in values if key not in source.keys and is_known(key)}
    taken |= {path: key for key, path in source.keys.items() if key in values}
    missing = () if source.optional else tuple(key for key in source.keys if key not in values)
    return Selected(
        values={path: values[key] for path, key in taken.items()},
        origins={path: SecretKey(name=source.name, key=key) for path, key in taken.items()},
        missing=tuple(SecretKey(name=source.name, key=key) for key in missing),
    )


def mapping_problems(source: SecretSource, schema: Schema, path: str) -> list[str]:
    """Problems of `keys` that can be found without the Secret: targets that are not properties, and two keys for one property."""
    problems, taken = [], dict[str, str]()
    for key, target in (source.keys or {}).items():
        if not is_property(schema, target):
            known = ", ".join(schema.get("properties", {}))
            problems.append(f"{path}.keys.{key}: {target!r} is not a known property; known are {known}")
        if target in taken:
            problems.append(f"{path}.keys.{key}: {target!r} is what {taken[target]!r} is mapped to already")
        taken.setdefault(target, key)
    return problems
