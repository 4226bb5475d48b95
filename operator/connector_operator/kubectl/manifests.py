"""`new`: the manifest of a connector from answers, checked as the API server checks it; and which questions there are. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector_operator.resources.yaml_text import format_yaml
from connector_runner.schemas.config import Schema, config_problems, config_schema, fill_defaults, merge_config
from connector_runner.schemas.kinds.checks import connector_problems
from connector_runner.schemas.kinds.naming import API_VERSION, MAX_CONNECTOR_NAME, NAME_PATTERN


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person has said of a new connector.

    Attributes:
        kind: The type, in upper case.
        settings: Dotted path in spec.config → the text that was typed.
        secrets: Names of Secrets for spec.configFrom.
        streams: One name, or several names or patterns; empty: to be chosen when the streams are known.
        is_running: Whether it is to start at once.
    """

    kind: str
    name: str = ""
    namespace: str = ""
    dataset: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    is_running: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """One property of a type's configuration that can be asked for.

    Attributes:
        path: Dotted.
        text: What it means.
        default: As it would be typed; "" for none.
        choices: What may be answered; empty: anything.
    """

    path: str
    text: str
    default: str
    choices: tuple[str, ...]
    is_required: bool
    is_secret: bool


def list_questions(schema: Schema, prefix: str = "", *, is_required: bool = True) -> Iterator[Question]:
    """Each property that holds a value, in the schema's order; those of objects by dotted paths."""
    needed = set(schema.get("required", ())) if is_required else set()
    for name, child in schema.get("properties", {}).items():
        if child.get("properties"):
            yield from list_questions(child, f"{prefix}{name}.", is_required=name in needed)
            continue
        default = child.get("default")
        yield Question(
            path=f"{prefix}{name}",
            text=" ".join(str(child.get("description", "")).split()),
            default="" if default is None else _typed(default),
            choices=tuple(map(str, child.get("enum", ()))),
            is_required=name in needed,
            is_secret=child.get("format") == "password",
        )


def _typed(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def parse_setting(text: str, schema: Schema) -> tuple[str, str]:
    """Path and value of `PATH=VALUE`.

    Raises:
        ValueError: It has no such form, there is no such property, or it is a secret. The message never repeats a value.
    """
    path, equals, value = text.partition("=")
    path = path.removeprefix("config.")
    known = {question.path: question for question in list_questions(schema)}
    if not equals:
        raise ValueError(f"{path}: write it as {path}=VALUE")
    if path not in known:
        raise ValueError(f"{path}: not a known property; known are {', '.join(known)}")
    if known[path].is_secret:
        raise ValueError(
            f"{path} is a secret and is never typed here: put it into a Secret with the key {path}, and name that by --secret"
        )
    return path, value


def build_manifest(wish: Wish) -> dict[str, Any]:
    """The Connector."""
    spec: dict[str, Any] = {"connectorType": wish.kind}
    if wish.dataset:
        spec["datasetId"] = wish.dataset
    spec["config"] = merge_config({}, [dict(wish.settings)], config_schema(wish.kind))
    if wish.secrets:
        spec["configFrom"] = [{"secretRef": {"name": name}} for name in wish.secrets]
    if len(wish.streams) == 1 and not re.search(r'[*?"]', wish.streams[0]):
        spec["selectedStream"] = wish.streams[0]
    elif wish.streams:
        spec["streams"] = {"include": list(wish.streams)}
    if wish.is_running:
        spec["status"] = "running"
    metadata = {"name": wish.name, **({"namespace": wish.namespace} if wish.namespace else {})}
    return {"apiVersion": API_VERSION, "kind": "Connector", "metadata": metadata, "spec": spec}


def find_manifest_problems(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """What the API server or a runner would refuse, a sentence each."""
    name, spec = manifest["metadata"]["name"], manifest["spec"]
    problems = []
    if not re.fullmatch(NAME_PATTERN.strip("^$"), name) or len(name) > MAX_CONNECTOR_NAME:
        problems.append(
            f"metadata.name: {name!r} must be lower-case letters, digits and -, at most {MAX_CONNECTOR_NAME}"
        )
    schema = config_schema(spec["connectorType"])
    config = fill_defaults(spec["config"], schema)  # as the API server does before it looks
    problems += config_problems(config, schema, partial="configFrom" in spec, path="spec.config")
    return (*problems, *connector_problems(spec))


def format_manifest(manifest: Mapping[str, Any]) -> str:
    """As YAML."""
    return format_yaml(manifest)


def list_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Which fields of `spec` are different, as paths; of what they say nothing is repeated, as it may be secret."""
    return sorted(_find_changes(before.get("spec") or {}, after.get("spec") or {}, "spec"))


def _find_changes(before: Any, after: Any, path: str) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in before.keys() | after.keys():
            yield from _find_changes(before.get(name), after.get(name), f"{path}.{name}")
    elif before != after:
        yield path


def find_missing(wish: Wish) -> list[str]:
    """The options that say what is still needed, where nobody can be asked."""
    missing = [] if wish.name else ["--name NAME"]
    needed = [each for each in list_questions(config_schema(wish.kind)) if each.is_required and not each.default]
    absent = [each.path for each in needed if not each.is_secret and each.path not in wish.settings]
    return [*missing, *(f"--set {path}=VALUE" for path in absent if not wish.secrets)]


def list_secret_keys(kind: str) -> Sequence[str]:
    """The keys that a Secret of this type may have for its secrets."""
    return [question.path for question in list_questions(config_schema(kind)) if question.is_secret]


def say_next(wish: Wish, *, is_applied: bool, file: str) -> Iterator[str]:
    """What a person does next, a line each."""
    if not is_applied:
        yield f"Apply it: kubectl apply -f {file or 'FILE'}"
    for secret in wish.secrets:
        keys = ", ".join(list_secret_keys(wish.kind))
        yield f"It reads the Secret {secret} (keys: {keys}). If there is none yet: kubectl create secret generic {secret} --from-file=KEY=FILE"
    if not wish.streams:
        yield f"Look at the streams, and select some: kubectl connectors streams {wish.name}, spec.selectedStream or spec.streams"
    elif not wish.is_running:
        yield f"Start it: kubectl connectors start {wish.name}"
    yield f"Watch it: kubectl connectors why {wish.name}"
