"""The HTTP around the calls: routes, tokens, bodies with limits, problems, and a log that never contains a token."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import cache

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from connector_operator.api import console, page, schemas
from connector_operator.api.admission import Admission
from connector_operator.api.answers import answer_json, answer_problem, read_display, read_name, read_token, read_wait
from connector_operator.api.connections import GuardedConnection
from connector_operator.api.fleet_routes import FleetRoutes
from connector_operator.api.identity import BadIdError, resource_name
from connector_operator.api.openapi import build_openapi
from connector_operator.api.origin import is_of_another_site
from connector_operator.api.problems import ProblemError
from connector_operator.api.service import ConnectorService
from connector_operator.api.settings import ApiSettings
from connector_runner.schemas.config import connector_types

log = logging.getLogger("connectors.api")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REGISTRY = CollectorRegistry()
_REQUESTS = Counter("connectors_api_requests", "Answers.", ["method", "route", "status"], registry=REGISTRY)
_SECONDS = Histogram("connectors_api_request_seconds", "Time to answer.", ["method", "route"], registry=REGISTRY)
_BODIES = 2 * 1024 * 1024  # bytes of bodies that are processed at a time
_CONNECTOR = "/v1/connectors/connector"
_NAME = r"/{name:[\s\S]*}"


class ConnectorsApi:
    """The handlers; each is a few lines around a call of the service."""

    def __init__(self, service: ConnectorService, fleet: FleetRoutes, settings: ApiSettings) -> None:
        self._service = service
        self._fleet = fleet
        self._settings = settings
        self._room = Admission(_BODIES, settings.cluster_timeout)

    def build_app(self) -> web.Application:
        """The application with its routes."""
        app = web.Application(middlewares=[_observe, _report_problems], client_max_size=self._settings.max_body)
        app.add_routes(
            [
                web.get("/v1/connectors", self.list_schemas),
                web.get(_CONNECTOR, self.list),
                # A name with a slash or a newline is an invalid name, not another path.
                web.get(_CONNECTOR + _NAME, self.read),
                web.post(_CONNECTOR + _NAME, self.create),
                web.put(_CONNECTOR + _NAME, self.update),
                web.delete(_CONNECTOR + _NAME, self.delete),
                web.get(r"/v1/connectors/{type:[\s\S]*}", self.read_schema),
                web.get("/v1/openapi.json", self.openapi),
                *page.build_routes(),
                *console.build_routes(),
            ]
        )
        self._fleet.add_to(app)
        return app

    async def list_schemas(self, _: web.Request) -> web.Response:
        """GET /connectors."""
        return answer_json([schemas.build_type_schema(kind) for kind in connector_types()])

    async def read_schema(self, request: web.Request) -> web.Response:
        """GET /connectors/:type."""
        kind = request.match_info["type"].upper()
        if kind not in connector_types():
            raise ProblemError(404, f"there is no type {kind[:80]!r}; there are {', '.join(connector_types())}")
        return answer_json([schemas.build_type_schema(kind)])

    async def list(self, request: web.Request) -> web.Response:
        """GET /connectors/connector."""
        return answer_json(await self._service.list(read_token(request), with_config=read_display(request)))

    async def read(self, request: web.Request) -> web.Response:
        """GET /connectors/connector/:name."""
        token, name = read_token(request), read_name(request)
        return answer_json([await self._service.read(token, name, with_config=read_display(request))])

    async def create(self, request: web.Request) -> web.Response:
        """POST /connectors/connector/:name."""
        token, name, body = read_token(request), read_name(request), await self._body(request)
        async with self._room.admit(len(body)):
            return answer_json(await self._service.create(token, name, body))

    async def update(self, request: web.Request) -> web.Response:
        """PUT /connectors/connector/:name."""
        token, name, seconds = read_token(request), read_name(request), read_wait(request, self._settings.wait)
        body = await self._body(request)
        async with self._room.admit(len(body)):
            changed = await self._service.update(token, name, body)
        return answer_json(await self._service.settle(token, changed, seconds))

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /connectors/connector/:name."""
        return answer_json(await self._service.delete(read_token(request), read_name(request)))

    async def openapi(self, _: web.Request) -> web.Response:
        """GET /openapi.json."""
        return answer_json(build_openapi())

    async def _body(self, request: web.Request) -> bytes:
        if request.content_type != "application/json":
            raise ProblemError(415, "send the body as JSON, with the header `Content-Type: application/json`")
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise ProblemError(415, "send the body without compression")
        most, seconds = self._settings.max_body, self._settings.client_timeout
        if (request.content_length or 0) > most:
            raise ProblemError(413, f"the body has more than {most} bytes")
        try:
            async with asyncio.timeout(seconds):
                return await request.read()
        except TimeoutError:
            raise ProblemError(
                408, f"the body took more than {seconds} seconds", headers={"Connection": "close"}
            ) from None
        except web.HTTPRequestEntityTooLarge:
            raise ProblemError(413, f"the body has more than {most} bytes") from None
        except (web.RequestPayloadError, ConnectionError):
            raise ProblemError(400, "the body ended early or is not valid HTTP") from None


