"""A Connector's spec and status as values, and the hashes that show whether something new is requested."""

from __future__ import annotations

from typing import Any

import msgspec

from connector_operator.resources.names import LARGEST_COUNT, hash_value
from connector_runner.schemas.config import config_problems, config_schema, connector_types, fill_defaults
from connector_runner.schemas.kinds.checks import plain_schema, selection_problems, type_problem
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.kinds.connector_status import (
    ConnectorStatus,
)
from connector_runner.schemas.kinds.reserved import own_problems
from connector_runner.schemas.kinds.runner import FIRST_FIELDS, RunnerSpec
from connector_runner.schemas.manifest import MOST_CONFIG_BYTES, TakeOver
from connector_runner.schemas.secrets import mapping_problems


def parse_spec(raw: Any) -> tuple[ConnectorSpec | None, tuple[str, ...]]:
    """A spec, and everything that is wrong with it; the spec is None when it can't be read at all."""
    try:
        spec = msgspec.convert(raw, ConnectorSpec)
    except msgspec.ValidationError as error:
        return None, (f"spec: {error}",)
    if problem := type_problem(spec.connector_type):
        return spec, (problem,)
    schema = config_schema(spec.connector_type)
    # A required property that has a default may be left out, as in the custom resource definition.
    filled = fill_defaults(spec.config, schema)
    problems = list(config_problems(filled, schema, partial=bool(spec.config_from), path="spec.config"))
    for index, source in enumerate(spec.config_from):
        problems += mapping_problems(source.source(), schema, f"spec.configFrom[{index}]")
    problems += selection_problems(spec)
    problems += _runner_problems(spec.runner)
    size = len(msgspec.json.encode(spec.config))
    if size > MOST_CONFIG_BYTES:
        problems.append(
            f"spec.config: is {size} bytes of JSON, at most {MOST_CONFIG_BYTES} reach a runner; take large values (abi) from a Secret"
        )
    return spec, tuple(problems)


def _runner_problems(runner: RunnerSpec) -> list[str]:
    """What the API server also reports if it has our schema; Kubernetes checks the fields of the first version."""
    raw = {name: value for name, value in runner.raw().items() if name not in FIRST_FIELDS}
    if not raw:
        return []
    problems = list(config_problems(raw, plain_schema(RunnerSpec), path="spec.runner"))
    return problems or list(own_problems(raw, "spec.runner"))


def parse_status(raw: Any) -> ConnectorStatus:
    """A status as stored; each part that is unreadable counts as absent, so that manual edits can't block anything."""
    if not isinstance(raw, dict):
        return ConnectorStatus()
    raw = {name: value for name, value in raw.items() if not _has_absurd_number(value)}
    try:
        return msgspec.convert(raw, ConnectorStatus)
    except msgspec.ValidationError:
        pass
    good: dict[str, Any] = {}
    for field in msgspec.structs.fields(ConnectorStatus):
        if field.encode_name in raw:
            try:
                good[field.name] = msgspec.convert(raw[field.encode_name], field.type)
            except msgspec.ValidationError:
                continue
    return ConnectorStatus(**good)


def _has_absurd_number(value: Any) -> bool:
    """Whether it contains a number that counting can't have reached, and that could not be counted on from."""
    if isinstance(value, dict):
        return any(_has_absurd_number(child) for child in value.values())
    if isinstance(value, list | tuple):
        return any(_has_absurd_number(child) for child in value)
    return isinstance(value, int) and not -1 <= value <= LARGEST_COUNT


def build_status(status: ConnectorStatus) -> dict[str, Any]:
    """A status as it is applied, with every scalar: a missing one would survive if somebody else had set it."""
    raw: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(status))  # lists, as they come back
    for optional in (
        "selection",
        "dataset",
        "progress",
        "ordered",
        "update",
        "held",
        "lastExecution",
        "retry",
        "discovery",
    ):
        if not raw[optional]:
            del raw[optional]
    return raw


def without_defaults(config: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A config without the properties whose value equals the schema's default, nested ones included."""
    kept: dict[str, Any] = {}
    for name, value in config.items():
        child = schema.get("properties", {}).get(name, {})
        if isinstance(value, dict):
            value = without_defaults(value, child)
            if not value and child.get("properties"):
                continue
        if "default" not in child or value != child["default"]:
            kept[name] = value
    return kept


def config_hash(spec: ConnectorSpec) -> str:
    """Hash of what the streams depend on: type, config (absent equals default) and Secrets."""
    schema = config_schema(spec.connector_type) if spec.connector_type in connector_types() else {}
    return hash_value(
        [spec.connector_type, without_defaults(spec.config, schema), [source.form() for source in spec.config_from]]
    )


def _pod_part(runner: RunnerSpec) -> Any:
    """What a pod depends on: not when a running one is replaced."""
    return {name: value for name, value in msgspec.to_builtins(runner).items() if name != "updatePolicy"}


def form_hash(spec: ConnectorSpec, installation: str) -> str:
    """Hash of how a pod is configured; `installation` is a hash of the operator's own settings."""
    return hash_value([_pod_part(spec.runner), installation])


def sharing_hash(spec: ConnectorSpec) -> str:
    """Hash of what connectors that may share a discovery have in common, without the installation's part of pods."""
    return hash_value([config_hash(spec), _pod_part(spec.runner)])


def read_sharing_hash(raw: Any) -> str:
    """The same hash of a spec as stored; "" if it can't be read."""
    try:
        return sharing_hash(msgspec.convert(raw, ConnectorSpec))
    except msgspec.ValidationError:
        return ""


def take_over_hash(take_over: TakeOver | None) -> str:
    """Hash of whom a table is taken over from.

    It is not part of `spec_hash`, because adding or removing it must not restart anything.
    """
    return hash_value([take_over.connector, take_over.epoch]) if take_over is not None else ""


def spec_hash(spec: ConnectorSpec) -> str:
    """Hash of what requires a new execution when it changes, except for the dataset; absent fields equal defaults.

    Which streams a selection takes is not part of it: a live execution gets it. See `selection_hash`.
    """
    runner = _pod_part(spec.runner)
    asked: Any = spec.selected_stream
    if spec.streams is not None:
        asked = [spec.on_stream_failure, "streams"]
    return hash_value([config_hash(spec), asked, spec.wait, runner, spec.restarted_at, spec.dataset_id])


def selection_hash(spec: ConnectorSpec) -> str:
    """Hash of `spec.streams`; "" without."""
    return spec.streams.whole_key if spec.streams is not None else ""


def whole_hash(spec: str, selection: str) -> str:
    """Hash of all that an execution carries out: its spec's, and the selection's if it has one."""
    return hash_value([spec, selection]) if selection else spec
