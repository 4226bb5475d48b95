"""What the API server refuses, and what a person does about it, as sentences. Pure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from connector_operator.resources.rights import UNKNOWN_USER, Right, build_grants

NEAREST = 3
_USER = re.compile(r'User "([^"]+)"')


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the API server, in the words of its rights.

    Attributes:
        verb: get, list, watch or patch.
        resource: As kubectl takes it: `connectors.apperate.io`, `pods/log`.
        namespace: "" for all namespaces.
        name: "" for a list.
    """

    verb: str
    resource: str
    namespace: str
    name: str = ""

    @property
    def place(self) -> str:
        """Where it is made, in words."""
        return f"in the namespace {self.namespace}" if self.namespace else "in all namespaces"


class RefusedError(Exception):
    """A request failed; the text says what to do.

    Attributes:
        status: The HTTP status; 0 when there was no answer.
        is_missing: Whether the object that was asked for does not exist.
        is_unanswered: Whether the API server did not answer, or not to the end.
        is_silent: Whether it took the request, and then nothing came for too long.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int = 0,
        is_missing: bool = False,
        is_unanswered: bool = False,
        is_silent: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.is_missing = is_missing
        self.is_unanswered = is_unanswered
        self.is_silent = is_silent

    @property
    def is_passing(self) -> bool:
        """Whether it may be different in a moment: no answer, too many requests, or an error of the server's own."""
        return self.is_unanswered or self.status == 429 or self.status >= 500


def build_refusal(call: Call, status: int, body: str) -> RefusedError:
    """The sentences for an answer with an error's status.

    Args:
        call: What was asked.
        status: The HTTP status, 400 or more.
        body: What was answered: a Kubernetes Status as JSON, or any text.
    """
    answer = _parse(body)
    said = str(answer.get("message") or body.strip()[:300])
    if status == 401:
        text = "The API server does not accept your credentials (401): log in again, or choose another --context."
    elif status == 403:
        text = _say_forbidden(call, said)
    elif status == 404 and not (answer.get("details") or {}).get("name"):
        text = (
            f"The cluster does not know {call.resource} (404): its custom resource definitions are not installed. "
            "Install them: `kubectl apply --server-side -k crds/`, or choose another cluster by --context."
        )
    elif status == 404:
        return RefusedError(f"There is no {call.name} {call.place}.", status=status, is_missing=True)
    else:
        text = f"The API server refuses to {call.verb} {call.resource} {call.name} {call.place} ({status}): {said}"
    return RefusedError(text, status=status)


def build_unreachable(host: str, context: str, error: str, *, is_silent: bool = False) -> RefusedError:
    """The sentences when there was no answer at all, or not to the end."""
    return RefusedError(
        f"No answer from {host}, the API server of the context {context}: {error}\n"
        "Check that the cluster runs and is reachable from here (VPN, proxy), or choose another one: "
        "`kubectl config get-contexts`, --context, --kubeconfig.",
        is_unanswered=True,
        is_silent=is_silent,
    )


def say_nearest(name: str, names: Iterable[str]) -> str:
    """Names that may have been meant, as a sentence; "" if there are none."""
    known = sorted(names)
    near = difflib.get_close_matches(name, known, n=NEAREST, cutoff=0.5) or known[:NEAREST]
    if not near:
        return "There are no connectors in it; those of all namespaces: `kubectl connectors status -A`."
    return f"Did you mean {' or '.join(near)}?"


def _say_forbidden(call: Call, said: str) -> str:
    found = _USER.search(said)
    user = found[1] if found else UNKNOWN_USER
    within = f" --namespace={call.namespace}" if call.namespace else " --all-namespaces"
    grants = build_grants([Right(call.verb, call.resource, call.namespace)], user)
    return "\n".join(
        [
            f"You ({user}) may not {call.verb} {call.resource} {call.place} (403). "
            "Ask an administrator of the cluster for that right, for example by",
            *(f"  {command}" for command in grants),
            "and check it by",
            f"  kubectl auth can-i {call.verb} {call.resource}{within}",
        ]
    )


def _parse(body: str) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}
