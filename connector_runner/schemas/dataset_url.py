"""Checks of a dataset's URL without connecting; the operator, the sinks and the resource definition share them. Pure.

No message repeats the URL, which may hold a password.
"""

from __future__ import annotations

import re

from connector_runner.schemas.datasets import DESCRIPTORS

SCHEME_ALIASES = {alias: sink.name for sink in DESCRIPTORS.values() for alias in sink.schemes if alias != sink.name}
"""URL schemes that are aliases of a sink's folder."""
FORMS = {sink.name: (sink.pattern, sink.expected) for sink in DESCRIPTORS.values()}
"""By sink: the pattern of its URLs, for RE2 and Python, and the message for a URL of another form."""
FILE_SCHEMES = tuple(
    scheme
    for sink in DESCRIPTORS.values()
    if sink.needs_volume
    for scheme in sink.schemes
    if scheme not in sink.remote_schemes
)
"""Schemes of datasets that are files and therefore need a volume."""


def known_schemes() -> tuple[str, ...]:
    """All schemes that a URL may have."""
    return (*FORMS, *SCHEME_ALIASES)


def scheme_problem() -> str:
    """The message for a URL with another scheme."""
    return f"expected a URL that starts with {', '.join(f'{scheme}:' for scheme in known_schemes())}"


def sink_of(url: str) -> str | None:
    """The sink for a URL's scheme; None if the scheme is unknown."""
    scheme, separator, _ = url.partition(":")
    scheme = SCHEME_ALIASES.get(scheme.lower(), scheme.lower())
    return scheme if separator and scheme in FORMS else None


def url_problems(url: str) -> tuple[str, ...]:
    """All problems of a URL that can be found without connecting; () if there are none."""
    sink = sink_of(url)
    if sink is None:
        return (scheme_problem(),)
    if re.search(r"[\x00-\x1f\x7f]", url):
        return ("holds a line break or another control character",)
    pattern, expected = FORMS[sink]
    if not re.match(pattern, url.partition(":")[0].lower() + url[url.index(":") :]):
        return (expected,)
    return tuple(DESCRIPTORS[sink].check(url))


def names_of_file_sinks() -> str:
    """For sentences: `sqlite and http`."""
    *names, last = [sink.name for sink in DESCRIPTORS.values() if sink.needs_volume]
    return f"{', '.join(names)} and {last}" if names else last
