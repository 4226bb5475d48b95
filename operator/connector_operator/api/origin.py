"""Whether a page of another site sends a request: a browser may add the cookie of a proxy that logs people in. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

_OWN_SITE = frozenset({"none", "same-origin"})
_PORTS = {"http": 80, "https": 443}


def is_of_another_site(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that a page of elsewhere sends it; what is no browser says nothing, and is not of another site.

    Browsers send `Sec-Fetch-Site` only to HTTPS and to localhost; to plain HTTP they send `Origin` with each change.

    Args:
        headers: Of the request, their names in any case.
    """
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None:
        return site not in _OWN_SITE
    if origin is None:
        return False
    scheme, _, place = origin.lower().partition("://")
    own = {headers.get("Host", ""), headers.get("X-Forwarded-Host", "").partition(",")[0]}
    named = {_with_port(scheme, host.strip().lower()) for host in own} - {None}
    return _with_port(scheme, place) not in named


def _with_port(scheme: str, place: str) -> tuple[str, int] | None:
    """Host and port of a `HOST[:PORT]`; None for what is none (`Origin: null`)."""
    try:
        parts = urlsplit(f"//{place}")
        port = parts.port or _PORTS.get(scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None
