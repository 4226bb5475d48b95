"""Building blocks for the parts of a schema that no struct can express."""

from __future__ import annotations

from typing import Any

from connector_runner.schemas.config import Schema


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
    """A Kubernetes quantity, such as 64Mi or 1."""
    return {"description": description, "x-kubernetes-int-or-string": True, "maxLength": 64}


def opaque(description: str) -> Schema:
    """An object whose fields Kubernetes itself checks when the pod is created."""
    return {"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": True}


def list_of(description: str, items: Schema, *, atomic: bool = True, **limits: Any) -> Schema:
    """A list that server-side apply replaces as a whole."""
    kind = {"x-kubernetes-list-type": "atomic"} if atomic else {}
    return {"type": "array", "description": description, "items": items, **kind, **limits}


def object_of(description: str, properties: dict[str, Schema], required: list[str] | None = None) -> Schema:
    """An object with these fields and no others."""
    schema: Schema = {"type": "object", "description": description, "properties": properties}
    return schema | ({"required": required} if required else {})
