"""The calls of the Connectors API on the cluster: each is a few requests as the caller, with no state between calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from connector_operator.api import patches
from connector_operator.api.cluster import JSON_PATCH, MANAGER, Cluster
from connector_operator.api.identity import BadIdError, build_secret_name, connector_id, has_id, resource_name
from connector_operator.api.problems import ProblemError, Violation, not_found
from connector_operator.api.requests import (
    UpdateRequest,
    parse_body,
    parse_create_request,
    parse_update_request,
    refuse_second_selection,
)
from connector_operator.api.responses import build_response, build_update_response, is_settled
from connector_runner.schemas.kinds.naming import CONNECTORS, GROUP, VERSION

_PAGE = "500"
_ATTEMPTS = 20
"""How often a PUT starts again when somebody else changed the Connector in the meantime."""
_BACKOFF = 0.02  # seconds, multiplied by the number of attempts


class ConnectorService:
    """Connectors of one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self._connectors = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{CONNECTORS}"

    async def list(self, token: str, *, with_config: bool) -> list[dict[str, Any]]:
        """All connectors, by name; the cluster returns them in pages, so that memory use stays small.

        Raises:
            ProblemError: As documented; this holds for the methods below, too.
        """
        answers: list[dict[str, Any]] = []
        query = {"limit": _PAGE}
        while True:
            page = await self._cluster.request(token, "GET", self._connectors, query=query)
            answers += [build_response(item, with_config=with_config) for item in page.get("items") or ()]
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return answers
            query = {"limit": _PAGE, "continue": more}

    async def read(self, token: str, asked: str, *, with_config: bool) -> dict[str, Any]:
        """One connector."""
        return build_response(await self._get(token, asked), with_config=with_config)

    async def create(self, token: str, asked: str, body: bytes) -> dict[str, Any]:
        """Creates a connector, and the Secret with the secrets of its config."""
        name = _name(asked)
        # A long body takes long to parse: in a thread, because the loop serves others, too.
        creation = await asyncio.to_thread(lambda: parse_create_request(asked, parse_body(body)))
        secret = build_secret_name(name) if creation.secrets else ""
        if secret:
            # Before anything exists: whether this caller may create the Secret at all.
            await self._create_secret(token, patches.build_secret(secret, None, creation.secrets), is_trial=True)
        wanted = patches.build_connector(asked, name, creation, secret)
        try:
            connector = await self._write(token, "POST", self._connectors, wanted)
        except ProblemError as problem:
            if problem.status == 409:
                raise await self._explain_conflict(token, asked, problem) from None
            raise
        if secret:
            await self._complete(token, connector, patches.build_secret(secret, connector, creation.secrets))
        answer: dict[str, Any] = {"success": True, "message": f"created connector '{asked}'"}
        if creation.ignored:
            answer["ignored"] = list(creation.ignored)
        return answer

    async def _complete(self, token: str, connector: dict[str, Any], secret: Mapping[str, Any]) -> None:
        """Creates the Secret of a new Connector; if that fails, the Connector is deleted."""
        try:
            await self._create_secret(token, secret)
        except (ProblemError, asyncio.CancelledError) as reason:
            try:
                await self._delete(token, connector)
            except ProblemError as problem:
                if isinstance(reason, ProblemError) and problem.status != 404:
                    asked = connector_id(connector["metadata"])
                    left = f"connector '{asked}' is there without its secrets: DELETE it, or PUT its config again"
                    raise ProblemError(
                        reason.status, f"{reason.detail}; {left}", reason.errors, reason.headers
                    ) from None
            raise

    async def update(self, token: str, asked: str, body: bytes) -> dict[str, Any]:
        """Changes a connector; returns the resource after the change."""
        document = await asyncio.to_thread(parse_body, body)
        refusal = ""
        for attempt in range(_ATTEMPTS):
            connector = await self._get(token, asked)
            kind, sources = connector["spec"]["connectorType"], patches.config_sources(connector)
            update = await asyncio.to_thread(parse_update_request, document, kind, has_secrets=bool(sources))
            refuse_second_selection(update.document, connector["spec"])
            try:
                if update.secrets:
                    return await self._patch_with_secrets(token, connector, update)
                return await self._patch(token, connector, patches.build_patch(update.document, connector))
            except ProblemError as problem:
                if not patches.is_stale(problem):
                    raise
                refusal = problem.detail
                await asyncio.sleep(_BACKOFF * attempt)
        raise ProblemError(409, f"connector '{asked}' is being changed by others all the time ({refusal}); try again")

    async def settle(self, token: str, connector: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer of a PUT: the new state as soon as it is known, or the present state when the time (in seconds) is over.

        A caller who may not watch gets the present state at once.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not is_settled(connector) and (left := end - loop.time()) > 0:
            try:
                connector = await self._watch(token, connector, left)
            except ProblemError as problem:
                if problem.status == 404:
                    raise
                break
        return build_update_response(connector)

    async def delete(self, token: str, asked: str) -> dict[str, Any]:
        """Deletes a connector; Kubernetes deletes its Jobs and its Secret with it."""
        await self._delete(token, await self._get(token, asked))
        return {"success": True, "message": f"deleted connector '{asked}'"}

    async def _get(self, token: str, asked: str) -> dict[str, Any]:
        name = _name(asked)
        path = f"{self._connectors}/{name}"
        connector: dict[str, Any] = await self._cluster.request(token, "GET", path, connector_id=asked)
        if not has_id(connector["metadata"], asked):
            known = connector_id(connector["metadata"])
            raise ProblemError(404, f"{not_found(asked).detail}; the resource {name!r} belongs to the id '{known}'")
        return connector

    async def _explain_conflict(self, token: str, asked: str, problem: ProblemError) -> ProblemError:
        """Which connector prevents the creation of a new one, as far as the caller may know."""
        name = _name(asked)
        try:
            connector = await self._cluster.request(token, "GET", f"{self._connectors}/{name}")
        except ProblemError:
            return problem
        known = connector_id(connector["metadata"])
        if known == asked:
            return ProblemError(409, f"connector '{asked}' exists already; PUT changes it")
        return ProblemError(
            409, f"'{asked}' and the connector '{known}' would both be the resource {name!r}; choose another id"
        )

    async def _write(self, token: str, method: str, path: str, body: Any, **more: Any) -> dict[str, Any]:
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", **more.pop("query", {})}
        written: dict[str, Any] = await self._cluster.request(token, method, path, query=query, body=body, **more)
        return written

    async def _create_secret(self, token: str, secret: Mapping[str, Any], *, is_trial: bool = False) -> None:
        query = {"dryRun": "All"} if is_trial else {}
        try:
            await self._write(token, "POST", self._secrets, secret, query=query)
        except ProblemError as problem:
            if problem.status == 403:
                raise ProblemError(
                    403,
                    f"the config has secrets, which are kept in a Secret, and you may not create one: {problem.detail}",
                ) from None
            raise

    async def _patch(self, token: str, connector: Mapping[str, Any], patch: patches.Patch) -> dict[str, Any]:
        path = f"{self._connectors}/{connector['metadata']['name']}"
        asked = connector_id(connector["metadata"])
        return await self._write(token, "PATCH", path, patch, content_type=JSON_PATCH, connector_id=asked)

    async def _patch_with_secrets(self, token: str, connector: dict[str, Any], update: UpdateRequest) -> dict[str, Any]:
        """Replaces the Secret by a new one, in one write with the config that belongs to it."""
        old = patches.own_secret(connector)
        kept = await self._read_secret(token, old) if old else {}
        values = patches.carry_over(kept, update.secrets)
        secret = build_secret_name(connector["metadata"]["name"]) if values else ""
        if secret:
            await self._create_secret(token, patches.build_secret(secret, connector, values))
        patch = patches.build_patch(update.document, connector)
        try:
            changed = await self._patch(token, connector, patches.build_secret_patch(patch, connector, secret))
        except ProblemError as problem:
            # Without an answer it is not known which of the two Secrets the Connector refers to: both are kept.
            if problem.status < 500:
                await self._delete_secret(token, secret)
            raise
        await self._delete_secret(token, old)
        return changed

    async def _read_secret(self, token: str, secret: str) -> dict[str, str]:
        try:
            return patches.read_secret(await self._cluster.request(token, "GET", f"{self._secrets}/{secret}"))
        except ProblemError as problem:
            if problem.status == 404:  # somebody deleted it: the body contains everything there is
                return {}
            raise

    async def _delete_secret(self, token: str, secret: str) -> None:
        """Deletes a Secret that nothing refers to any more; if that fails, it is deleted with its Connector."""
        if secret:
            try:
                await self._cluster.request(token, "DELETE", f"{self._secrets}/{secret}")
            except ProblemError:
                return

    async def _delete(self, token: str, connector: Mapping[str, Any]) -> None:
        metadata = connector["metadata"]
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": metadata["uid"]},
        }
        path, asked = f"{self._connectors}/{metadata['name']}", connector_id(metadata)
        await self._cluster.request(token, "DELETE", path, body=options, connector_id=asked)

    async def _watch(self, token: str, connector: dict[str, Any], seconds: float) -> dict[str, Any]:
        metadata = connector["metadata"]
        query = {"fieldSelector": f"metadata.name={metadata['name']}", "resourceVersion": metadata["resourceVersion"]}
        async for event in self._cluster.watch(token, self._connectors, query, seconds):
            if not isinstance(event, dict) or event.get("type") == "ERROR":
                break
            if event.get("type") == "DELETED" or event["object"]["metadata"]["uid"] != metadata["uid"]:
                raise not_found(connector_id(metadata))
            connector = event["object"]
            if is_settled(connector):
                return connector
        # The watch ended early (the API server restarted): read the state, and watch again from there.
        await asyncio.sleep(min(_BACKOFF, seconds))
        path = f"{self._connectors}/{metadata['name']}"
        fresh: dict[str, Any] = await self._cluster.request(token, "GET", path, connector_id=connector_id(metadata))
        return fresh


def _name(asked: str) -> str:
    try:
        return resource_name(asked)
    except BadIdError as error:
        raise ProblemError(400, f"{asked[:80]!r}: {error}", (Violation("$path.name", str(error)),)) from None
