"""Schemas of bodies: one source for the checks, for `GET /connectors`, and for the OpenAPI document."""

from __future__ import annotations

from connector_runner.schemas.config import Schema, config_schema, connector_types
from connector_runner.schemas.connector import build_connector_schema as build_connector_document
from connector_runner.schemas.connector import in_order
from connector_runner.schemas.kinds.connector import CONNECTOR
from connector_runner.schemas.kinds.connector_status import STATES, RunProgress
from connector_runner.schemas.kinds.declare import build_schema, http_fields, plain
from connector_runner.schemas.kinds.naming import ID_PATTERN

FIELDS = http_fields(CONNECTOR.spec)
"""The fields of spec that the API has, with the limits of the resource."""
_UPDATE_FIRST = ("selectedStream", "status", "config", "datasetId", "wait", "description", "streams", "onStreamFailure")
"""The order in which a refusal has always named them."""
_REQUIRED = ("connectorType", "config")
_REMARKS = {
    "selectedStream": "Only when one is selected.",
    "streams": "The selection of many streams, which POST and PUT take as streams; only when there is one.",
}


def build_type_schema(connector_type: str) -> Schema:
    """One type's schema as `GET /connectors/:type` returns it.

    Raises:
        LookupError: No such type; the message lists them.
    """
    schema: Schema = plain(build_connector_document(config_schema(connector_type), connector_types()))
    return schema


def build_create_schema() -> Schema:
    """The body of POST, except for its config (that depends on the type). Other fields are allowed, as in the seed."""
    fields = {name: _with_empty(field.schema) for name, field in FIELDS.items() if field.http.create}
    for name, schema in fields.items():
        if FIELDS[name].default is True:
            schema["default"] = True
    return {
        "type": "object",
        "required": list(_REQUIRED),
        "properties": {"id": {"type": "string", "pattern": ID_PATTERN}, **fields},
    }


def build_update_schema() -> Schema:
    """The body of PUT: any of these fields, nothing else; null removes a field, unless it is required."""
    taken = [name for name, field in FIELDS.items() if field.http.update]
    fields = {name: _with_empty(FIELDS[name].schema) for name in in_order(taken, _UPDATE_FIRST)}
    return {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {name: schema if name in _REQUIRED else _or_null(schema) for name, schema in fields.items()},
    }


def _with_empty(schema: Schema) -> Schema:
    """Allows an empty text where a pattern is required: it then counts as absent."""
    return {**schema, "pattern": f"^$|{schema['pattern']}"} if "pattern" in schema else dict(schema)


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
            "reason": {**text, "description": "Only after an error: why, in one word."},
            "message": {**text, "description": "Only after an error: why, and what to do."},
        },
    }


def build_connector_schema() -> Schema:
    """One connector as GET returns it."""
    text = {"type": "string"}
    stream = {"type": "object", "required": ["id"], "properties": {"id": text}}
    types = {name: {"type": field.schema["type"]} for name, field in FIELDS.items()}
    shown = {name: field.http.shown_as or name for name, field in FIELDS.items()}
    always: dict[str, Schema] = {name: types[name] for name, field in FIELDS.items() if field.http.read == "always"}
    always |= {
        "id": text,
        "state": build_state_schema(),
        "streams": {"type": "array", "items": stream},
        "updated": {**text, "format": "date-time"},
    }
    properties: dict[str, Schema] = {}
    for name in sorted(always):
        properties[name] = always[name]
        if name == "streams":
            properties |= {
                shown[name]: {**types[name], "description": _REMARKS.get(name, "Only when it is set.")}
                for name, field in FIELDS.items()
                if field.http.read == "set"
            }
    progress = plain(build_schema(RunProgress))
    progress["properties"] = {
        name: part for name, part in progress["properties"].items() if name not in {"run", "lag", "unread"}
    }
    progress["description"] = "Only while it runs and its runner has reported its progress."
    properties["progress"] = progress
    properties["config"] = {"type": "object", "description": "Only with displayConfigs=true; never a secret's value."}
    return {"type": "object", "required": sorted(always), "properties": properties}


def build_problem_schema() -> Schema:
    """A problem (RFC 9457) with the seed's `success` and `message`."""
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
