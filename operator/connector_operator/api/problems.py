"""Errors as RFC 9457 problems with the seed's fields `success` and `message`; translates Kubernetes' refusals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from connector_operator.resources.rights import Right, build_grants, read_refusal

MEDIA_TYPE = "application/problem+json"


class Violation(msgspec.Struct, frozen=True):
    """One thing that is wrong in a body: its location as a JSONPath (RFC 9535), and what is wrong."""

    path: str
    message: str


class ProblemError(Exception):
    """A request that fails.

    Attributes:
        status: The HTTP status.
        detail: A sentence for people: what is wrong and what to do.
        errors: All violations in the body, if there are any.
        headers: Additional headers of the answer.
        commands: What an administrator types so that it is allowed.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: tuple[Violation, ...] = (),
        headers: Mapping[str, str] | None = None,
        commands: Iterable[str] = (),
    ) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.commands = tuple(commands)

    def build_body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "success": False,
            "message": self.detail,
        }
        if self.errors:
            body["errors"] = [msgspec.to_builtins(error) for error in self.errors]
        if self.commands:
            body["commands"] = list(self.commands)
        return body


def forbidden(missing: Sequence[Right], user: str) -> ProblemError:
    """A 403 for rights that the caller (`user`) does not have."""
    said = ", ".join(f"{right.verb} {right.resource}" for right in missing)
    place = f"in the namespace {missing[0].namespace}"
    return ProblemError(403, f"{user} may not {said} {place}", commands=build_grants(missing, user))


def invalid(errors: tuple[Violation, ...]) -> ProblemError:
    """A 400 for a body, with every violation; the detail repeats them for clients that read only `message`."""
    return ProblemError(400, "; ".join(f"{error.path}: {error.message}" for error in errors), errors)


def unauthorized(detail: str) -> ProblemError:
    """A 401 with the challenge that RFC 9110 requires."""
    return ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"})


NOT_KNOWN = (
    "a token is needed: send your Kubernetes token as `Authorization: Bearer TOKEN` (or as ?token=TOKEN); "
    "`kubectl create token SERVICE_ACCOUNT` makes one"
)

_RETRY = {"Retry-After": "1"}


def from_kubernetes(status: int, answer: Mapping[str, Any], connector_id: str = "") -> ProblemError:
    """What the API server's refusal (its HTTP status and `Status` object) means for the caller.

    The answer is always one of the documented ones: failures of the API server are a 502, never a 500.
    """
    message = str(answer.get("message") or f"the API server answered {status}")
    match status:
        case _ if 300 <= status < 400:
            return ProblemError(502, f"the API server answered with a redirect ({status}), which is not followed")
        case 401:
            return unauthorized("the cluster does not accept this token (is it expired, or of another cluster?)")
        case 403:
            known = read_refusal(message)
            return ProblemError(403, message, commands=() if known is None else build_grants([known[0]], known[1]))
        case 404:
            return not_found(connector_id) if connector_id else ProblemError(404, message)
        case 400 | 413 | 422:
            errors = read_causes(answer)
            return invalid(errors) if errors else ProblemError(400, message)
        case 409:
            return ProblemError(409, message)
        case 410:
            return ProblemError(410, "the cluster has forgotten this state of the list; begin again without `continue`")
        case 429 | 503 | 504:
            return ProblemError(503, f"the cluster can't answer now: {message}", headers=_RETRY)
        case _:
            return ProblemError(502, f"the API server answered {status}: {message}")


def unreachable(reason: str) -> ProblemError:
    """The API server did not answer."""
    return ProblemError(503, f"the cluster's API server can't be reached ({reason}); try again", headers=_RETRY)


def not_found(connector_id: str) -> ProblemError:
    """There is no such connector."""
    return ProblemError(404, f"there is no connector '{connector_id}'; GET /v1/connectors/connector lists all")


def read_causes(answer: Mapping[str, Any]) -> tuple[Violation, ...]:
    """The violations in a `Status` object, their fields as paths in the body: `spec.config.port` is `$.config.port`."""
    causes = (answer.get("details") or {}).get("causes") or ()
    found = {Violation(_body_path(str(cause.get("field", ""))), str(cause.get("message", ""))) for cause in causes}
    return tuple(sorted(found, key=lambda violation: (violation.path, violation.message)))


def _body_path(field: str) -> str:
    bare = re.sub(r"^spec\.?", "", field)
    return f"$.{bare}" if bare and bare != "<nil>" else "$"
