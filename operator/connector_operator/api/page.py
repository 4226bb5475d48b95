"""A page to try the API: built in the browser from the OpenAPI document, without anything from other servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources

from aiohttp import web

_FILES = {
    "/v1/": ("page.html", "text/html"),
    "/v1/page.js": ("page.js", "text/javascript"),
    "/v1/page.css": ("page.css", "text/css"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    # The page's own address may contain a token.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def build_routes() -> list[web.RouteDef]:
    """The page and the files that it needs."""
    routes = [web.get(path, _serve(name, kind)) for path, (name, kind) in _FILES.items()]

    async def lead(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/v1/"})

    return [*routes, web.get("/v1", lead)]


def _serve(name: str, kind: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    body = resources.files("connector_operator.api").joinpath("static", name).read_bytes()

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=_HEADERS)

    return handler
