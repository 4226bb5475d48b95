"""The schema of a whole connector document, in the shape of the Connectors API's answer to `GET /connectors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector_runner.schemas.config import Schema
from connector_runner.schemas.kinds.connector_status import STATES
from connector_runner.schemas.kinds.naming import ID_PATTERN


def build_connector_schema(config: Schema, connector_types: Sequence[str]) -> dict[str, Any]:
    """The document that creates a connector of one type.

    Args:
        config: The type's configuration schema.
        connector_types: All types there are.
    """
    title = config.get("title", "Connector")
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string", "minLength": 1, "pattern": ID_PATTERN, "title": title},
            "datasetId": {"type": "string", "minLength": 0},
            "description": {"type": "string"},
            "wait": {"type": "boolean", "default": True},
            "connectorType": {"type": "string", "enum": list(connector_types)},
            "selectedStream": {"type": "string"},
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
