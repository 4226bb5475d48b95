"""Bodies of requests: parsed strictly, checked with all problems at once, secrets taken out of the config."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from connector_operator.api.problems import ProblemError, Violation, invalid
from connector_operator.api.schemas import build_create_schema, build_update_schema
from connector_runner.schemas.config import (
    ConfigProblem,
    Schema,
    config_schema,
    connector_types,
    fill_defaults,
    find_problems,
    path_step,
    secret_properties,
)
from connector_runner.schemas.kinds.connector import ONE_OR_MANY
from connector_runner.schemas.kinds.declare import plain
from connector_runner.schemas.kinds.streams import StreamsSpec, pattern_problems

MOST_PROBLEMS = 100
"""A body of a quarter of a megabyte can be wrong in many thousand fields; nobody reads all of these errors."""
_FIELDS = frozenset(build_create_schema()["properties"]) | frozenset(build_update_schema()["properties"])


class CreateRequest(msgspec.Struct, frozen=True):
    """A checked body of POST.

    Attributes:
        document: Its known fields, `config` without secrets.
        secrets: Values of secret properties by dotted path, as a Secret holds them.
        ignored: Names of fields that have no meaning here.
    """

    document: dict[str, Any]
    secrets: dict[str, str]
    ignored: tuple[str, ...]


class UpdateRequest(msgspec.Struct, frozen=True):
    """A checked body of PUT; in `secrets`, None removes a property."""

    document: dict[str, Any]
    secrets: dict[str, str | None]


def parse_body(body: bytes) -> dict[str, Any]:
    """A body as a JSON object; values of fields that no body has are dropped (None), so that they are not kept.

    Raises:
        ProblemError: 400, with what is wrong.
    """
    try:
        document = msgspec.json.decode(body, strict=True)
    except RecursionError:
        raise ProblemError(400, "the body is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProblemError(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise invalid((Violation("$", "expected an object"),))
    return {name: value if name in _FIELDS else None for name, value in document.items()}


def parse_create_request(connector_id: str, body: dict[str, Any]) -> CreateRequest:
    """Checks a body of POST for the connector with this id.

    Raises:
        ProblemError: 400, with every problem and its path.
    """
    shape = build_create_schema()
    known = {name: value for name, value in body.items() if name in shape["properties"]}
    errors = check_document(known, shape)
    if isinstance(body.get("id"), str) and body["id"] != connector_id:
        errors.append(Violation("$.id", f"is {body['id']!r}, but the path says {connector_id!r}"))
    errors += check_selection(known)
    kind, config = known.get("connectorType"), known.get("config")
    if kind in connector_types() and isinstance(config, dict):
        errors += check_config(config, str(kind))
    if errors:
        raise invalid(tuple(errors))
    known.pop("id", None)
    known["config"], taken = split_secrets(known["config"], str(kind))
    present = {path: text for path, text in taken.items() if text is not None}
    return CreateRequest(known, present, tuple(sorted(set(body) - set(shape["properties"]))))


def parse_update_request(body: dict[str, Any], connector_type: str, *, has_secrets: bool) -> UpdateRequest:
    """Checks a body of PUT for a connector of a type.

    Args:
        body: As received.
        connector_type: The type of the existing connector.
        has_secrets: More properties come from Secrets, so missing properties are not a problem.

    Raises:
        ProblemError: 400, with every problem and its path.
    """
    shape = build_update_schema()
    allowed = ", ".join(shape["properties"])
    unknown = (name for name in body if name not in shape["properties"])
    errors = _violations(ConfigProblem(f"${path_step(n)}", f"can't be updated; what can is {allowed}") for n in unknown)
    if not body:
        errors.append(Violation("$", f"expected at least one of {allowed}"))
    known = {name: value for name, value in body.items() if name in shape["properties"]}
    errors += check_document(known, shape) if known else []
    errors += check_selection(known)
    document, taken = dict(body), dict[str, str | None]()
    if isinstance(body.get("config"), dict):
        bare, taken = split_secrets(body["config"], connector_type)
        whole = _without_nulls(body["config"], [path for path, text in taken.items() if text is None])
        errors += check_config(whole, connector_type, partial=has_secrets)
        document["config"] = bare
    if errors:
        raise invalid(tuple(errors))
    return UpdateRequest(document, taken)


def check_config(config: Mapping[str, Any], connector_type: str, *, partial: bool = False) -> list[Violation]:
    """What is wrong with a config; a property that has a default in the schema may be left out."""
    schema = plain(config_schema(connector_type))
    filled = fill_defaults(config, schema)
    return _violations(find_problems(filled, schema, partial, "$.config"))


def check_document(document: Mapping[str, Any], shape: Schema) -> list[Violation]:
    """What is wrong with a body, except for the content of its config: that is checked against its type's schema."""
    bare = {**document, "config": {}} if isinstance(document.get("config"), dict) else document
    return _violations(find_problems(bare, shape, path="$"))


