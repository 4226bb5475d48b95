"""Reads lists and watches of connectors without what the fleet does not show: streams, config, who wrote which field. Pure.

A page of five hundred connectors with a hundred streams each is ten megabytes; what is left out is passed over, never built.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Nothing(msgspec.Struct):
    """An object whose contents do not matter, but how many there are."""


class _Written(msgspec.Struct, omit_defaults=True):
    spec: _Nothing | msgspec.UnsetType = msgspec.field(name="f:spec", default=msgspec.UNSET)


class _Writer(msgspec.Struct, omit_defaults=True):
    manager: Any = ""
    fields: _Written | None = msgspec.field(name="fieldsV1", default=None)


class _Metadata(msgspec.Struct, rename="camel", omit_defaults=True):
    name: Any = ""
    generation: Any = 0
    creation_timestamp: Any = ""
    resource_version: Any = ""
    labels: Any = None
    annotations: Any = None
    managed_fields: list[_Writer] | None = None


class _Spec(msgspec.Struct, rename="camel", omit_defaults=True):
    connector_type: Any = ""
    dataset_id: Any = ""
    status: Any = ""
    selected_stream: Any = ""
    streams: Any = None


class _Status(msgspec.Struct, rename="camel", omit_defaults=True):
    observed_generation: Any = -1
    state: Any = None
    streams: list[_Nothing] | None = None
    streams_total: Any = 0
    selection: Any = None
    progress: Any = None
    run: Any = 0
    conditions: Any = None
    updated: Any = ""


class _Connector(msgspec.Struct, omit_defaults=True):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: _Spec | None = None
    status: _Status | None = None


class _Page(msgspec.Struct):
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    items: list[_Connector] | None = None


class _Event(msgspec.Struct):
    type: str
    object: _Connector


_PAGE, _EVENT = msgspec.json.Decoder(_Page), msgspec.json.Decoder(_Event)
_SEEN = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK"})


def decode_page(content: bytes) -> Any:
    """A ConnectorList with connectors as `build_summary` takes them; any other JSON value whole; None if it is no JSON."""
    try:
        page = _PAGE.decode(content)
    except (msgspec.MsgspecError, RecursionError):
        return decode_any(content)
    if page.items is None:
        return decode_any(content)
    return {"metadata": page.metadata, "items": [_build(item) for item in page.items]}


def decode_event(line: bytes) -> Any:
    """An event of a watch with such a connector; any other JSON value whole; None if it is no JSON."""
    try:
        event = _EVENT.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        return decode_any(line)
    return {"type": event.type, "object": _build(event.object)} if event.type in _SEEN else decode_any(line)


def decode_any(content: bytes) -> Any:
    """The JSON value; None for anything else (a proxy's page)."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _build(connector: _Connector) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(connector)
    built.setdefault("metadata", {})
    if (status := connector.status) is not None and status.streams:
        own = built["status"]
        own["streamsTotal"] = own.get("streamsTotal") or len(status.streams)
        del own["streams"]
    return built
