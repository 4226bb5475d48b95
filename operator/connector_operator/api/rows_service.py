"""Shows the newest rows of a connector's dataset: a short Job, made, read and removed as the caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

from connector_operator.api.cluster import MANAGER, Cluster
from connector_operator.api.fleet import build_selector
from connector_operator.api.fleet_service import FleetService
from connector_operator.api.problems import ProblemError, forbidden
from connector_operator.api.rows import build_failure, build_review, build_table, list_rights
from connector_operator.resources.names import CONTAINER
from connector_operator.resources.rights import UNKNOWN_USER, Right
from connector_operator.workloads.asked_jobs import NotPossibleError, exit_code_of, find_execution, say_waiting
from connector_operator.workloads.rows_jobs import SECONDS, build_rows_job, read_rows
from connector_runner.schemas.kinds.naming import DATASETS, GROUP, VERSION

MOST_BYTES = 1024 * 1024
"""Of rows that are read; each caller's are in memory once."""
_PAUSE = 0.5  # seconds between two looks at the Job's pod
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class RowsService:
    """Makes the Jobs, in one namespace."""

    def __init__(self, cluster: Cluster, fleet: FleetService, namespace: str) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._namespace = namespace
        self._datasets = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{DATASETS}"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"

    @asynccontextmanager
    async def showing(
        self, token: str, asked: str, stream: str, limit: int
    ) -> AsyncIterator[AsyncGenerator[dict[str, Any]]]:
        """Makes a Job; its events until its rows are known. When it is left, the Job is deleted.

        Events: `waiting` with what its pod waits for, at last `rows` with a table or `failed` with the runner's last words.

        Raises:
            ProblemError: A right is missing, or there is nothing to read; then no Job was made.
        """
        connector = await self._fleet.get(token, asked)
        await self._require(token, list_rights(self._namespace))
        query = {"labelSelector": build_selector(connector["metadata"]["name"])}
        jobs = (await self._cluster.request(token, "GET", self._jobs, query=query)).get("items") or []
        execution = find_execution(connector, jobs)
        try:
            datasets = [] if execution else await self._list_datasets(token)
            body = build_rows_job(connector, jobs, datasets, stream=stream, limit=limit)
        except NotPossibleError as error:
            raise ProblemError(409, str(error)) from None
        made = await self._cluster.request(token, "POST", self._jobs, query={"fieldManager": MANAGER}, body=body)
        job = str(made["metadata"]["name"])
        try:
            yield self._follow(token, job, "execution" if execution else "spec")
        finally:
            with suppress(ProblemError):  # then it is removed ten minutes after its end, by itself
                await asyncio.shield(self._delete(token, job))

    async def _follow(self, token: str, job: str, origin: str) -> AsyncGenerator[dict[str, Any]]:
        deadline, said, pod = time.monotonic() + SECONDS, "", dict[str, Any]()
        yield {"event": "made", "job": job, "from": origin}
        while time.monotonic() < deadline:
            query = {"labelSelector": f"batch.kubernetes.io/job-name={job}"}
            found = await self._cluster.request(token, "GET", self._pods, query=query)
            pod = next(iter(found.get("items") or ()), pod)
            if exit_code_of(pod) is not None or str((pod.get("status") or {}).get("phase")) in {"Failed", "Succeeded"}:
                yield await self._read_end(token, pod)
                return
            if (waiting := say_waiting(pod)) != said:
                said = waiting
                yield {"event": "waiting", "message": said}
            await asyncio.sleep(_PAUSE)
        yield {
            "event": "failed",
            "exitCode": None,
            "reason": "TooSlow",
            "message": f"It has not ended after {SECONDS} s: {said}",
        }

    async def _read_end(self, token: str, pod: dict[str, Any]) -> dict[str, Any]:
        if exit_code_of(pod) != 0:
            return {"event": "failed", **build_failure(pod)}
        path = f"{self._pods}/{quote(pod['metadata']['name'])}/log"
        text, is_whole = await self._cluster.read_text(token, path, {"container": CONTAINER}, MOST_BYTES)
        return {"event": "rows", **build_table(read_rows(text)), "isWhole": is_whole}

    async def _delete(self, token: str, job: str) -> None:
        query = {"propagationPolicy": "Background"}
        await self._cluster.request(token, "DELETE", f"{self._jobs}/{quote(job)}", query=query)

    async def _list_datasets(self, token: str) -> list[Any]:
        await self._require(token, [Right("list", f"{DATASETS}.{GROUP}", self._namespace)])
        return (await self._cluster.request(token, "GET", self._datasets)).get("items") or []

    async def _require(self, token: str, rights: list[Right]) -> None:
        """All at once, and before anything is made.

        Raises:
            ProblemError: 403 with all that are missing.
        """
        asking = [self._cluster.request(token, "POST", _REVIEWS, body=build_review(right)) for right in rights]
        answers = await asyncio.gather(*asking)
        missing = [
            right
            for right, answer in zip(rights, answers, strict=True)
            if not (answer.get("status") or {}).get("allowed")
        ]
        if missing:
            raise forbidden(missing, await self._find_user(token))

    async def _find_user(self, token: str) -> str:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = await self._cluster.request(token, "POST", _WHO, body=body)
        except ProblemError:
            return UNKNOWN_USER
        return str(((answer.get("status") or {}).get("userInfo") or {}).get("username") or UNKNOWN_USER)
