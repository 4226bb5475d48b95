"""Shows the newest rows of a connector's dataset: by a short Job, as the caller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from connector_operator.api.asked import list_rights
from connector_operator.api.asked_service import AskedJobs, Events
from connector_operator.api.cluster import Cluster
from connector_operator.api.fleet import build_selector
from connector_operator.api.fleet_service import FleetService
from connector_operator.api.problems import ProblemError
from connector_operator.api.rows import build_table
from connector_operator.resources.rights import Right
from connector_operator.workloads.asked_jobs import NotPossibleError, find_execution
from connector_operator.workloads.rows_jobs import build_rows_job, read_rows
from connector_runner.schemas.kinds.naming import DATASETS, GROUP, VERSION

MOST_BYTES = 1024 * 1024
"""Of rows that are read; each caller's are in memory once."""


class RowsService:
    """Reads rows, in one namespace."""

    def __init__(self, cluster: Cluster, fleet: FleetService, namespace: str) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._asked = AskedJobs(cluster, namespace)
        self._namespace = namespace
        self._datasets = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{DATASETS}"

    @asynccontextmanager
    async def showing(self, token: str, asked: str, stream: str, limit: int) -> AsyncIterator[Events]:
        """Makes a Job; its events until its rows are known: see `AskedJobs.asking`. The last is `rows` with a table.

        Raises:
            ProblemError: A right is missing, or there is nothing to read; then no Job was made.
        """
        connector = await self._fleet.get(token, asked)
        await self._asked.require(token, [*list_rights(self._namespace), Right("list", "jobs.batch", self._namespace)])
        jobs = await self._asked.list_of(token, build_selector(connector["metadata"]["name"]))
        execution = find_execution(connector, jobs)
        try:
            datasets = [] if execution else await self._list_datasets(token)
            body = build_rows_job(connector, jobs, datasets, stream=stream, limit=limit)
        except NotPossibleError as error:
            raise ProblemError(409, str(error)) from None
        origin = {"from": "execution" if execution else "spec"}
        async with self._asked.asking(token, body, self._read, **origin) as events:
            yield events

    async def _read(self, token: str, path: str, query: Mapping[str, str]) -> Events:
        text, is_whole = await self._cluster.read_text(token, path, query, MOST_BYTES)
        yield {"event": "rows", **build_table(read_rows(text)), "isWhole": is_whole}

    async def _list_datasets(self, token: str) -> list[Any]:
        await self._asked.require(token, [Right("list", f"{DATASETS}.{GROUP}", self._namespace)])
        return (await self._cluster.request(token, "GET", self._datasets)).get("items") or []
