"""What handlers read from requests, and the answers that they give."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from aiohttp import web

from connector_operator.api.problems import MEDIA_TYPE, NOT_KNOWN, ProblemError, unauthorized

# The characters of a Kubernetes token; anything else can't be one, and must not get into a header.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


def read_token(request: web.Request) -> str:
    """The caller's token: from the header, else from the query.

    Raises:
        ProblemError: 401.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    token = token or request.query.get("token", "")
    if not token:
        raise unauthorized(NOT_KNOWN)
    if not _TOKEN.fullmatch(token):
        raise unauthorized("this is not a token: it has characters that no token has")
    return token


def read_name(request: web.Request) -> str:
    """The connector's id from the path, unescaped once."""
    return request.match_info["name"]


def read_display(request: web.Request) -> bool:
    """Whether `displayConfigs` is true.

    Raises:
        ProblemError: 400, if it is neither true nor false.
    """
    text = request.query.get("displayConfigs", "false")
    if text not in {"true", "false"}:
        raise ProblemError(400, f"displayConfigs is true or false, not {text[:80]!r}")
    return text == "true"


def read_wait(request: web.Request, most: int) -> int:
    """How many seconds a PUT waits for the new state: `wait`, at most what the API is set to.

    Raises:
        ProblemError: 400, if it is no whole number.
    """
    text = request.query.get("wait", str(most))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ProblemError(400, f"wait is a number of seconds, not {text[:80]!r}")
    return min(int(text), most)


def answer_json(value: Any, status: int = 200) -> web.Response:
    """A JSON answer, with a newline at the end for people who use curl."""
    return web.Response(
        body=msgspec.json.encode(value) + b"\n", status=status, content_type="application/json", headers=HEADERS
    )


# An answer is for one caller alone; no cache on the way may keep it.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def answer_problem(problem: ProblemError) -> web.Response:
    """A problem as an answer."""
    answer = web.Response(
        body=msgspec.json.encode(problem.build_body()) + b"\n",
        status=problem.status,
        content_type=MEDIA_TYPE,
        headers={**HEADERS, **problem.headers},
    )
    if problem.status in {408, 413}:  # the rest of the body is not wanted
        answer.force_close()
    return answer
