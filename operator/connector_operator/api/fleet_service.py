"""The console's calls on the cluster: each is made as the caller, as every call of this API."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from connector_operator.api import fleet
from connector_operator.api.cluster import JSON_PATCH, MANAGER, Cluster
from connector_operator.api.executions import build_executions
from connector_operator.api.identity import BadIdError, connector_id, has_id, resource_name
from connector_operator.api.listed import decode_event, decode_page
from connector_operator.api.problems import ProblemError, not_found
from connector_operator.resources.runner_metrics import choose_running, parse_sample, run_of
from connector_runner.schemas.kinds.naming import CONNECTORS, DATASETS, GROUP, VERSION
from connector_runner.schemas.manifest import PROBE_PORT

WATCH_SECONDS = 300.0
"""So long a watch lasts; the console then goes on from where it was, with a token that is checked again."""
MOST_PAGE = 500
_MOST_METRICS = 1024 * 1024  # bytes; what is read stands before the series of single streams


class FleetService:
    """What the console reads and does, in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        base = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}"
        self._connectors, self._datasets = f"{base}/{CONNECTORS}", f"{base}/{DATASETS}"
        self._core = f"/api/v1/namespaces/{namespace}"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"

    async def list_page(self, token: str, limit: int, after: str) -> dict[str, Any]:
        """One page of the fleet, by name.

        Args:
            token: Of the caller.
            limit: The most connectors in it.
            after: `continue` of the page before; "" for the first.

        Raises:
            ProblemError: As documented; this holds for the methods below, too.
        """
        query = {"limit": str(limit)} | ({"continue": after} if after else {})
        page = await self._cluster.request(token, "GET", self._connectors, query=query, decode=decode_page)
        metadata = page.get("metadata") or {}
        return {
            "namespace": self._namespace,
            "connectors": [fleet.build_summary(item) for item in page.get("items") or ()],
            "continue": str(metadata.get("continue") or ""),
            "version": str(metadata.get("resourceVersion") or ""),
        }

    @asynccontextmanager
    async def watching(self, token: str, version: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The changes of the fleet since a version, until the time is over: see `translate`."""
        query = {"resourceVersion": version, "allowWatchBookmarks": "true"}
        async with self._cluster.watching(token, self._connectors, query, WATCH_SECONDS, decode_event) as events:
            yield translate(events)

    async def read(self, token: str, asked: str) -> dict[str, Any]:
        """One connector in detail."""
        return fleet.build_detail(await self.get(token, asked))

    async def list_events(self, token: str, asked: str) -> list[dict[str, Any]]:
        """Kubernetes' events of one connector, the newest first."""
        metadata = (await self.get(token, asked))["metadata"]
        query = {"fieldSelector": f"involvedObject.kind=Connector,involvedObject.uid={metadata['uid']}"}
        found = await self._cluster.request(token, "GET", f"{self._core}/events", query=query)
        return fleet.build_events(found.get("items") or ())

    async def list_executions(self, token: str, asked: str) -> list[dict[str, Any]]:
        """The executions of one connector, the newest first."""
        resource = await self.get(token, asked)
        query = {"labelSelector": fleet.build_selector(resource["metadata"]["name"])}
        jobs = await self._cluster.request(token, "GET", self._jobs, query=query)
        pods = await self._cluster.request(token, "GET", f"{self._core}/pods", query=query)
        last = (resource.get("status") or {}).get("lastExecution") or {}
        return build_executions(jobs.get("items") or (), pods.get("items") or (), last)

    async def read_metrics(self, token: str, asked: str) -> dict[str, Any]:
        """What the running execution counts at this moment: its own metrics, through the API server, as the caller.

        Raises:
            ProblemError: 409 while nothing runs, 502 if the API server does not reach the pod.
        """
        resource = await self.get(token, asked)
        query = {"labelSelector": fleet.build_selector(resource["metadata"]["name"])}
        pods = await self._cluster.request(token, "GET", f"{self._core}/pods", query=query)
        pod = choose_running(pods.get("items") or ())
        if pod is None:
            raise ProblemError(409, f"no pod of connector '{asked}' runs")
        name = str(pod["metadata"]["name"])
        path = f"{self._core}/pods/{quote(name)}:{PROBE_PORT}/proxy/metrics"
        try:
            text, _ = await self._cluster.read_text(token, path, {}, _MOST_METRICS)
        except ProblemError as problem:
            if problem.status in {401, 403}:
                raise
            raise ProblemError(
                502, f"the API server does not reach the metrics of pod {name}: {problem.detail}"
            ) from None
        sample = parse_sample(text, time.time())
        if sample is None:
            raise ProblemError(502, f"what pod {name} answers has no metrics of a runner")
        return {"pod": name, "run": run_of(pod), **fleet.build_sample(sample)}

    async def list_datasets(self, token: str) -> list[dict[str, str]]:
        """The Datasets that a connector may name; their addresses are not shown, since they may hold a password."""
        found = await self._cluster.request(token, "GET", self._datasets)
        return [{"name": str(item["metadata"]["name"])} for item in found.get("items") or ()]

    async def restart(self, token: str, asked: str) -> dict[str, Any]:
        """Asks for another execution."""
        return await self._stamp(token, asked, "restartedAt", "restart")

    async def rediscover(self, token: str, asked: str) -> dict[str, Any]:
        """Asks the source for its streams again."""
        return await self._stamp(token, asked, "rediscoverAt", "rediscover")

    async def _stamp(self, token: str, asked: str, field: str, verb: str) -> dict[str, Any]:
        """Sets a field of the spec to the present time, to the microsecond: each call asks for another one."""
        metadata = (await self.get(token, asked))["metadata"]
        patch = [
            {"op": "replace", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "add", "path": f"/spec/{field}", "value": datetime.now(UTC).isoformat()},
        ]
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        path = f"{self._connectors}/{metadata['name']}"
        await self._cluster.request(
            token, "PATCH", path, query=query, body=patch, content_type=JSON_PATCH, connector_id=asked
        )
        return {"success": True, "message": f"asked for a {verb} of connector '{asked}'"}

    async def get(self, token: str, asked: str) -> dict[str, Any]:
        """One connector as Kubernetes has it."""
        try:
            name = resource_name(asked)
        except BadIdError as error:
            raise ProblemError(400, f"{asked[:80]!r}: {error}") from None
        path = f"{self._connectors}/{quote(name)}"
        resource: dict[str, Any] = await self._cluster.request(token, "GET", path, connector_id=asked)
        if not has_id(resource["metadata"], asked):
            raise not_found(asked)
        return resource


async def translate(events: AsyncIterator[Any]) -> AsyncIterator[dict[str, Any]]:
    """The cluster's events in the console's words.

    `changed` with a summary, `deleted` with an id, `seen` with the version up to which everything was told, and at last
    `expired` if the version is too old, so that the list must be read again.
    """
    async for event in events:
        thing = event.get("object") if isinstance(event, Mapping) else None
        kind = event.get("type") if isinstance(thing, Mapping) else ""
        if not isinstance(thing, Mapping) or kind not in {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"}:
            yield {"event": "expired"}
            return
        metadata = thing["metadata"]
        if kind == "BOOKMARK":
            yield {"event": "seen", "version": metadata["resourceVersion"]}
        elif kind == "DELETED":
            gone = {"id": connector_id(metadata), "name": metadata["name"]}
            yield {"event": "deleted", **gone, "version": metadata["resourceVersion"]}
        else:
            yield {"event": "changed", "connector": fleet.build_summary(thing)}
