"""A Connector's spec and status as values, and the hashes that tell whether something new is asked for."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from connector_operator.resources.names import LARGEST_COUNT, hash_value
from connector_operator.resources.runner import FIRST_FIELDS, RunnerSpec
from connector_operator.resources.runner_rules import own_problems
from connector_operator.resources.runner_shape import plain_shape
from connector_runner.schemas.catalogue import StreamSummary
from connector_runner.schemas.config import config_problems, config_schema, connector_types, fill_defaults
from connector_runner.schemas.manifest import MOST_CONFIG_BYTES, TakeOver
from connector_runner.schemas.secrets import SecretSource, mapping_problems


class SecretReference(msgspec.Struct, frozen=True):
    """A Secret of the connector's namespace."""

    name: str


class ConfigSource(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of `configFrom`: each key of the Secret is one more config property, or what `keys` makes of it."""

    secret_ref: SecretReference
    keys: dict[str, str] | None = None
    optional: bool = False

    def source(self) -> SecretSource:
        """As the runner is told."""
        return SecretSource(name=self.secret_ref.name, keys=self.keys, optional=self.optional)

    def form(self) -> Any:
        """What of it a hash sees: the name alone where nothing else is said, as before there was anything else to say."""
        if self.keys is None and not self.optional:
            return self.secret_ref.name
        return [self.secret_ref.name, self.keys, self.optional]


class ConnectorSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is asked for; see the reference of the Connector for each field."""

    connector_type: str
    description: str = ""
    dataset_id: str = ""
    wait: bool = True
    config: dict[str, Any] = {}
    config_from: tuple[ConfigSource, ...] = ()
    selected_stream: str = ""
    status: Literal["running", "stopped"] | None = None
    restarted_at: str = ""
    rediscover_at: str = ""
    take_over: TakeOver | None = None
    runner: RunnerSpec = RunnerSpec()


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """One condition, in Kubernetes' form."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str = ""
    observed_generation: int = 0


class State(msgspec.Struct, frozen=True, rename="camel"):
    """`state` as the Connectors API answers it."""

    status: str = ""
    job_id: str = ""
    exec_id: str = ""


class LastExecution(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How the latest execution that has ended, or is being ended, ended.

    Attributes:
        run: Its number; 0 when there was none.
        exit_code: None when nobody could see it (stopped, or its pod was lost).
        finished_at: "" while its pod is still leaving.
    """

    run: int = 0
    exec_id: str = ""
    started_at: str = ""
    finished_at: str = ""
    exit_code: int | None = None
    reason: str = ""
    message: str = ""


class Retry(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the next start depends on; emptied by a stop, void when the hashes no longer match.

    Attributes:
        outcome: completed, refused (exit 78), crashed, disrupted, fenced; "" for nothing.
        failures: Failures in a row.
        since: When the row of failures began.
        at: When the next execution may start.
    """

    outcome: str = ""
    failures: int = 0
    since: str = ""
    at: str = ""
    spec_hash: str = ""
    dataset_hash: str = ""


class Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """What held the dataset when the last execution was refused there.

    Attributes:
        run: The number of the connector's run that holds it; 0: the last execution was not refused.
        mark: How far its checkpoint had come.
    """

    run: int = 0
    mark: str = ""


class Ordered(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the last reserved execution, or the last discovery, was made from.

    It stands here and not only in the Job, because whatever admits a Job may change it: what was asked for is compared,
    never what was read back.

    Attributes:
        run: The execution's number, or the discovery's.
        spec_hash, dataset_hash: What the execution was made from.
        config_hash, rediscover_at, stream: What the discovery was made from.
        form: How its pod was to be: spec.runner, and the installation's settings.
        take_over: Stands for whom the execution was to take its table over from; "" for nobody.
    """

    run: int = 0
    spec_hash: str = ""
    dataset_hash: str = ""
    config_hash: str = ""
    rediscover_at: str = ""
    stream: str = ""
    form: str = ""
    take_over: str = ""


class Discovery(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the streams in status are the streams of, and how attempts to list them went.

    Attributes:
        config_hash, rediscover_at, stream, at: Of the last good catalogue: what was asked, and when it was received.
        notes: Sentences that came with it.
        misses: How many catalogues in a row lacked the selected stream.
        attempts: How many Jobs were made, ever (names the next).
        failures: Failed attempts in a row, for what `failed_for` stands for.
        refused: Whether the last failed for what a person must mend.
        retry_at: When it is tried again.
        ordered: What the last attempt was made from.
    """

    config_hash: str = ""
    rediscover_at: str = ""
    stream: str = ""
    at: str = ""
    notes: tuple[str, ...] = ()
    misses: int = 0
    attempts: int = 0
    failures: int = 0
    failed_for: str = ""
    refused: bool = False
    reason: str = ""
    message: str = ""
    retry_at: str = ""
    ordered: Ordered = Ordered()


class EffectiveDataset(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The Dataset that `datasetId` was resolved to, and the table there."""

    name: str = ""
    table: str = ""


class ConnectorStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What is: written by the operator alone."""

    observed_generation: int = -1
    state: State = State()
    streams: tuple[StreamSummary, ...] = ()
    streams_total: int = 0
    dataset: EffectiveDataset = EffectiveDataset()
    run: int = 0
    ordered: Ordered = Ordered()
    held: Held = Held()
    last_execution: LastExecution = LastExecution()
    retry: Retry = Retry()
    discovery: Discovery = Discovery()
    conditions: tuple[Condition, ...] = ()
    updated: str = ""


def parse_spec(raw: Any) -> tuple[ConnectorSpec | None, tuple[str, ...]]:
    """A spec, and everything that is wrong with it; None when it can't even be read."""
    try:
        spec = msgspec.convert(raw, ConnectorSpec)
    except msgspec.ValidationError as error:
        return None, (f"spec: {error}",)
    if spec.connector_type not in connector_types():
        return spec, (
            f"spec.connectorType: {spec.connector_type!r} is not known; choose one of {', '.join(connector_types())}",
        )
    schema = config_schema(spec.connector_type)
    # A required property that has a default may be left out, as the custom resource definition has it.
    filled = fill_defaults(spec.config, schema)
    problems = list(config_problems(filled, schema, partial=bool(spec.config_from), path="spec.config"))
    for index, source in enumerate(spec.config_from):
        problems += mapping_problems(source.source(), schema, f"spec.configFrom[{index}]")
    problems += _runner_problems(spec.runner)
    size = len(msgspec.json.encode(spec.config))
    if size > MOST_CONFIG_BYTES:
        problems.append(
            f"spec.config: is {size} bytes of JSON, at most {MOST_CONFIG_BYTES} reach a runner; take large values (abi) from a Secret"
        )
    return spec, tuple(problems)


def _runner_problems(runner: RunnerSpec) -> list[str]:
    """What the API server tells, too, where it has our schema; the fields of the first version are Kubernetes' to check."""
    raw = {name: value for name, value in runner.raw().items() if name not in FIRST_FIELDS}
    if not raw:
        return []
    problems = list(config_problems(raw, plain_shape(), path="spec.runner"))
    return problems or list(own_problems(raw, "spec.runner"))


def parse_status(raw: Any) -> ConnectorStatus:
    """A status as stored; what is not readable counts as absent, part by part, so that nothing done by hand can block."""
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
    """Whether a number stands in it that no counting leads to, and that could not be counted on from."""
    if isinstance(value, dict):
        return any(_has_absurd_number(child) for child in value.values())
    if isinstance(value, list | tuple):
        return any(_has_absurd_number(child) for child in value)
    return isinstance(value, int) and not -1 <= value <= LARGEST_COUNT


def build_status(status: ConnectorStatus) -> dict[str, Any]:
    """A status as it is applied. Every scalar is listed each time: one that is left out would survive if somebody else set it."""
    raw: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(status))  # lists, as they come back
    for optional in ("dataset", "ordered", "held", "lastExecution", "retry", "discovery"):
        if not raw[optional]:
            del raw[optional]
    return raw


def without_defaults(config: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A config without the properties that say only what the schema's default says, nested ones included."""
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
    """What the streams depend on: type, config (absent equals default) and Secrets."""
    schema = config_schema(spec.connector_type) if spec.connector_type in connector_types() else {}
    return hash_value(
        [spec.connector_type, without_defaults(spec.config, schema), [source.form() for source in spec.config_from]]
    )


def form_hash(spec: ConnectorSpec, installation: str) -> str:
    """How a pod is to be; `installation` stands for the operator's own settings."""
    return hash_value([msgspec.to_builtins(spec.runner), installation])


def take_over_hash(take_over: TakeOver | None) -> str:
    """Stands for whom a table is taken over from; no part of `spec_hash`, as adding or removing it must restart nothing."""
    return hash_value([take_over.connector, take_over.epoch]) if take_over is not None else ""


def spec_hash(spec: ConnectorSpec) -> str:
    """What makes a new execution needed, the dataset apart; absent fields equal defaults."""
    runner = msgspec.to_builtins(spec.runner)
    return hash_value([config_hash(spec), spec.selected_stream, spec.wait, runner, spec.restarted_at, spec.dataset_id])
