"""The API's own description, OpenAPI 3.1: generated from the schemas that requests are checked with."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

from connector_operator.api import schemas
from connector_operator.api.problems import MEDIA_TYPE
from connector_runner.schemas.config import config_schema, connector_types
from connector_runner.schemas.kinds.declare import plain
from connector_runner.schemas.kinds.naming import ID_PATTERN, MAX_CONNECTOR_NAME

Node = dict[str, Any]

PROBLEMS = {
    400: "The body or a parameter is not valid; `errors` has each problem with its path.",
    401: "No token, or one that the cluster does not accept.",
    403: "Kubernetes' access rules do not allow it; the message says what.",
    404: "There is no such connector, type or path.",
    405: "The path has no such method.",
    408: "The body came too slowly.",
    409: "A connector of this name exists, or is being changed by others; or a PUT would select one stream beside many.",
    410: "The list was read too slowly (`continue`): begin again with its first page.",
    413: "The body is too long.",
    415: "The body is not application/json, or compressed.",
    502: "The cluster's API server failed.",
    503: "The cluster's API server can't be reached or is busy; try again.",
}
"""Every status that is not a success, on any path."""
_READING = (400, 401, 403, 404, 502, 503)
_WRITING = (*_READING, 408, 409, 413, 415)


@cache
def build_openapi() -> Node:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Connectors API",
            "version": metadata.version("connector-operator"),
            "description": "Connectors of one Kubernetes namespace. Every call is made with the caller's own Kubernetes token.",
        },
        "servers": [{"url": "/v1"}],
        "security": [{"bearer": []}, {"token": []}],
        "paths": {
            "/connectors": {"get": _list_schemas()},
            "/connectors/{type}": {"get": _read_schema(), "parameters": [_path("type", {"type": "string"})]},
            "/connectors/connector": {"get": _list()},
            "/connectors/connector/{name}": {
                "parameters": [_path("name", _id_schema())],
                "get": _read(),
                "post": _create(),
                "put": _update(),
                "delete": _delete(),
            },
        },
        "components": {
            "schemas": {
                "Problem": schemas.build_problem_schema(),
                "Connector": schemas.build_connector_schema(),
                "ConnectorUpdate": _build_update(),
                **{_title(kind): _build_creation(kind) for kind in connector_types()},
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A Kubernetes token."},
                "token": {"type": "apiKey", "in": "query", "name": "token", "description": "The same in the query."},
            },
        },
    }


def _build_creation(kind: str) -> Node:
    """The body that creates a connector of one type: the document's shape with the type's config in it.

    A required property that has a default may be left out, so the description does not require it.
    """
    shape = schemas.build_create_schema()
    config = plain(config_schema(kind))
    config["required"] = [name for name in config.get("required", []) if "default" not in config["properties"][name]]
    config["additionalProperties"] = False
    shape["properties"] |= {"connectorType": {"const": kind}, "config": config}
    del shape["properties"]["id"]  # it may be repeated here, but must then equal the path's
    return shape


def _build_update() -> Node:
    """The body that changes a connector; which config fits depends on the connector's type."""
    shape = schemas.build_update_schema()
    configs = [plain(config_schema(kind)) | {"required": []} for kind in connector_types()]
    shape["properties"]["config"] = {"anyOf": configs, "description": "The whole config, by the connector's type."}
    return shape


def _title(kind: str) -> str:
    return f"{kind.capitalize()}Connector"


def _id_schema() -> Node:
    return {
        "type": "string",
        "pattern": ID_PATTERN,
        "maxLength": MAX_CONNECTOR_NAME,
        "description": "The connector's id; its resource has this name in lower case with - for _.",
    }


def _path(name: str, schema: Node) -> Node:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _reference(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Node) -> Node:
    return {"content": {"application/json": {"schema": schema}}}


def _operation(identifier: str, summary: str, answer: Node, problems: tuple[int, ...], **more: Any) -> Node:
    refusals = {
        str(status): {
            "description": PROBLEMS[status],
            "content": {MEDIA_TYPE: {"schema": _reference("Problem")}},
        }
        for status in sorted(problems)
    }
    return {
        "operationId": identifier,
        "summary": summary,
        "responses": {"200": {"description": "Success.", **_json(answer)}, **refusals},
        **more,
    }


def _display() -> Node:
    return {
        "name": "displayConfigs",
        "in": "query",
        "required": False,
        "description": "Whether `config` is shown, without secrets.",
        "schema": {"type": "boolean", "default": False},
    }


def _wait() -> Node:
    return {
        "name": "wait",
        "in": "query",
        "required": False,
        "description": "How many seconds the answer waits for the new state, at most; 0 for none. More than the API's `--wait` is that.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    }


def _array(items: Node, **more: Any) -> Node:
    return {"type": "array", "items": items, **more}


def _list_schemas() -> Node:
    return _operation("listSchemas", "The schemas of all types", _array({"type": "object"}), (), security=[])


def _read_schema() -> Node:
    answer = _array({"type": "object"}, minItems=1, maxItems=1)
    return _operation("readSchema", "One type's schema, as an array of one", answer, (404,), security=[])


def _list() -> Node:
    return _operation(
        "listConnectors", "All connectors", _array(_reference("Connector")), _READING, parameters=[_display()]
    )


def _read() -> Node:
    answer = _array(_reference("Connector"), minItems=1, maxItems=1)
    return _operation("readConnector", "One connector, as an array of one", answer, _READING, parameters=[_display()])


def _done(verb: str) -> Node:
    properties: Node = {"success": {"const": True}, "message": {"type": "string", "pattern": f"^{verb} connector '"}}
    if verb == "created":
        properties["ignored"] = {**_array({"type": "string"}), "description": "Fields of the body that mean nothing."}
    return {"type": "object", "required": ["success", "message"], "properties": properties}


def _create() -> Node:
    kinds = {"oneOf": [_reference(_title(kind)) for kind in connector_types()]}
    body = {"required": True, **_json(kinds)}
    return _operation("createConnector", "Create a connector", _done("created"), _WRITING, requestBody=body)


def _update() -> Node:
    answer = {
        "type": "object",
        "required": ["id", "state"],
        "properties": {"id": {"type": "string"}, "state": schemas.build_state_schema()},
    }
    body = {"required": True, **_json(_reference("ConnectorUpdate"))}
    summary = "Select a stream, start, stop, change"
    return _operation("updateConnector", summary, answer, _WRITING, parameters=[_wait()], requestBody=body)


def _delete() -> Node:
    return _operation("deleteConnector", "Delete a connector", _done("deleted"), (*_READING, 409))
