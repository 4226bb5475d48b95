"""Names that a command was given, before they become a part of a URL. Pure."""

from __future__ import annotations

import re
from argparse import Namespace
from urllib.parse import quote

from connector_operator.kubectl.refusals import RefusedError

MAX_NAME, MAX_NAMESPACE = 253, 63
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME, _NAMESPACE = re.compile(rf"{_LABEL}(\.{_LABEL})*"), re.compile(_LABEL)


def is_object_name(name: str) -> bool:
    """Whether an object of Kubernetes may have this name; Connectors from before the rule for their names may be longer than it says, or have dots."""
    return len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None


def is_namespace_name(name: str) -> bool:
    """Whether a namespace may have this name."""
    return len(name) <= MAX_NAMESPACE and _NAMESPACE.fullmatch(name) is not None


def check_names(flags: Namespace) -> None:
    """Looks at each name on a command line; a namespace that was not given is that of the context, and looked at when it is known.

    Raises:
        RefusedError: One is no name.
    """
    one = getattr(flags, "name", None)
    for name in [*([] if one is None else [one]), *getattr(flags, "names", ())]:
        if not is_object_name(name):
            raise RefusedError(
                f"{name!a} is no name of a connector: names are lower case letters, digits, - and dots. Nothing was done."
            )
    if namespace := getattr(flags, "namespace", ""):
        check_namespace(namespace)


def check_namespace(namespace: str) -> None:
    """Looks at the name of a namespace.

    Raises:
        RefusedError: It is none.
    """
    if not is_namespace_name(namespace):
        raise RefusedError(
            f"{namespace!a} is no name of a namespace: names are lower case letters, digits and -. Nothing was done."
        )


def quoted(name: str) -> str:
    """A name as one segment of a path.

    Raises:
        RefusedError: It is none: with an empty one the path would be that of all objects, with dots that of another one.
    """
    if not is_object_name(name):
        raise RefusedError(f"{name!a} is no name of an object. Nothing was asked of the API server.")
    return quote(name, safe="")
