"""Checked bodies, turned into what is written to Kubernetes: the resource, its Secret, and JSON patches.

JSON patches (RFC 6902) and not merge patches, because `config` is replaced as a whole: after two calls at once one of
the two configs remains, never a mixture. No patch touches a field that its body does not name.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from connector_operator.api.identity import ANNOTATION_ID, is_own_secret
from connector_operator.api.problems import ProblemError
from connector_operator.api.requests import CreateRequest
from connector_operator.resources.names import LABEL_CONNECTOR
from connector_runner.schemas.kinds.naming import API_VERSION

Patch = list[dict[str, Any]]


def build_connector(connector_id: str, name: str, creation: CreateRequest, secret: str) -> dict[str, Any]:
    """The Connector of a POST; `secret` is the name of the Secret with the secrets of its config, or ""."""
    spec = {field: value for field, value in creation.document.items() if value != "" or field == "description"}
    if secret:
        spec["configFrom"] = [{"secretRef": {"name": secret}}]
    return {
        "apiVersion": API_VERSION,
        "kind": "Connector",
        "metadata": {"name": name, "annotations": {ANNOTATION_ID: connector_id}},
        "spec": spec,
    }


def build_secret(secret: str, connector: Mapping[str, Any] | None, values: Mapping[str, str]) -> dict[str, Any]:
    """The Secret of a Connector, deleted together with it; `connector` is None for a dry run before there is one."""
    metadata: dict[str, Any] = {"name": secret}
    if connector is not None:
        owner = connector["metadata"]
        metadata["labels"] = {LABEL_CONNECTOR: owner["name"]}
        metadata["ownerReferences"] = [
            {"apiVersion": API_VERSION, "kind": "Connector", "name": owner["name"], "uid": owner["uid"]}
        ]
    data = {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}
    # Never changed, only replaced: the config that belongs to it is switched in the same write as the reference to it.
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "immutable": True, "data": data}


def build_patch(document: Mapping[str, Any], connector: Mapping[str, Any]) -> Patch:
    """The patch of a PUT. It is refused if the Connector that was read has been deleted and created again."""
    # Not `test`: a failed test can't be distinguished from a refusal by an admission webhook; a changed uid can.
    patch: Patch = [{"op": "replace", "path": "/metadata/uid", "value": connector["metadata"]["uid"]}]
    for field, value in document.items():
        place = f"/spec/{field}"
        if value is None or (value == "" and field != "description"):
            # `remove` alone fails if the field is absent.
            patch += [{"op": "add", "path": place, "value": None}, {"op": "remove", "path": place}]
        else:
            patch.append({"op": "add", "path": place, "value": value})
    return patch


def is_stale(problem: ProblemError) -> bool:
    """Whether the API server refused a patch because the Connector has changed since it was read, or was replaced."""
    return problem.status == 409 or any(violation.path == "$.metadata.uid" for violation in problem.errors)


def build_secret_patch(patch: Patch, connector: Mapping[str, Any], secret: str) -> Patch:
    """The patch that also replaces the reference to the old Secret with one to a new Secret ("" for none any more).

    It is refused if the Connector has changed since it was read: what the Secret carries over would be stale.
    """
    name = connector["metadata"]["name"]
    entry = [{"secretRef": {"name": secret}}] if secret else []
    others = [e for e in config_sources(connector) if not is_own_secret(e["secretRef"]["name"], name)]
    return [
        *patch,
        {"op": "replace", "path": "/metadata/resourceVersion", "value": connector["metadata"]["resourceVersion"]},
        {"op": "add", "path": "/spec/configFrom", "value": [*others, *entry]},
    ]


def config_sources(connector: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """`spec.configFrom` of a Connector."""
    return connector["spec"].get("configFrom") or ()


def own_secret(connector: Mapping[str, Any]) -> str:
    """The name of the Secret that the API created for a Connector, "" for none."""
    named = (entry["secretRef"]["name"] for entry in config_sources(connector))
    return next((secret for secret in named if is_own_secret(secret, connector["metadata"]["name"])), "")


def carry_over(old: Mapping[str, str], new: Mapping[str, str | None]) -> dict[str, str]:
    """A Secret's values after a PUT: named ones are replaced, those named with null removed, all others kept."""
    return {key: text for key, text in {**old, **new}.items() if text is not None}


def read_secret(secret: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a Secret that the API created."""
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
