"""How a kind is declared: msgspec structs whose fields carry a description and limits, and the schema that follows from them.

The limits are of the schema only. What is read into a struct is checked for its types alone: an object that is stored already must
stay readable, and a check by the schema names all problems at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from connector_runner.schemas.config import Schema

_REQUIRED, _WHOLE = "x-required", "x-whole"


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """Where the HTTP API has a field of spec.

    Attributes:
        create: In the body of POST.
        update: In the body of PUT.
        read: In the answers: always, only when it is set, or never.
    """

    create: bool = True
    update: bool = True
    read: Literal["always", "set", "never"] = "set"


class HttpField(msgspec.Struct, frozen=True):
    """A field of spec that the HTTP API has.

    Attributes:
        schema: Plain JSON Schema, without texts.
        default: What holds when it is absent; None where it is required.
    """

    http: Http
    schema: Schema
    default: Any


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold between fields, as a CEL expression of the API server's.

    Attributes:
        field: Where a violation is shown: a path that begins with a dot.
        reason: Kubernetes' word for the violation; "" for the usual one.
        message: What is said, or
        expression: a CEL expression that says it.
        with_old: The expression compares with the object as it was (`oldSelf`, absent when there was none).
        is_kept: The same in Python, over the struct, for checks outside of the API server; None where another check says it.
        is_cluster_only: Of clusters only: a manifest that is run by hand may break it.
    """

    holds: str
    message: str = ""
    expression: str = ""
    field: str = ""
    reason: str = ""
    with_old: bool = False
    is_kept: Callable[[Any], bool] | None = None
    is_cluster_only: bool = False

    def build(self) -> Schema:
        """As an entry of `x-kubernetes-validations`."""
        raw: Schema = {"rule": self.holds}
        raw |= {"messageExpression": self.expression} if self.expression else {"message": self.message}
        raw |= {"fieldPath": self.field} if self.field else {}
        raw |= {"reason": self.reason} if self.reason else {}
        return raw | ({"optionalOldSelf": True} if self.with_old else {})


class Column(msgspec.Struct, frozen=True):
    """One column of `kubectl get`.

    Attributes:
        path: A JSONPath.
        is_wide: Shown with `-o wide` only.
    """

    name: str
    path: str
    description: str = ""
    is_wide: bool = False


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of resource.

    Attributes:
        spec, status: The structs that declare it.
        rules: Of the whole object (its name).
        spec_rules: Between fields of spec.
        selectable: Paths that `--field-selector` takes.
    """

    name: str
    plural: str
    short: str
    description: str
    spec: type[msgspec.Struct]
    status: type[msgspec.Struct]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...]
    rules: tuple[Rule, ...] = ()
    spec_rules: tuple[Rule, ...] = ()


def described(
    description: str,
    *,
    http: Http | None = None,
    is_required: bool = False,
    rules: Iterable[Rule] = (),
    key: str = "",
    **limits: Any,
) -> msgspec.Meta:
    """What stands beside a field, in `Annotated`.

    Args:
        description: For people; `kubectl explain` shows it. The default is added where it is not empty.
        http: Where the HTTP API has it; None for nowhere.
        is_required: Required although the struct has a default.
        rules: CEL rules of this field.
        key: Of a list: the property that names an item, for server-side apply. Without, a list is replaced as a whole.
        limits: Keywords of JSON Schema, and Kubernetes' own.
    """
    extra: Schema = dict(limits)
    if checks := [rule.build() for rule in rules]:
        extra["x-kubernetes-validations"] = checks
    if key:
        extra |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    if is_required:
        extra[_REQUIRED] = True
    return msgspec.Meta(
        description=description, extra_json_schema=extra or None, extra={"http": http} if http else None
    )


def shaped(schema: Schema) -> msgspec.Meta:
    """Beside a field that the struct keeps as plain JSON: its whole schema."""
    return msgspec.Meta(extra_json_schema={_WHOLE: schema})


def build_schema(struct: type[msgspec.Struct]) -> Schema:
    """The structural schema of a struct: no references, no defaults (they stand in the descriptions), no nulls."""
    (root,), definitions = msgspec.json.schema_components([struct], ref_template="{name}")
    schema: Schema = _structural(root, definitions)
    return schema


def _structural(node: Schema, definitions: dict[str, Schema]) -> Schema:
    if _WHOLE in node:
        return copy.deepcopy(dict(node[_WHOLE]))
    if "$ref" in node:
        target = dict(definitions[node["$ref"]])
        target["description"] = _first_paragraph(target.get("description", ""))
        node = target | {key: value for key, value in node.items() if key != "$ref"}
    if "anyOf" in node:  # the only union there is: something, or nothing
        (some,) = (option for option in node["anyOf"] if option != {"type": "null"})
        return _structural({**some, **{key: value for key, value in node.items() if key != "anyOf"}}, definitions)
    kept = {key: value for key, value in node.items() if key not in {"title", "default", "required", _REQUIRED}}
    if "enum" in kept:
        kept["type"] = "string"
    default = node.get("default")
    if default and isinstance(default, str | bool):
        kept["description"] += f" Default: {default if isinstance(default, str) else 'true'}."
    if kept["type"] == "array":
        kept["items"] = _structural(kept["items"], definitions)
        kept.setdefault("x-kubernetes-list-type", "atomic")
    if "properties" in kept:
        children = kept["properties"]
        needed = [name for name in children if name in node["required"] or _REQUIRED in children[name]]
        kept["properties"] = {name: _structural(child, definitions) for name, child in children.items()}
        kept |= {"required": needed} if needed else {}
    return _in_order(kept)


def _in_order(schema: Schema) -> Schema:
    first = [key for key in ("type", "description") if key in schema]
    return {key: schema[key] for key in [*first, *(key for key in schema if key not in first)]}


def _first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


@cache
def http_fields(struct: type[msgspec.Struct]) -> Mapping[str, HttpField]:
    """The fields that the HTTP API has, by their names in JSON, in the order of declaration.

    Derived once: each request for the schemas asks for them.
    """
    hints = get_type_hints(struct, include_extras=True)
    properties = build_schema(struct)["properties"]
    found: dict[str, HttpField] = {}
    for field in msgspec.structs.fields(struct):
        hint = hints[field.name]
        metas = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        for meta in metas:
            if isinstance(meta, msgspec.Meta) and meta.extra and "http" in meta.extra:
                schema = plain({k: v for k, v in properties[field.encode_name].items() if k != "description"})
                default = None if field.default is msgspec.NODEFAULT else field.default
                found[field.encode_name] = HttpField(meta.extra["http"], schema, default)
    return MappingProxyType(found)


def plain(schema: Any) -> Any:
    """A schema in plain JSON Schema, for checks outside of the API server: Kubernetes' own keywords replaced by what they mean."""
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: plain(value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if schema.get("x-kubernetes-int-or-string"):
        kept["type"] = ["integer", "string"]
    return kept
