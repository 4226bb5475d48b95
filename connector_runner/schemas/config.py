"""Configuration by type: the schemas, merging with Secrets, coercion, defaults, and a check that reports all problems at once.

A type is a folder: `sources/<type in lower case>/schema.yaml` is the only description of its configuration, in the subset that
custom resource definitions and JSON Schema share. `format: password` marks a property as secret.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import jsonschema
import yaml

Schema = dict[str, Any]
_ADDRESS = re.compile(r"\^(\w+)s\?://\.\+")
"""The pattern of addresses with an encrypted and a plain form."""


@cache
def connector_types() -> tuple[str, ...]:
    """All types, in upper case and in alphabetical order."""
    folders = resources.files("connector_runner.sources").iterdir()
    return tuple(sorted(folder.name.upper() for folder in folders if folder.joinpath("schema.yaml").is_file()))


@cache
def _load(connector_type: str) -> str:
    if connector_type not in connector_types():
        raise LookupError(
            f"connectorType: {connector_type!r} is not known; choose one of {', '.join(connector_types())}"
        )
    path = resources.files("connector_runner.sources").joinpath(connector_type.lower(), "schema.yaml")
    return json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")))


def config_schema(connector_type: str) -> Schema:
    """The JSON Schema of a type's `config` (a fresh copy).

    Raises:
        LookupError: There is no such type; the message lists all types.
    """
    schema: Schema = json.loads(_load(connector_type))
    return schema


def secret_properties(connector_type: str) -> frozenset[str]:
    """Dotted paths of the properties that hold secrets (`format: password`)."""
    return frozenset(
        path for path, schema in _walk(config_schema(connector_type)) if schema.get("format") == "password"
    )


def _walk(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    for name, child in schema.get("properties", {}).items():
        yield f"{prefix}{name}", child
        yield from _walk(child, f"{prefix}{name}.")


def merge_config(config: Mapping[str, Any], secrets: Sequence[Mapping[str, str]], schema: Schema) -> dict[str, Any]:
    """Merges each Secret in order over spec.config; later ones win; a key `a.b` sets a nested property.

    Texts from Secrets are coerced to the types of the schema (whole numbers, booleans, arrays and objects as JSON, or an array
    of texts as a comma-separated list); a text that can't be coerced stays a text and fails the check with its path.
    One trailing newline is dropped, since editors and `echo` add one.
    """
    merged = copy.deepcopy(dict(config))
    for secret in secrets:
        for key, text in secret.items():
            *parents, last = key.split(".")
            place, place_schema = merged, schema
            for parent in parents:
                place_schema = place_schema.get("properties", {}).get(parent, {})
                child = place.get(parent)
                place[parent] = place = child if isinstance(child, dict) else {}
            place[last] = coerce(text.removesuffix("\n"), place_schema.get("properties", {}).get(last, {}))
    return merged


def coerce(text: str, schema: Schema) -> Any:
    """A text converted to the schema's type, or the text itself."""
    wanted = schema.get("type")
    if wanted == "array" and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if wanted in {"integer", "number", "boolean", "array", "object"}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def fill_defaults(config: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """The configuration with the schema's defaults for absent properties, also in nested objects."""
    filled = copy.deepcopy(dict(config))
    for name, child in schema.get("properties", {}).items():
        if name not in filled and "default" in child:
            filled[name] = copy.deepcopy(child["default"])
        elif isinstance(filled.get(name), dict):
            filled[name] = fill_defaults(filled[name], child)
    return filled


class ConfigProblem(NamedTuple):
    """One problem: where it is, as a path like a JSONPath (RFC 9535), and what is wrong."""

    path: str
    message: str


def config_problems(config: Any, schema: Schema, *, partial: bool = False, path: str = "config") -> tuple[str, ...]:
    """All problems, one sentence each, starting with the JSON path; empty if the configuration is valid.

    The arguments are those of `find_problems`.
    """
    return tuple(sorted(f"{where}: {message}" for where, message in find_problems(config, schema, partial, path)))


def find_problems(config: Any, schema: Schema, partial: bool = False, path: str = "config") -> Iterator[ConfigProblem]:
    """All problems in no particular order, as a lazy iterator (a long text can have many thousand problems).

    Unknown properties are problems too. `partial`: more properties will come from Secrets, so missing ones are not problems.
    Values of secret properties are never repeated.
    """
    for error in jsonschema.Draft202012Validator(schema).iter_errors(config):
        yield from _explain(error, path, partial)
    yield from _unknown(config, schema, path)


def path_step(part: str | int) -> str:
    """A step of a JSONPath; a name that is not a plain word is quoted."""
    if isinstance(part, int):
        return f"[{part}]"
    if re.fullmatch(r"[A-Za-z_]\w*", part, re.ASCII):
        return f".{part}"
    escaped = json.dumps(part, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"['{escaped}']"


def _unknown(config: Any, schema: Schema, path: str) -> Iterator[ConfigProblem]:
    if isinstance(config, list) and "items" in schema:
        for index, item in enumerate(config):
            yield from _unknown(item, schema["items"], path + path_step(index))
    properties = schema.get("properties")
    if properties is None or not isinstance(config, Mapping):
        return
    for name, value in config.items():
        if name not in properties:
            yield ConfigProblem(path + path_step(name), f"not a known property; known are {', '.join(properties)}")
        else:
            yield from _unknown(value, properties[name], path + path_step(name))


def _explain(error: jsonschema.ValidationError, path: str, partial: bool) -> Iterator[ConfigProblem]:
    where = path + "".join(map(path_step, error.absolute_path))
    secret = isinstance(error.schema, dict) and error.schema.get("format") == "password"
    found = "the secret value" if secret else json.dumps(error.instance, default=str)[:200]
    limit: Any = error.validator_value
    instance: Any = error.instance
    match error.validator:
        case "required":
            missing = [name for name in limit if name not in instance]
            # jsonschema reports one error for each missing name; the message has the name.
            name = next((name for name in missing if repr(name) in error.message), missing[0])
            if partial:
                return
            where, message = where + path_step(name), "is required"
        case "type":
            message = f"expected {limit if isinstance(limit, str) else ' or '.join(limit)}, found {found}"
        case "enum":
            message = f"{found} is not one of {', '.join(map(str, limit))}"
        case "pattern":
            message = f"{found} {_say_pattern(limit, error.schema)}"
        case "minItems" | "minLength":
            message = f"must have at least {limit} {'item' if error.validator == 'minItems' else 'character'}(s)"
        case "minimum" | "maximum":
            message = f"{found} must be {'at least' if error.validator == 'minimum' else 'at most'} {limit}"
        case _:
            message = "is not valid" if secret else error.message
    yield ConfigProblem(where, message)


def _say_pattern(pattern: str, schema: Any) -> str:
    """What is wrong with a text that a pattern refuses: in words for addresses, else with what the schema says the text is."""
    if address := _ADDRESS.fullmatch(pattern):
        return f"must begin with {address[1]}:// or {address[1]}s://"
    meant = schema.get("description", "") if isinstance(schema, dict) else ""
    return f"does not match {pattern}" + (f": {meant.partition('. ')[0].rstrip('.')}" if meant else "")
