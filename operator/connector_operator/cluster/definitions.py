"""`connector-operator crds --apply`: brings the custom resource definitions to this release, never back to an older one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
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
    for attempt in range(_ATTEMPTS):
        try:
            await _bring(client, wanted)
            break
        except ApiError as error:
            # 409: somebody wrote between look and write (also the API server, about what it has just created).
            if error.status != HTTPStatus.CONFLICT or attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(1)
    await _wait_served(client, names)
    return names


async def _bring(client: KubeClient, wanted: Iterable[dict[str, Any]]) -> None:
    """One attempt: looks at all, then applies all or none."""
    pairs = [(definition, await _get(client, definition["metadata"]["name"])) for definition in wanted]
    refusals = [text for _, found in pairs if found is not None and (text := explain_refusal(found))]
    if refusals:
        raise DefinitionsError("\n".join(refusals))
    for definition, found in pairs:
        await _apply(client, definition, found)


async def _get(client: KubeClient, name: str) -> dict[str, Any] | None:
    for attempt in range(_ATTEMPTS):
        try:
            return dict(await client.request("GET", f"{PATH}/{name}"))
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
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
        missing = [name for name in missing if not is_established(await _get(client, name))]
        if not missing:
            return
        await asyncio.sleep(1)
    raise DefinitionsError(f"{', '.join(missing)}: applied, but the API server does not serve it after a minute.")


def is_established(definition: dict[str, Any] | None) -> bool:
    """Whether the API server serves a definition; its status, and the conditions in it, are null at first."""
    status = (definition or {}).get("status") or {}
    return any(one["type"] == "Established" and one["status"] == "True" for one in status.get("conditions") or ())
