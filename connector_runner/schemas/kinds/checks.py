"""Checks a spec without an API server: reports what the resource definition would refuse, all of it at once. Pure."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

from connector_runner.schemas.config import Schema, config_problems, config_schema
from connector_runner.schemas.dataset_options import mapping_problems, written_problems
from connector_runner.schemas.dataset_url import url_problems
from connector_runner.schemas.kinds.connector import CONNECTOR, ONE_OR_MANY, ConnectorSpec
from connector_runner.schemas.kinds.dataset import DATASET, URL_PATTERN, DatasetSpec
from connector_runner.schemas.kinds.declare import build_schema, plain
from connector_runner.schemas.kinds.reserved import own_problems
from connector_runner.schemas.kinds.streams import MOST_BYTES, StreamsSpec, pattern_problems


@cache
def plain_schema(struct: type[msgspec.Struct]) -> Schema:
    """The schema of a declared struct as plain JSON Schema; callers must not change it."""
    schema: Schema = plain(build_schema(struct))
    return schema


def type_problem(connector_type: str) -> str | None:
    """The problem of a `connectorType`; None if there is such a type."""
    try:
        config_schema(connector_type)
    except LookupError as error:
        return f"spec.{error.args[0]}"
    return None


def connector_problems(raw: Any) -> tuple[str, ...]:
    """All problems of the spec of a Connector in a file, except its type and `config`, which the registry of sources checks."""
    problems = config_problems(raw, _schema_of_any_type(), path="spec")
    problems = problems or tuple(own_problems(raw.get("runner") or {}, "spec.runner"))
    return problems or selection_problems(msgspec.convert(raw, ConnectorSpec))


def selection_problems(spec: ConnectorSpec) -> tuple[str, ...]:
    """What is wrong with the selection of a Connector's streams: two of them, limits, patterns that can't be read."""
    if spec.streams is None:
        return ()
    is_one = ONE_OR_MANY.is_kept is None or ONE_OR_MANY.is_kept(spec)
    problems = [] if is_one else [f"spec{ONE_OR_MANY.field}: {ONE_OR_MANY.message}"]
    raw = msgspec.json.decode(msgspec.json.encode(spec.streams))  # lists, as in the document
    problems += config_problems(raw, plain_schema(StreamsSpec), path="spec.streams")
    size = len(msgspec.json.encode(raw))
    if size > MOST_BYTES:
        problems.append(f"spec.streams: is {size} bytes of JSON, at most {MOST_BYTES} reach a runner; write patterns")
    return (*problems, *pattern_problems(spec.streams))


@cache
def _schema_of_any_type() -> Schema:
    schema = plain(build_schema(CONNECTOR.spec))
    del schema["properties"]["connectorType"]["enum"]
    checked: Schema = schema
    return checked


def dataset_problems(raw: Any) -> tuple[str, ...]:
    """All problems of the spec of a Dataset in a file; fields that only a cluster needs may be absent."""
    problems = config_problems(raw, plain_schema(DATASET.spec), path="spec")
    return problems or rule_problems(msgspec.convert(raw, DatasetSpec), is_by_hand=True)


def rule_problems(spec: DatasetSpec, *, is_by_hand: bool = False) -> tuple[str, ...]:
    """Problems between the fields of a Dataset, and of its URL; a message never repeats the URL."""
    problems = _broken(spec, ".url", is_by_hand)
    if spec.url and not re.match(URL_PATTERN, spec.url):
        problems.append("spec.url: is not a URL, as sqlite:///rows.db or postgresql://host:5432/database is")
    if spec.url and not problems:
        problems += [f"spec.url: {problem}" for problem in url_problems(spec.url)]
        problems += [f"spec.{problem}" for problem in written_problems(spec.url, spec.options)]
        problems += [f"spec.{p}" for p in mapping_problems(spec.url, [source.source() for source in spec.options_from])]
    return (*problems, *_broken(spec, ".volumeClaim", is_by_hand))


def _broken(spec: DatasetSpec, field: str, is_by_hand: bool) -> list[str]:
    rules = (rule for rule in DATASET.spec_rules if rule.field == field and not (is_by_hand and rule.is_cluster_only))
    return [f"spec{field}: {rule.message}" for rule in rules if rule.is_kept is not None and not rule.is_kept(spec)]
