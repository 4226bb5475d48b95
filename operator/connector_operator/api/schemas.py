"""Schemas of bodies: one source for what is checked, what `GET /connectors` shows, and the OpenAPI document."""

from __future__ import annotations

from typing import Any

from connector_runner.schemas.config import Schema, config_schema, connector_types
from connector_runner.schemas.connector import build_connector_schema as build_connector_document
from connector_runner.schemas.kinds.connector_status import STATES
from connector_runner.schemas.kinds.naming import DATASET_ID_PATTERN, ID_PATTERN

# The limits of the resource's own fields (crds/connectors.yaml); a test compares them.
DATASET_ID: Schema = {"type": "string", "pattern": f"^$|{DATASET_ID_PATTERN}"}
DESCRIPTION: Schema = {"type": "string", "maxLength": 1000}
STREAM: Schema = {"type": "string", "maxLength": 512}
ORDERS = ("running", "stopped")


def portable(schema: Any) -> Any:
    """A schema in plain JSON Schema: Kubernetes' own keywords replaced by what they mean."""
    if isinstance(schema, list):
        return [portable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: portable(value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if schema.get("x-kubernetes-int-or-string"):
        plain["type"] = ["integer", "string"]
    return plain


def build_type_schema(connector_type: str) -> Schema:
    """One type's schema as `GET /connectors/:type` answers it.

    Raises:
        LookupError: No such type; the message lists them.
    """
    schema: Schema = portable(build_connector_document(config_schema(connector_type), connector_types()))
    return schema


def build_create_schema() -> Schema:
    """The body of POST, its config apart (that depends on the type). Fields that are not in it are allowed, as in the seed."""
    return {
        "type": "object",
        "required": ["connectorType", "config"],
        "properties": {
            "id": {"type": "string", "pattern": ID_PATTERN},
            "connectorType": {"type": "string", "enum": list(connector_types())},
            "datasetId": DATASET_ID,
            "description": DESCRIPTION,
            "wait": {"type": "boolean", "default": True},
            "selectedStream": STREAM,
            "status": {"type": "string", "enum": list(ORDERS)},
            "config": {"type": "object"},
        },
    }


def build_update_schema() -> Schema:
    """The body of PUT: any of these, nothing else; null takes a field back."""
    return {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            "selectedStream": _or_null(STREAM),
            "status": _or_null({"type": "string", "enum": list(ORDERS)}),
            "config": {"type": "object"},
            "datasetId": _or_null(DATASET_ID),
            "wait": _or_null({"type": "boolean"}),
            "description": _or_null(DESCRIPTION),
        },
    }


def _or_null(schema: Schema) -> Schema:
    nullable = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    return nullable


def build_state_schema() -> Schema:
    """`state` of every answer."""
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["jobId", "status"],
        "properties": {
            "jobId": {**text, "description": "The connector's resource: its Jobs begin with this name."},
            "status": {**text, "enum": list(STATES)},
            "execId": {**text, "description": "The execution, once there is one; its last part is the Job's name."},
            "reason": {**text, "description": "Only in trouble: why, in one word."},
            "message": {**text, "description": "Only in trouble: why, and what to do."},
        },
    }


def build_connector_schema() -> Schema:
    """One connector as GET answers it."""
    text = {"type": "string"}
    stream = {"type": "object", "required": ["id"], "properties": {"id": text}}
    return {
        "type": "object",
        "required": ["connectorType", "datasetId", "description", "id", "state", "streams", "updated", "wait"],
        "properties": {
            "connectorType": text,
            "datasetId": text,
            "description": text,
            "id": text,
            "state": build_state_schema(),
            "streams": {"type": "array", "items": stream},
            "selectedStream": {**text, "description": "Only when one is selected."},
            "updated": {**text, "format": "date-time"},
            "wait": {"type": "boolean"},
            "config": {"type": "object", "description": "Only with displayConfigs=true; never a secret's value."},
        },
    }


def build_problem_schema() -> Schema:
    """A problem (RFC 9457) beside the seed's `success` and `message`."""
    text = {"type": "string"}
    violation = {"type": "object", "required": ["path", "message"], "properties": {"path": text, "message": text}}
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "success", "message"],
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "success": {"type": "boolean", "const": False},
            "message": text,
            "errors": {"type": "array", "items": violation},
        },
    }
