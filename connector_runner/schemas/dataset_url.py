"""What can be told of a dataset's URL without opening it; the operator, the sinks and the resource definition share it. Pure.

No message repeats the URL, which may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

SCHEME_ALIASES = {"postgres": "postgresql", "https": "http"}
"""URL schemes that are another name of a sink's folder."""
FORMS = {
    "sqlite": (r"^sqlite:(/|/{3,})?[^/?#]", "expected sqlite:///file.db (in the data directory) or sqlite:////absolute/file.db"),
    "postgresql": (r"^postgres(ql)?://", "expected postgresql://user@host:port/database?option=…"),
    "http": (r"^https?://[^/?#]", "expected http(s)://host/path"),
}  # fmt: skip
"""By sink: the form of its URLs, as RE2 and Python read it, and what is said of another."""
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def known_schemes() -> tuple[str, ...]:
    """All schemes that a URL may begin with."""
    return (*FORMS, *SCHEME_ALIASES)


def scheme_problem() -> str:
    """What is said of a URL with another scheme."""
    return f"expected a URL that starts with {', '.join(f'{scheme}:' for scheme in known_schemes())}"


def sink_of(url: str) -> str | None:
    """The sink that a URL's scheme means; None for no known one."""
    scheme, separator, _ = url.partition(":")
    scheme = SCHEME_ALIASES.get(scheme.lower(), scheme.lower())
    return scheme if separator and scheme in FORMS else None


def url_problems(url: str) -> tuple[str, ...]:
    """Everything that is wrong with a URL as far as it tells by itself; () when nothing is."""
    sink = sink_of(url)
    if sink is None:
        return (scheme_problem(),)
    if re.search(r"[\x00-\x1f\x7f]", url):
        return ("holds a line break or another control character",)
    pattern, expected = FORMS[sink]
    if not re.match(pattern, url.partition(":")[0].lower() + url[url.index(":") :]):
        return (expected,)
    return tuple(_CHECKS[sink](url))


def _check_sqlite(url: str) -> Iterator[str]:
    options = dict(parse_qsl(urlsplit(url).query))
    synchronous = options.pop("synchronous", "FULL").upper()
    if options:
        yield f"unknown options {', '.join(sorted(options))}; known is synchronous"
    if synchronous not in {"FULL", "NORMAL"}:
        yield "synchronous must be FULL or NORMAL"


def _check_postgresql(url: str) -> Iterator[str]:
    rest, _, query = url.partition("://")[2].partition("?")
    if re.search(r"%(?![0-9A-Fa-f]{2})", rest):
        yield "a percent sign must be written as %25"
    hosts = rest.rpartition("@")[2].partition("/")[0] if "@" in rest else rest.partition("/")[0]
    for host in hosts.split(","):
        port = re.fullmatch(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::(.*))?", host)
        if port is None:
            yield "an IPv6 address must stand in brackets"
        elif port[1] and not (port[1].isdecimal() and 0 < int(port[1]) < 65536):
            yield "a port must be a number from 1 to 65535"
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "sslmode" and value not in SSL_MODES:
            yield f"sslmode must be one of {', '.join(SSL_MODES)}"


def _check_http(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        is_good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        yield "expected http(s)://host/path, with a port from 1 to 65535 if any"


_CHECKS = {"sqlite": _check_sqlite, "postgresql": _check_postgresql, "http": _check_http}
