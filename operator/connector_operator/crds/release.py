"""The release that a custom resource definition comes from, and whether it may be replaced by another. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

RELEASE = "0.1.0"
"""This release: `version` of pyproject.toml, the chart's version, the tag of both images."""
ANNOTATION = "apperate.io/release"
"""On each definition: the release that it is of."""
_FORM = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def read_release(text: str) -> tuple[int, int, int] | None:
    """A release as numbers that can be compared; None when it has another form than `1.2.3`."""
    match = _FORM.fullmatch(text)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def explain_refusal(installed: Mapping[str, Any]) -> str:
    """Why an installed definition must not be replaced by this release's, in a sentence; empty when it may be.

    One without the annotation is older than all that have it.
    """
    metadata = installed["metadata"]
    text = (metadata.get("annotations") or {}).get(ANNOTATION)
    ours = read_release(RELEASE)
    if text is None or ours is None:
        return ""
    release = read_release(text)
    if release is None:
        return (
            f"The custom resource definition {metadata['name']} has the annotation {ANNOTATION}: {text!r}, which is no release; "
            f"expected one such as {RELEASE}. Nothing was changed."
        )
    if release > ours:
        return (
            f"The custom resource definition {metadata['name']} is of release {text}, newer than {RELEASE}. An older definition would drop "
            f"fields of Connectors in all namespaces, so nothing was changed: install release {text} or a newer one."
        )
    return ""
