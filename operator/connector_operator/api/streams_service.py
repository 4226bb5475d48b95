"""Lists every stream of a connector's source: by a short Job, as the caller. The status lists 500 at the most."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from connector_operator.api.asked import list_rights
from connector_operator.api.asked_service import AskedJobs, Events
from connector_operator.api.cluster import Cluster
from connector_operator.api.fleet_service import FleetService
from connector_operator.api.problems import ProblemError
from connector_operator.workloads.asked_jobs import SECONDS, NotPossibleError
from connector_operator.workloads.streams_jobs import build_streams_job
from connector_runner.schemas.catalogue import ListedStream, read_listed
from connector_runner.schemas.selection import parse_selection

PAGE = 500
"""Streams in one event."""
MOST_STREAMS = 20_000
"""That a page of the browser gets; for the others a pattern is named."""


class StreamsService:
    """Lists streams, in one namespace."""

    def __init__(self, cluster: Cluster, fleet: FleetService, namespace: str) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._asked = AskedJobs(cluster, namespace)
        self._namespace = namespace

    @asynccontextmanager
    async def listing(self, token: str, asked: str, like: str) -> AsyncIterator[Events]:
        """Makes a Job; its events until all streams are told: see `AskedJobs.asking`.

        Events of the answer: `streams` with a page of them, at last `listed` with how many came (`listed`), how many `like`
        takes in (`matched`) and how many the source has (`total`); both None where the end of the log is missing.

        Raises:
            ProblemError: A right is missing, or the pattern or the spec can't be read; then no Job was made.
        """
        if like:
            try:
                parse_selection([like], path="like")
            except ValueError as error:
                raise ProblemError(400, str(error)) from None
        connector = await self._fleet.get(token, asked)
        await self._asked.require(token, list_rights(self._namespace))
        try:
            body = build_streams_job(connector, SECONDS, like)
        except NotPossibleError as error:
            raise ProblemError(409, str(error)) from None
        async with self._asked.asking(token, body, self._read) as events:
            yield events

    async def _read(self, token: str, path: str, query: Mapping[str, str]) -> Events:
        """Passes the list on as it is read: nobody's is in memory as a whole."""
        async with self._cluster.reading(token, path, query) as lines:
            async for event in build_pages(lines):
                yield event


async def build_pages(lines: AsyncIterator[bytes]) -> Events:
    """The events of a list, from the lines of the log that has it."""
    page: list[ListedStream] = []
    read, matched, total = 0, None, None
    async for line in lines:
        said = read_listed(line)
        if isinstance(said, ListedStream):
            read += 1
            if read <= MOST_STREAMS:
                page.append(said)
        elif said is not None:
            matched, total = said.listed, said.total
            break
        if len(page) == PAGE:
            yield {"event": "streams", "streams": msgspec.to_builtins(page)}
            page = []
    if page:
        yield {"event": "streams", "streams": msgspec.to_builtins(page)}
    yield {"event": "listed", "listed": min(read, MOST_STREAMS), "matched": matched, "total": total}
