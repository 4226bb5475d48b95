"""`connector-operator crds --apply`: brings the custom resource definitions to this release, never back to an older one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from connector_operator.cluster.client import APPLY, ApiError, KubeClient
from connector_operator.crds.definitions import build_connector_crd, build_dataset_crd
from connector_operator.crds.release import explain_refusal

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MANAGER = "connector-operator-crds"
_ATTEMPTS = 60
"""How often the API server is asked, a second apart: while it does not answer, and until it serves what was applied."""


class DefinitionsError(Exception):
    """The definitions can't be brought to this release; the message says why, one sentence per line."""


async def apply_definitions(client: KubeClient) -> list[str]:
    """Applies both definitions, unless one of them is of a newer release; returns when both are served.

    Returns:
        The names of both.

    Raises:
        DefinitionsError: One is newer, or is not served after a minute.
        ApiError: The API server refused a request, or could not be reached for a minute.
    """
    wanted = [build_connector_crd(), build_dataset_crd()]
    names = [definition["metadata"]["name"] for definition in wanted]
    installed = [await _get(client, name) for name in names]
    refusals = [text for found in installed if found is not None and (text := explain_refusal(found))]
    if refusals:
        raise DefinitionsError("\n".join(refusals))
    for definition, found in zip(wanted, installed, strict=True):
        await _apply(client, definition, found)
    await _wait_served(client, names)
    return names


async def _get(client: KubeClient, name: str) -> dict[str, Any] | None:
    for attempt in range(_ATTEMPTS):
        try:
            return dict(await client.request("GET", f"{PATH}/{name}"))
        except ApiError as error:
            if error.status == 404:
                return None
            if not error.is_transient or attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(1)
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _apply(client: KubeClient, definition: dict[str, Any], found: dict[str, Any] | None) -> None:
    # With the version that was looked at, so that nobody's newer definition is replaced in between (409 then).
    version = {} if found is None else {"resourceVersion": found["metadata"]["resourceVersion"]}
    body = {**definition, "metadata": {**definition["metadata"], **version}}
    query = {"fieldManager": MANAGER, "force": "true"}
    await client.request(
        "PATCH", f"{PATH}/{definition['metadata']['name']}", query=query, body=body, content_type=APPLY
    )


async def _wait_served(client: KubeClient, names: Iterable[str]) -> None:
    missing = list(names)
    for _ in range(_ATTEMPTS):
        missing = [name for name in missing if not _is_established(await _get(client, name))]
        if not missing:
            return
        await asyncio.sleep(1)
    raise DefinitionsError(f"{', '.join(missing)}: applied, but the API server does not serve it after a minute.")


def _is_established(definition: dict[str, Any] | None) -> bool:
    conditions = (definition or {}).get("status", {}).get("conditions", ())
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
