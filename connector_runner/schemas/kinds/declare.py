"""How a kind is declared: msgspec structs whose fields have a description and limits, and the schema derived from them.

The limits belong to the schema only. Reading into a struct checks only the types: an object that is already stored must stay
readable, and the check by the schema reports all problems at once.
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
    """Where the HTTP API shows a field of spec.

    Attributes:
        create: Whether it is in the body of POST.
        update: Whether it is in the body of PUT.
        read: Whether it is in the responses: always, only if it is set, or never.
        shown_as: Its name in the responses, if that is another one: they have had something else under its own.
    """

    create: bool = True
    update: bool = True
    read: Literal["always", "set", "never"] = "set"
    shown_as: str = ""


class HttpField(msgspec.Struct, frozen=True):
    """A field of spec that the HTTP API has.

    Attributes:
        schema: Its plain JSON Schema, without descriptions.
        default: The value if it is absent; None if it is required.
    """

    http: Http
    schema: Schema
    default: Any


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A condition between fields, as a CEL expression for the API server.

    Attributes:
        field: Where a violation is shown: a path that begins with a dot.
        reason: Kubernetes' reason for the violation; "" for the default.
        message: The message, or
        expression: a CEL expression that returns it.
        with_old: Whether the expression compares with the old object (`oldSelf`, absent if there was none).
        is_kept: The same check in Python, on the struct, for use outside of the API server; None if another check covers it.
        is_cluster_only: Whether it applies only in clusters: a manifest that is run by hand may violate it.
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
        """The rule as an entry of `x-kubernetes-validations`."""
        raw: Schema = {"rule": self.holds}
        raw |= {"messageExpression": self.expression} if self.expression else {"message": self.message}
        raw |= {"fieldPath": self.field} if self.field else {}
        raw |= {"reason": self.reason} if self.reason else {}
        return raw | ({"optionalOldSelf": True} if self.with_old else {})


class Column(msgspec.Struct, frozen=True):
    """One column of `kubectl get`.

    Attributes:
        path: A JSONPath.
        is_wide: Whether it is shown only with `-o wide`.
    """

    name: str
    path: str
    description: str = ""
    is_wide: bool = False


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of resource.

    Attributes:
        spec, status: The structs that declare it.
        rules: Rules for the whole object (its name).
        spec_rules: Rules between fields of spec.
        selectable: Paths that `--field-selector` accepts.
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
    """The metadata of a field, for `Annotated`.

    Args:
        description: The description that `kubectl explain` shows. The default is added if it is not empty.
        http: Where the HTTP API shows it; None for nowhere.
        is_required: Whether it is required although the struct has a default.
        rules: CEL rules for this field.
        key: For a list: the property that identifies an item in server-side apply. Without it, the list is replaced as a whole.
        limits: Keywords of JSON Schema and of Kubernetes.
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
    """The metadata of a field that the struct stores as plain JSON: its whole schema."""
    return msgspec.Meta(extra_json_schema={_WHOLE: schema})


def build_schema(struct: type[msgspec.Struct]) -> Schema:
    """The structural schema of a struct: no references, no defaults (they are in the descriptions), no nulls."""
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
    if "anyOf" in node:  # the only supported union: a type or None
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
    """The fields that the HTTP API shows, by their names in JSON, in the order of declaration.

    Cached, because each request for the schemas needs them.
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
    """A schema as plain JSON Schema, for checks outside of the API server: Kubernetes' keywords are replaced by their meaning."""
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: plain(value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if schema.get("x-kubernetes-int-or-string"):
        kept["type"] = ["integer", "string"]
    return kept
