"""How providers refuse a batch that is too large for them."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

BATCH_FORMS = ("list", "list", "one", "object", "page", "closed", "text", "text")
"""How often each form is drawn; "closed": the connection is."""


def refused_batch(form: str, status: int, words: str, calls: list[dict[str, Any]]) -> web.Response | None:
    """The response; None where the connection is closed instead. `status`: of HTTP, for a list."""
    error = {"code": 31, "message": words}
    match form:
        case "list":
            return web.Response(status=status, text=json.dumps([{"id": call["id"], "error": error} for call in calls]))
        case "one":
            return web.json_response([{"jsonrpc": "2.0", "id": 0, "error": error}])
        case "object":
            return web.json_response({"jsonrpc": "2.0", "id": None, "error": error})
        case "page":
            return web.Response(status=400, text="<html>Bad request</html>")
        case "text":
            return web.json_response({"error": words})
    return None
