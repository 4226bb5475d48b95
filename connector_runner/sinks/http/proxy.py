"""The proxy set in the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), as for other clients."""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass


@dataclass(frozen=True)
class Proxy:
    """The address to connect to instead, and the headers that the proxy needs."""

    host: str
    port: int
    headers: dict[str, str]


def proxy_for(target: SplitResult) -> Proxy | None:
    """The proxy for a URL; None if there is none, or if it is not an http:// proxy."""
    named = getproxies().get(target.scheme)
    host = target.hostname or ""
    if not named or proxy_bypass(f"{host}:{target.port}" if target.port else host):
        return None
    with contextlib.suppress(ValueError):
        parts = urlsplit(named if "://" in named else f"http://{named}")
        if parts.scheme == "http" and parts.hostname:
            return Proxy(parts.hostname, parts.port or 80, _login(parts))
    return None


def _login(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