async def healthz(_: web.Request) -> web.Response:
    """Whether the event loop runs; it needs nothing else, so this is its readiness, too."""
    return web.Response(text="ok\n")


async def metrics(_: web.Request) -> web.Response:
    """The metrics for Prometheus."""
    return web.Response(body=generate_latest(REGISTRY), content_type="text/plain", charset="utf-8")


def build_health_app() -> web.Application:
    """Probes and metrics, on a separate port: callers that use up all connections must not get the pod killed."""
    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/metrics", metrics)])
    return app


@web.middleware
async def _report_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns every failure into a problem, including those of the routing."""
    try:
        if request.method not in _SAFE and is_of_another_site(request.headers):
            raise ProblemError(403, f"a page of another site may change nothing here{_FORWARD}")
        return await handler(request)
    except ProblemError as problem:
        return answer_problem(problem)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return answer_problem(ProblemError(405, f"this path has {allowed} only", headers={"Allow": allowed}))
    except web.HTTPException as error:
        return answer_problem(
            ProblemError(error.status, "there is nothing here; GET /v1/openapi.json says what there is")
        )
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("a request failed in an unexpected way", extra={"route": _route(request)})
        return answer_problem(ProblemError(500, "an error of the API itself; its log has the details"))


@web.middleware
async def _observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Counts, times and logs each request."""
    connection = request.protocol
    start, route, status = time.monotonic(), _route(request), 499  # 499: the client left
    if isinstance(connection, GuardedConnection):
        connection.begin_request()
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        if isinstance(connection, GuardedConnection):
            connection.end_request()
        seconds = time.monotonic() - start
        answers, durations = _series(request.method if request.method in _METHODS else "other", route, status)
        answers.inc()
        durations.observe(seconds)
        # The route, not the path: by a typing error a token may get into a path, too.
        fields = {"method": request.method[:20], "status": status, "seconds": round(seconds, 4)}
        if "name" in request.match_info:
            fields["connector"] = _printable_name(request.match_info["name"])
        log.info("%s %s %d", fields["method"], route or "<no route>", status, extra=fields)


# Where a proxy logs people in by a cookie, the browser would send that with another site's form, too.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARD = "; if it is the console's own page, its proxy has to pass on the address in Host or X-Forwarded-Host"
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})


@cache
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """What counts and times such answers; there are as few as there are series."""
    return _REQUESTS.labels(method, route, str(status)), _SECONDS.labels(method, route)


def _route(request: web.Request) -> str:
    """The route's pattern, of which there are few; "" for none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _printable_name(asked: str) -> str:
    try:
        return resource_name(asked)
    except BadIdError:
        return "<invalid>"
