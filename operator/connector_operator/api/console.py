"""The console at `/`: a page of ES modules and style sheets written by hand, served as they are; nothing comes from other servers."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from importlib import resources
from importlib.resources.abc import Traversable

from aiohttp import web

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
HEADERS = {
    # The browser itself refuses whatever would turn a text into markup or code (trusted types).
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Encoding",
    # A new version of the API shows at the next load: the browser asks whether its copy is still right.
    "Cache-Control": "no-cache",
}


def list_files() -> list[Traversable]:
    """The files of the console."""
    folder = resources.files("connector_operator.api").joinpath("static", "console")
    return sorted(
        (file for file in folder.iterdir() if file.name.endswith(tuple(_TYPES))), key=lambda file: str(file.name)
    )


def build_routes() -> list[web.RouteDef]:
    """The page and the files that it needs."""
    return [
        web.get("/" if file.name == "index.html" else f"/console/{file.name}", _serve(file)) for file in list_files()
    ]


def _serve(file: Traversable) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    body = file.read_bytes()
    packed = gzip.compress(body, 9, mtime=0)
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    kind = _TYPES[file.name[file.name.rindex(".") :]]

    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {**HEADERS, "ETag": tag}
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        is_packed = "gzip" in request.headers.get("Accept-Encoding", "")
        if is_packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=packed if is_packed else body, content_type=kind, charset="utf-8", headers=headers)

    return handler
