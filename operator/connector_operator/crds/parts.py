"""The small vocabulary that both custom resource definitions are written in."""

from __future__ import annotations

from typing import Any

from connector_operator.resources import names

Schema = dict[str, Any]


def text(description: str, **limits: Any) -> Schema:
    """A string."""
    return {"type": "string", "description": description, **limits}


def number(description: str, **limits: Any) -> Schema:
    """A whole number."""
    return {"type": "integer", "description": description, **limits}


def yes_no(description: str) -> Schema:
    """A boolean."""
    return {"type": "boolean", "description": description}


def text_map(description: str, **limits: Any) -> Schema:
    """An object of texts by any name."""
    return {"type": "object", "description": description, "additionalProperties": {"type": "string"}, **limits}


def quantity(description: str) -> Schema:
    """A quantity of Kubernetes, as 64Mi or 1."""
    return {"description": description, "x-kubernetes-int-or-string": True, "maxLength": 64}


def opaque(description: str) -> Schema:
    """An object whose fields Kubernetes itself checks when the pod is made."""
    return {"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": True}


def list_of(description: str, items: Schema, *, atomic: bool = True, **limits: Any) -> Schema:
    """A list that server-side apply replaces as a whole."""
    kind = {"x-kubernetes-list-type": "atomic"} if atomic else {}
    return {"type": "array", "description": description, "items": items, **kind, **limits}


def map_list(description: str, items: Schema, key: str) -> Schema:
    """A list whose items server-side apply knows by a key."""
    return {
        "type": "array",
        "description": description,
        "items": items,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [key],
    }


def object_of(description: str, properties: dict[str, Schema], required: list[str] | None = None) -> Schema:
    """An object with these fields and no others."""
    schema: Schema = {"type": "object", "description": description, "properties": properties}
    return schema | ({"required": required} if required else {})


def conditions() -> Schema:
    """Kubernetes' conditions."""
    item = object_of(
        "One aspect of the state.",
        {
            "type": text("Which."),
            "status": text("True, False or Unknown.", enum=["True", "False", "Unknown"]),
            "reason": text("Why, in one word."),
            "message": text("Why, in a sentence that says what to do."),
            "lastTransitionTime": text("When status last changed.", format="date-time"),
            "observedGeneration": number("The generation of the spec that it is about.", format="int64"),
        },
        required=["type", "status", "reason", "message", "lastTransitionTime"],
    )
    return map_list("The state by aspects, for tools and people.", item, "type")


def definition(
    *,
    kind: str,
    plural: str,
    short: str,
    root: Schema,
    columns: list[tuple[str, str, int, str]],
    selectable: list[str],
) -> Schema:
    """A custom resource definition around a schema; a column is name, path, priority (1: wide only), description."""
    printed = []
    for name, path, priority, description in columns:
        column: Schema = {"name": name, "jsonPath": path, "type": "date" if name == "Age" else "string"}
        column |= {"priority": priority} if priority else {}
        printed.append(column | ({"description": description} if description else {}))
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{names.GROUP}",
            "labels": {"app.kubernetes.io/part-of": "connector-operator"},
        },
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["apperate"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": printed,
                    "selectableFields": [{"jsonPath": path} for path in selectable],
                    "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }


def without_kubernetes(schema: Any) -> Any:
    """The same as plain JSON Schema, for checks outside of the API server."""
    if isinstance(schema, list):
        return [without_kubernetes(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: without_kubernetes(value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if schema.get("x-kubernetes-int-or-string"):
        plain["type"] = ["integer", "string"]
    return plain
