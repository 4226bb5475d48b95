"""One typed `spec.config` from all types' schemas, and the CEL rules that say what belongs to which type.

Measured on a real API server: of four forms only this one explains every field, refuses typos with their path, and
names the type in its errors. Rules accept an unchanged config, so that a tightened rule never prevents stopping an old
object.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from connector_runner.schemas.config import Schema

_LIMITS = {
    "pattern": "{value}.matches({limit})",
    "minLength": "size({value}) >= {limit}",
    "maxLength": "size({value}) <= {limit}",
    "minItems": "size({value}) >= {limit}",
    "maxItems": "size({value}) <= {limit}",
    "minimum": "{value} >= {limit}",
    "maximum": "{value} <= {limit}",
    "enum": "{value} in {limit}",
}
"""Keywords that types may set differently for a property that they share, and their translation to CEL."""
_SILENT = {"description", "title", "default"}
"""Keywords that types need not agree on."""
_CEL_RESERVED = {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"}
_CEL_RESERVED |= {"import", "let", "loop", "package", "namespace", "return", "var", "void", "while"}


class UnionError(ValueError):
    """Two types give one property name different shapes; the message says which and where."""


def cel_text(text: str) -> str:
    """A CEL string literal."""
    return json.dumps(text, ensure_ascii=False)


def cel_name(name: str) -> str:
    """A property's name as CEL accesses it: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules."""
    if name in _CEL_RESERVED:
        return f"__{name}__"
    return (
        name.replace("__", "__underscores__").replace(".", "__dot__").replace("-", "__dash__").replace("/", "__slash__")
    )


def structural(schema: Schema) -> Schema:
    """A schema as a CRD may contain it.

    Without defaults (they would show as drift), `required` (Secrets may supply the property) and titles.
    """
    kept = {key: copy.deepcopy(value) for key, value in schema.items() if key not in {"default", "required", "title"}}
    if kept.get("format") == "password":
        del kept["format"]  # our own format; the API server warns about it
    if "properties" in kept:
        kept["properties"] = {name: structural(child) for name, child in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = structural(kept["items"])
    return kept


def _shape(schema: Schema) -> Schema:
    """What two types must agree on to share a property."""
    return _undescribed({key: value for key, value in schema.items() if key not in _LIMITS})


def _undescribed(schema: Schema) -> Schema:
    shape = {key: value for key, value in schema.items() if key not in _SILENT}
    if "properties" in shape:
        shape["properties"] = {name: _undescribed(child) for name, child in shape["properties"].items()}
    if "items" in shape:
        shape["items"] = _undescribed(shape["items"])
    return shape


def differing_limits(children: Mapping[str, Schema]) -> list[str]:
    """The limits that the types which share a property set differently."""
    return [key for key in _LIMITS if len({json.dumps(child.get(key)) for child in children.values()}) > 1]


def owners(schemas: Mapping[str, Schema]) -> dict[str, list[str]]:
    """The types that have each property, in order of appearance."""
    found: dict[str, list[str]] = {}
    for kind, schema in schemas.items():
        for name in schema["properties"]:
            found.setdefault(name, []).append(kind)
    return found


def build_union(schemas: Mapping[str, Schema]) -> Schema:
    """The type and properties of `spec.config`.

    Raises:
        UnionError: Two types give one name different shapes.
    """
    properties: dict[str, Schema] = {}
    for name, kinds in owners(schemas).items():
        children = {kind: schemas[kind]["properties"][name] for kind in kinds}
        first = children[kinds[0]]
        for kind in kinds[1:]:
            if _shape(structural(children[kind])) != _shape(structural(first)):
                raise UnionError(
                    f"config.{name}: {kinds[0]} and {kind} share this name, so they must give it the same shape"
                )
        merged = structural(first)
        for limit in differing_limits(children):
            merged.pop(limit, None)  # each type has its own rule
        merged["description"] = " ".join(describe(kinds, children))
        properties[name] = merged
    return {
        "type": "object",
        "properties": properties,
    }


def describe(kinds: list[str], children: Mapping[str, Schema]) -> list[str]:
    """One text per type, equal ones combined; with the default, as the schema does not have it."""
    said: dict[str, list[str]] = {}
    for kind in kinds:
        child = children[kind]
        default = f" Default: {json.dumps(child['default'])}." if "default" in child else ""
        said.setdefault(child["description"] + default, []).append(kind)
    return [f"{', '.join(who)}: {text}" for text, who in said.items()]


def build_rules(schemas: Mapping[str, Schema]) -> list[dict[str, Any]]:
    """The CEL rules of `spec`: ownership of each property, then what each type requires, then differing limits."""
    rules = []
    for name, kinds in owners(schemas).items():
        if len(kinds) == len(schemas):
            continue
        member = f"self.connectorType in [{', '.join(map(cel_text, kinds))}]"
        message = cel_text(f"a field of {' and '.join(kinds)}, not of ") + " + self.connectorType"
        rules.append(_rule(f"!{_has(name)} || {member}", message, name, "FieldValueForbidden"))
    for kind, schema in schemas.items():
        for name in schema.get("required", []):
            if "default" in schema["properties"][name]:
                continue
            message = cel_text(f"{kind} requires it; it may also come from a Secret named in configFrom")
            holds = f"self.connectorType != {cel_text(kind)} || {_FROM_SECRETS} || {_has(name)}"
            rules.append(_rule(holds, message, name, "FieldValueRequired"))
    for name, kinds in owners(schemas).items():
        children = {kind: schemas[kind]["properties"][name] for kind in kinds}
        rules += [
            _limit_rule(name, kind, key, child[key])
            for key in differing_limits(children)
            for kind, child in children.items()
            if key in child
        ]
    return rules


def _limit_rule(name: str, kind: str, key: str, limit: Any) -> dict[str, Any]:
    kept = _LIMITS[key].format(value=f"self.config.{cel_name(name)}", limit=json.dumps(limit))
    message = cel_text(f"for {kind}, {key} is {json.dumps(limit, ensure_ascii=False)}")
    holds = f"self.connectorType != {cel_text(kind)} || !{_has(name)} || {kept}"
    return _rule(holds, message, name, "FieldValueInvalid")


_FROM_SECRETS = "(has(self.configFrom) && size(self.configFrom) > 0)"
_UNCHANGED = (
    "(oldSelf.hasValue() && oldSelf.value().connectorType == self.connectorType"
    " && has(oldSelf.value().configFrom) == has(self.configFrom)"
    " && has(oldSelf.value().config) == has(self.config)"
    " && (!has(self.config) || oldSelf.value().config == self.config))"
)


def _has(name: str) -> str:
    return f"(has(self.config) && has(self.config.{cel_name(name)}))"


def _rule(holds: str, message: str, name: str, reason: str) -> dict[str, Any]:
    return {
        "rule": f"{_UNCHANGED} || {holds}",
        "messageExpression": message,
        "fieldPath": f".config.{name}",
        "reason": reason,
        "optionalOldSelf": True,
    }
