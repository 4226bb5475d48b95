"""The schema of a whole connector document, in the shape of the Connectors API's answer to `GET /connectors`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from connector_runner.schemas.config import Schema
from connector_runner.schemas.kinds.connector import CONNECTOR
from connector_runner.schemas.kinds.connector_status import STATES
from connector_runner.schemas.kinds.declare import http_fields
from connector_runner.schemas.kinds.naming import ID_PATTERN

_FIRST = ("datasetId", "description", "wait", "connectorType")
"""The order in the original API; further fields follow in the order of their declaration."""


def build_connector_schema(config: Schema, connector_types: Sequence[str]) -> dict[str, Any]:
    """The document that creates a connector of one type.

    Args:
        config: The type's configuration schema.
        connector_types: All connector types.
    """
    title = config.get("title", "Connector")
    read = {
        field.http.shown_as or name: field
        for name, field in http_fields(CONNECTOR.spec).items()
        if field.http.read != "never"
    }
    fields = {name: {"type": read[name].schema["type"]} for name in in_order(read, _FIRST)}
    fields["datasetId"] |= {"minLength": 0}
    fields["wait"] |= {"default": read["wait"].default}
    fields["connectorType"] |= {"enum": list(connector_types)}
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string", "minLength": 1, "pattern": ID_PATTERN, "title": title},
            **fields,
            "state": {
                "type": "object",
                "properties": {"status": {"type": "string", "enum": list(STATES)}},
                "required": [],
            },
            "config": config,
        },
        "required": ["config", "connectorType", "wait"],
        "additionalProperties": True,
        "title": f"{title} Schema",
    }


def in_order(names: Iterable[str], first: Sequence[str]) -> list[str]:
    """The names, starting with those in `first`."""
    return sorted(names, key=lambda name: first.index(name) if name in first else len(first))
