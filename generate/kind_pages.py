"""The parts of pages that follow from the declarations of the kinds, and from the fields that the HTTP API has."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from connector_operator.api import settings as api_settings
from connector_operator.api.openapi import PROBLEMS
from connector_operator.api.schemas import FIELDS
from connector_operator.crds.definitions import build_connector_crd, build_dataset_crd
from generate.blocks import Blocks, table


def build_fields(kind: str, part: str) -> str:
    """The table of all fields of a resource's `spec` or `status`."""
    crd = build_connector_crd() if kind == "connector" else build_dataset_crd()
    root = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    return table(["field", "type", "meaning"], _fields(root))


def _fields(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, child in schema.get("properties", {}).items():
        is_list = child.get("type") == "array"
        inner = child["items"] if is_list else child
        kind = inner.get("type", "integer or text") + ("s" if is_list else "")
        choices = f" One of {', '.join(inner['enum'])}." if "enum" in inner else ""
        yield f"`{prefix}{name}`", kind, child.get("description", "") + choices
        if not prefix.startswith("config."):
            yield from _fields(inner, f"{prefix}{name}{'[]' if is_list else ''}.")


def build_http_fields() -> str:
    """Which fields of spec each call of the HTTP API has."""
    read = {"always": "yes", "set": "when it is set", "never": ""}
    rows = [
        (
            f"`{name}`",
            *("yes" if has else "" for has in (field.http.create, field.http.update)),
            read[field.http.read] + (f", as `{field.http.shown_as}`" if field.http.shown_as else ""),
        )
        for name, field in FIELDS.items()
    ]
    return table(
        ["field", "POST", "PUT", "GET"],
        [row if row[0] != "`config`" else (*row[:3], "with `displayConfigs=true`") for row in rows],
    )


def build_problems() -> str:
    """Every status that is not a success."""
    return table(["status", "when"], [(str(status), when) for status, when in PROBLEMS.items()])


REFERENCE: dict[str, Blocks] = {
    f"docs/reference-{kind}.md": {f"{part} fields": partial(build_fields, kind, part) for part in ("spec", "status")}
    for kind in ("connector", "dataset")
}
HTTP_API: Blocks = {
    "fields": build_http_fields,
    "problems": build_problems,
    "settings": api_settings.describe_settings,
}
