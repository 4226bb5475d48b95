"""Short Jobs that answer a question of the console: made, followed and removed as the caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

from connector_operator.api.asked import build_failure, build_review
from connector_operator.api.cluster import MANAGER, Cluster
from connector_operator.api.problems import ProblemError, forbidden
from connector_operator.resources.names import CONTAINER
from connector_operator.resources.rights import UNKNOWN_USER, Right
from connector_operator.workloads.asked_jobs import SECONDS, exit_code_of, say_waiting

Events = AsyncGenerator[dict[str, Any]]
Read = Callable[[str, str, Mapping[str, str]], Events]
"""The events of an answer, from a token and the path and query of the log that has it."""

_PAUSE = 0.5  # seconds between two looks at the Job's pod
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class AskedJobs:
    """Makes the Jobs, in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"

    async def list_of(self, token: str, selector: str) -> list[dict[str, Any]]:
        """The Jobs that a selector of labels takes."""
        found = await self._cluster.request(token, "GET", self._jobs, query={"labelSelector": selector})
        return found.get("items") or []

    @asynccontextmanager
    async def asking(self, token: str, body: Any, read: Read, **about: str) -> AsyncIterator[Events]:
        """Makes a Job; its events until it has answered. When it is left, the Job is deleted.

        Events: `made` with its name and what else is said `about` it, `waiting` with what its pod waits for, at last those of
        the answer, or `failed` with the runner's last words.

        Raises:
            ProblemError: The API server refuses.
        """
        made = await self._cluster.request(token, "POST", self._jobs, query={"fieldManager": MANAGER}, body=body)
        job = str(made["metadata"]["name"])
        try:
            yield self._follow(token, job, read, about)
        finally:
            with suppress(ProblemError):  # then it is removed ten minutes after its end, by itself
                await asyncio.shield(self._delete(token, job))

    async def _follow(self, token: str, job: str, read: Read, about: Mapping[str, str]) -> Events:
        deadline, said, pod = time.monotonic() + SECONDS, "", dict[str, Any]()
        yield {"event": "made", "job": job, **about}
        while time.monotonic() < deadline:
            query = {"labelSelector": f"batch.kubernetes.io/job-name={job}"}
            found = await self._cluster.request(token, "GET", self._pods, query=query)
            pod = next(iter(found.get("items") or ()), pod)
            if exit_code_of(pod) == 0:
                path = f"{self._pods}/{quote(pod['metadata']['name'])}/log"
                async for event in read(token, path, {"container": CONTAINER}):
                    yield event
                return
            if exit_code_of(pod) is not None or str((pod.get("status") or {}).get("phase")) in {"Failed", "Succeeded"}:
                yield build_failure(pod)
                return
            if (waiting := say_waiting(pod)) != said:
                said = waiting
                yield {"event": "waiting", "message": said}
            await asyncio.sleep(_PAUSE)
        late = f"It has not ended after {SECONDS} s: {said}"
        yield {"event": "failed", "exitCode": None, "reason": "TooSlow", "message": late}

    async def _delete(self, token: str, job: str) -> None:
        query = {"propagationPolicy": "Background"}
        await self._cluster.request(token, "DELETE", f"{self._jobs}/{quote(job)}", query=query)

    async def require(self, token: str, rights: list[Right]) -> None:
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