def check_selection(document: Mapping[str, Any]) -> list[Violation]:
    """What is wrong with the streams that a body selects, beyond its shape: two selections, patterns that can't be read."""
    streams = document.get("streams")
    found = (
        [Violation("$.streams", ONE_OR_MANY.message)] if streams is not None and document.get("selectedStream") else []
    )
    try:
        read = msgspec.convert(streams, StreamsSpec)
    except msgspec.ValidationError:
        return found  # its shape says more
    for problem in pattern_problems(read, "$.streams"):
        path, _, message = problem.partition(": ")
        found.append(Violation(path, message))
    return found


def refuse_second_selection(document: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    """Refuses a PUT that would select streams in both ways.

    Args:
        document: The checked body.
        spec: Of the Connector as it is.

    Raises:
        ProblemError: 409, with the body that changes from one way to the other.
    """
    if document.get("selectedStream") and spec.get("streams") and "streams" not in document:
        raise ProblemError(
            409,
            "the connector carries many streams (streams), so selectedStream can't be set beside them; "
            'to carry this one alone, send {"selectedStream": "…", "streams": null}',
        )
    if document.get("streams") and spec.get("selectedStream") and "selectedStream" not in document:
        raise ProblemError(
            409,
            "the connector carries one stream (selectedStream), so streams can't be set beside it; "
            'to carry many, send {"streams": {…}, "selectedStream": null}',
        )


def _violations(problems: Iterator[ConfigProblem]) -> list[Violation]:
    found = [Violation(*problem) for problem in islice(problems, MOST_PROBLEMS)]
    if len(found) == MOST_PROBLEMS:
        found.append(Violation("$", f"these are the first {MOST_PROBLEMS} problems; there may be more"))
    return sorted(found, key=lambda violation: (violation.path, violation.message))


def split_secrets(config: Mapping[str, Any], connector_type: str) -> tuple[dict[str, Any], dict[str, str | None]]:
    """The config without its secret properties, and these as texts by dotted path; None for a null."""
    bare = copy.deepcopy(dict(config))
    taken: dict[str, str | None] = {}
    for path in sorted(secret_properties(connector_type)):
        *parents, last = path.split(".")
        place: Any = bare
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if isinstance(place, dict) and last in place:
            taken[path] = _secret_text(place.pop(last))
    return bare, taken


def _secret_text(value: Any) -> str | None:
    """A value as a Secret must hold it: the runner drops one newline at the end, so one is added."""
    if value is None:
        return None
    if not isinstance(value, str):
        return json.dumps(value)
    return f"{value}\n" if value.endswith("\n") else value


def _without_nulls(config: Mapping[str, Any], paths: list[str]) -> dict[str, Any]:
    """A config without the secret properties that a null removes."""
    whole = copy.deepcopy(dict(config))
    for path in paths:
        *parents, last = path.split(".")
        place: Any = whole
        for parent in parents:
            place = place[parent]
        del place[last]
    return whole
