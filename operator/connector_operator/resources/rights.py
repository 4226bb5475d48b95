"""Rights in Kubernetes: which one a refusal names, and the commands by which an administrator gives it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

_SAID = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>[a-z]+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_ACCOUNT = "system:serviceaccount:"
UNKNOWN_USER = "YOUR-USER"


class Right(msgspec.Struct, frozen=True):
    """One verb on one kind of object.

    Attributes:
        verb: get, list, watch, create, patch, delete, ...
        resource: As kubectl takes it: `connectors.apperate.io`, `pods/log`.
        namespace: "" for all namespaces.
    """

    verb: str
    resource: str
    namespace: str

    @property
    def group(self) -> str:
        """The API group; "" for the core's."""
        return self.resource.partition("/")[0].partition(".")[2]

    @property
    def kind(self) -> str:
        """The plural without group and subresource."""
        return self.resource.partition("/")[0].partition(".")[0]

    @property
    def part(self) -> str:
        """The subresource; "" for none."""
        return self.resource.partition("/")[2]


def read_refusal(message: str) -> tuple[Right, str] | None:
    """The right that the API server misses in a refusal (403), and the user; None if its message has another form."""
    found = _SAID.search(message)
    if found is None:
        return None
    kind, slash, part = found["resource"].partition("/")
    group = f".{found['group']}" if found["group"] else ""
    return Right(found["verb"], f"{kind}{group}{slash}{part}", found["namespace"] or ""), found["user"]


def build_grants(rights: Iterable[Right], user: str) -> list[str]:
    """The kubectl commands that give rights of one namespace (or of all) to a user, with a role for each kind of object."""
    by_kind: dict[tuple[str, str], list[str]] = {}
    for right in rights:
        by_kind.setdefault((right.resource, right.namespace), []).append(right.verb)
    return [line for (kind, namespace), verbs in by_kind.items() for line in _grant(verbs, kind, namespace, user)]


def _grant(verbs: list[str], resource: str, namespace: str, user: str) -> list[str]:
    wide, within = ("", f" --namespace={namespace}") if namespace else ("cluster", "")
    role = f"connectors-{'-'.join(verbs)}-{re.sub(r'[^a-z]+', '-', resource)}"
    account = user.removeprefix(_ACCOUNT)
    subject = f"--user={_quote(user)}" if account == user else f"--serviceaccount={account}"
    return [
        f"kubectl create {wide}role {role} --verb={','.join(verbs)} --resource={resource}{within}",
        f"kubectl create {wide}rolebinding {role} --{wide}role={role} {subject}{within}",
    ]


def _quote(word: str) -> str:
    return word if re.fullmatch(r"[\w@%+=:,./-]+", word) else "'" + word.replace("'", "'\"'\"'") + "'"
