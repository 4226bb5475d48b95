"""Ids as callers give them, and the resource names that they map to.

This module alone decides, so that no id ever reaches another's resource.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from connector_runner.schemas.kinds.naming import GROUP, ID_PATTERN, MAX_CONNECTOR_NAME, is_connector_name

ANNOTATION_ID = f"{GROUP}/id"
"""Holds the id as it was given, since a resource's name can't have its capitals and underscores."""
_ID = re.compile(ID_PATTERN.removeprefix("^").removesuffix("$"))


class BadIdError(ValueError):
    """An id that no connector can have; the message says why."""


def resource_name(connector_id: str) -> str:
    """The name of the resource that an id maps to: lower case, `_` as `-`, without dashes at the ends.

    Raises:
        BadIdError: The id has characters that the schema does not allow, or maps to no valid name.
    """
    if not _ID.fullmatch(connector_id):
        raise BadIdError("an id has the letters a-z and A-Z, digits, - and _ only, at least one of them")
    name = connector_id.lower().replace("_", "-").strip("-")
    if not name:
        raise BadIdError("an id has at least one letter or digit")
    if len(name) > MAX_CONNECTOR_NAME:
        raise BadIdError(f"an id has at most {MAX_CONNECTOR_NAME} characters (Jobs and pods are named after it)")
    if not is_connector_name(name):
        raise BadIdError(f"the id leads to {name!r}, which is not a valid resource name")
    return name


def connector_id(metadata: Mapping[str, Any]) -> str:
    """The id of a resource: from the annotation, if that maps to this very name; else the name (created by kubectl)."""
    name = str(metadata.get("name", ""))
    given = (metadata.get("annotations") or {}).get(ANNOTATION_ID, "")
    try:
        return given if resource_name(given) == name else name
    except BadIdError:
        return name


def has_id(metadata: Mapping[str, Any], asked: str) -> bool:
    """Whether a resource is the one that a caller means by an id that maps to its name.

    A resource that the API created has exactly one id. One that kubectl created has none, so every spelling of its name
    matches.
    """
    known = connector_id(metadata)
    return known == asked or (known == metadata.get("name") and known != _given(metadata))


def _given(metadata: Mapping[str, Any]) -> str:
    return str((metadata.get("annotations") or {}).get(ANNOTATION_ID, ""))


def build_secret_name(name: str) -> str:
    """A new name for a Secret of a connector: never used before, so that config and Secret change together in one write."""
    return f"{name}-api-{secrets.token_hex(4)}"


def is_own_secret(secret: str, name: str) -> bool:
    """Whether the API created a Secret for the connector of this name."""
    return re.fullmatch(rf"{re.escape(name)}-api-[0-9a-f]{{8}}", secret) is not None
