"""The HTTP around the console's calls: pages of the fleet, its changes as a stream of lines, one connector."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
from aiohttp import web

from connector_operator.api.answers import HEADERS, answer_json, read_name, read_token
from connector_operator.api.fleet import build_reasons
from connector_operator.api.fleet_service import MOST_PAGE, FleetService
from connector_operator.api.problems import ProblemError
from connector_operator.api.rows_service import RowsService
from connector_operator.api.streams_service import StreamsService
from connector_operator.workloads.rows_jobs import MOST_ROWS

LINES = "application/x-ndjson"
_HEARTBEAT = 10.0  # seconds without a change after which an empty line is sent
_VERSION = re.compile(r"[0-9]{1,20}")
_NAME = r"/{name:[^/]*}"


class FleetRoutes:
    """The handlers; each is a few lines around a call of the service."""

    def __init__(
        self, service: FleetService, rows: RowsService, streams: StreamsService, client_timeout: float
    ) -> None:
        self._service = service
        self._rows = rows
        self._streams = streams
        self._client_timeout = client_timeout
        self._ending = asyncio.Event()

    def add_to(self, app: web.Application) -> None:
        """Adds the routes; streams end when the application shuts down."""
        app.add_routes(
            [
                web.get("/v1/fleet", self.list),
                web.get("/v1/fleet/watch", self.watch),
                web.get("/v1/fleet/reasons", self.list_reasons),
                web.get("/v1/fleet/datasets", self.list_datasets),
                web.get(f"/v1/fleet/connector{_NAME}", self.read),
                web.get(f"/v1/fleet/connector{_NAME}/events", self.list_events),
                web.get(f"/v1/fleet/connector{_NAME}/executions", self.list_executions),
                web.get(f"/v1/fleet/connector{_NAME}/metrics", self.read_metrics),
                web.post(f"/v1/fleet/connector{_NAME}/rows", self.show_rows),
                web.post(f"/v1/fleet/connector{_NAME}/streams", self.list_streams),
                web.post(f"/v1/fleet/connector{_NAME}/restart", self.restart),
                web.post(f"/v1/fleet/connector{_NAME}/rediscover", self.rediscover),
            ]
        )
        app.on_shutdown.append(self._end)

    async def _end(self, _: web.Application) -> None:
        self._ending.set()

    async def list(self, request: web.Request) -> web.Response:
        """GET /fleet."""
        token, limit = read_token(request), read_limit(request)
        return answer_json(await self._service.list_page(token, limit, request.query.get("continue", "")))

    async def list_reasons(self, _: web.Request) -> web.Response:
        """GET /fleet/reasons."""
        return answer_json(build_reasons())

    async def list_datasets(self, request: web.Request) -> web.Response:
        """GET /fleet/datasets."""
        return answer_json(await self._service.list_datasets(read_token(request)))

    async def read(self, request: web.Request) -> web.Response:
        """GET /fleet/connector/:name."""
        return answer_json(await self._service.read(read_token(request), read_name(request)))

    async def list_events(self, request: web.Request) -> web.Response:
        """GET /fleet/connector/:name/events."""
        return answer_json(await self._service.list_events(read_token(request), read_name(request)))

    async def list_executions(self, request: web.Request) -> web.Response:
        """GET /fleet/connector/:name/executions."""
        return answer_json(await self._service.list_executions(read_token(request), read_name(request)))

    async def read_metrics(self, request: web.Request) -> web.Response:
        """GET /fleet/connector/:name/metrics."""
        return answer_json(await self._service.read_metrics(read_token(request), read_name(request)))

    async def restart(self, request: web.Request) -> web.Response:
        """POST /fleet/connector/:name/restart."""
        return answer_json(await self._service.restart(read_token(request), read_name(request)))

    async def rediscover(self, request: web.Request) -> web.Response:
        """POST /fleet/connector/:name/rediscover."""
        return answer_json(await self._service.rediscover(read_token(request), read_name(request)))

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """GET /fleet/watch: a line of JSON for each change, an empty one when nothing has changed for a while."""
        token, version = read_token(request), request.query.get("version", "")
        if not _VERSION.fullmatch(version):
            raise ProblemError(400, "version is that of a page of /v1/fleet, or of an event: digits only")
        async with self._service.watching(token, version) as events:
            return await self._send_lines(request, events)

    async def show_rows(self, request: web.Request) -> web.StreamResponse:
        """POST /fleet/connector/:name/rows: lines of JSON about the Job that reads them, at last its rows."""
        token, name, stream = read_token(request), read_name(request), request.query.get("stream", "")
        limit = read_limit(request, MOST_ROWS)
        async with self._rows.showing(token, name, stream, limit) as events, aclosing(events):
            return await self._send_lines(request, _with_problems(events))

    async def list_streams(self, request: web.Request) -> web.StreamResponse:
        """POST /fleet/connector/:name/streams: lines of JSON about the Job that lists all streams, then these, page by page."""
        token, name, like = read_token(request), read_name(request), request.query.get("like", "")
        async with self._streams.listing(token, name, like) as events, aclosing(events):
            return await self._send_lines(request, _with_problems(events))

    async def _send_lines(self, request: web.Request, events: AsyncIterator[dict[str, Any]]) -> web.StreamResponse:
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": LINES, "X-Accel-Buffering": "no"})
        await response.prepare(request)
        await response.write(b"\n")
        async with aclosing(self._with_heartbeats(events)) as lines:
            try:
                async for line in lines:
                    async with asyncio.timeout(self._client_timeout):
                        await response.write(line)
            except (TimeoutError, ConnectionError):  # the client is gone, or reads nothing
                response.force_close()
            except ProblemError:  # the cluster is gone: the client connects again, and is told then
                pass
        return response

    async def _with_heartbeats(self, events: AsyncIterator[dict[str, Any]]) -> AsyncGenerator[bytes, None]:
        """Lines for the events; an empty one after each silence, by which both ends notice that the other is gone."""
        ending = asyncio.ensure_future(self._ending.wait())
        coming = asyncio.ensure_future(anext(events, None))
        try:
            while True:
                await asyncio.wait({coming, ending}, timeout=_HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    event = coming.result()
                    if event is None:
                        return
                    yield msgspec.json.encode(event) + b"\n"
                    coming = asyncio.ensure_future(anext(events, None))
                elif ending.done():
                    return
                else:
                    yield b"\n"
        finally:
            for waiting in (coming, ending):
                waiting.cancel()
            await asyncio.gather(coming, ending, return_exceptions=True)


async def _with_problems(events: AsyncIterator[dict[str, Any]]) -> AsyncGenerator[dict[str, Any]]:
    """The events; a refusal by the cluster among them, since the status of the response is already sent."""
    try:
        async for event in events:
            yield event
    except ProblemError as problem:
        yield {"event": "failed", "exitCode": None, "reason": str(problem.status), "message": problem.detail}


def read_limit(request: web.Request, most: int = MOST_PAGE) -> int:
    """The size of a page.

    Raises:
        ProblemError: 400.
    """
    text = request.query.get("limit", str(most))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= most):
        raise ProblemError(400, f"limit is a number from 1 to {most}, not {text[:20]!r}")
    return int(text)
