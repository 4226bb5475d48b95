"""The kind Dataset: its spec and status, field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from connector_runner.schemas.dataset_url import (
    FILE_SCHEMES,
    FORMS,
    SCHEME_ALIASES,
    known_schemes,
    names_of_file_sinks,
    scheme_problem,
    sink_of,
)
from connector_runner.schemas.datasets import DESCRIPTORS, Descriptor
from connector_runner.schemas.kinds import naming
from connector_runner.schemas.kinds.conditions import Conditions, ObservedGeneration
from connector_runner.schemas.kinds.declare import Column, Kind, Rule, described
from connector_runner.schemas.secrets import SecretSource

URL_PATTERN = "^[a-z][a-z0-9+.-]*:(//)?.+"
PASSWORD_PATTERN = "^[^:]+://[^/@]*:[^/@]*@"  # noqa: S105 - a pattern, not a password
LEDGER_SCHEMA_NEEDS = "is for PostgreSQL; other datasets have no schemas"
VOLUME_NEEDED = f"{names_of_file_sinks()} keep a file (rows, position): name a PersistentVolumeClaim, or it is lost with each runner's pod"


class KeyReference(msgspec.Struct, frozen=True):
    """One key of a Secret of this namespace."""

    name: Annotated[str, described("The Secret.", minLength=1)]
    key: Annotated[str, described("The key.", minLength=1)]


class UrlSource(msgspec.Struct, frozen=True, rename="camel"):
    """Takes the URL from a Secret, for a URL with a password in it."""

    secret_key_ref: KeyReference


class OptionSecret(msgspec.Struct, frozen=True):
    """A Secret of this namespace."""

    name: Annotated[str, described("The Secret.", minLength=1)]


class OptionSource(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One Secret with options."""

    secret_ref: OptionSecret
    keys: Annotated[
        dict[str, str] | None,
        described(
            "Which key of the Secret is which option, as in {password: sasl.password}, for a Secret whose keys have other names. "
            "With it, keys that are neither named here nor options are ignored. Without it, every key must be an option.",
            minProperties=1,
            maxProperties=100,
        ),
    ] = None
    optional: Annotated[bool, described("Whether the Secret, and the keys named in keys, may be absent.")] = False

    def source(self) -> SecretSource:
        """The form that the runner receives."""
        return SecretSource(name=self.secret_ref.name, keys=self.keys, optional=self.optional)


class DatasetSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Where rows go, and how."""

    url: Annotated[
        str,
        described(
            "Where rows go; the scheme chooses the sink, as in postgresql://db:5432/market, sqlite:///rows.db or https://host/records. "
            "For a URL with a password, use urlFrom.",
            pattern=URL_PATTERN,
            maxLength=2048,
            format="password",  # our own check: no message repeats it
        ),
    ] = ""
    url_from: UrlSource | None = None
    volume_claim: Annotated[
        str,
        described(
            f"The PersistentVolumeClaim that is mounted at /data. {names_of_file_sinks()} need one, because they keep a file.",
            maxLength=253,
        ),
    ] = ""
    table: Annotated[
        str, described("The table, with its schema if needed. Default: the connector's datasetId.", maxLength=128)
    ] = ""
    refused_rows: Annotated[
        Literal["deadLetter", "stop"],
        described(
            "What happens to rows that the dataset refuses: deadLetter stores them in <table>_dead_letters, stop ends the runner."
        ),
    ] = "deadLetter"
    write_mode: Annotated[
        Literal["upsert", "append"],
        described("upsert keeps the last row of each key; append keeps every change, with its operation and position."),
    ] = "upsert"
    ledger_schema: Annotated[
        str,
        described(
            "PostgreSQL: the schema with _connector_checkpoints, where positions are kept. Default: where the connector's positions are "
            "already; else the schema of its tables, if that is one; else the first of the connection's search_path.",
            pattern="^[^.]+$",
            maxLength=63,
        ),
    ] = ""
    options: Annotated[
        dict[str, str],
        described(
            "Options of the dataset that are no secrets, as texts; docs/dataset-options.md has those of each dataset.",
            maxProperties=64,
        ),
    ] = {}
    options_from: Annotated[
        tuple[OptionSource, ...],
        described(
            "Secrets whose keys are further options, such as passwords and certificates. A later Secret wins over an earlier one, and "
            "all win over options.",
            maxItems=10,
        ),
    ] = ()


class DatasetStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What the operator observes. Only the operator writes it."""

    observed_generation: ObservedGeneration = -1
    connectors: Annotated[int, described("How many connectors use this Dataset.")] = 0
    running: Annotated[int, described("How many of them have a live execution.")] = 0
    outdated: Annotated[int, described("How many of those still run with an earlier spec of this Dataset.")] = 0
    hash: Annotated[str, described("Hash of the spec that this status is about.")] = ""
    changed_at: Annotated[str, described("When that spec was first seen.")] = ""
    conditions: Conditions = ()


def _rule(
    holds: str,
    message: str,
    field: str,
    is_kept: Callable[[DatasetSpec], bool] | None = None,
    *,
    is_cluster_only: bool = False,
) -> Rule:
    """A rule that ignores an unchanged spec, so that a new rule never makes an old object impossible to change."""
    holds = f"(oldSelf.hasValue() && oldSelf.value() == self) || {holds}"
    return Rule(
        holds=holds, message=message, field=field, with_old=True, is_kept=is_kept, is_cluster_only=is_cluster_only
    )


def _form_rule(sink: str, pattern: str, expected: str) -> Rule:
    """The rule for the form of one sink's URLs; `url_problems` checks the same in Python, and more."""
    schemes = [sink, *(alias for alias, meant in SCHEME_ALIASES.items() if meant == sink)]
    is_other = f"!(self.url.split(':')[0] in {json.dumps(schemes)})"
    return _rule(f"!has(self.url) || {is_other} || self.url.matches({json.dumps(pattern)})", expected, ".url")


def _option_rule(descriptor: Descriptor) -> Rule:
    """The rule for the names of one dataset's options; `dataset_options` checks the same in Python, and more."""
    is_other = f"!has(self.url) || !(self.url.split(':')[0] in {json.dumps(descriptor.schemes)})"
    written = [name for name, option in descriptor.options.items() if not option.is_secret]
    message = (
        f"{descriptor.title} takes here {', '.join(written)}; secrets come from optionsFrom"
        if written
        else f"{descriptor.title} has no options"
    )
    if written:
        holds = f"!has(self.options) || self.options.all(name, name in {json.dumps(written)})"
    else:
        holds = "(!has(self.options) || self.options.size() == 0) && (!has(self.optionsFrom) || self.optionsFrom.size() == 0)"
    return _rule(f"{is_other} || ({holds})", message, ".options")


_FILES = ", ".join(f"'{scheme}'" for scheme in FILE_SCHEMES)
_WITH_SCHEMAS = ", ".join(f"'{scheme}'" for scheme in DESCRIPTORS["postgresql"].schemes)
_READY = '.status.conditions[?(@.type=="Ready")]'
DATASET = Kind(
    name="Dataset",
    plural=naming.DATASETS,
    short="dset",
    description="A Dataset is where connectors put their rows; one named default serves every datasetId without its own.",
    spec=DatasetSpec,
    status=DatasetStatus,
    columns=(
        Column("Mode", ".spec.writeMode", "upsert (also when empty) or append."),
        Column("Connectors", ".status.connectors", "How many connectors use it."),
        Column("Running", ".status.running", "How many of them run."),
        Column("Ready", f"{_READY}.status", "Whether it can be used."),
        Column("Reason", f"{_READY}.reason", "Why."),
        Column("Age", ".metadata.creationTimestamp"),
        Column("Message", f"{_READY}.message", "Why, in a sentence.", is_wide=True),
    ),
    selectable=(".spec.volumeClaim",),
    spec_rules=(
        _rule(
            "has(self.url) != has(self.urlFrom)",
            "give either url or urlFrom",
            ".url",
            lambda spec: bool(spec.url) != (spec.url_from is not None),
        ),
        _rule(
            f"!has(self.url) || !self.url.matches('{PASSWORD_PATTERN}')",
            "holds a password; put the URL into a Secret and name it in urlFrom",
            ".url",
            lambda spec: not re.match(PASSWORD_PATTERN, spec.url),
            is_cluster_only=True,
        ),
        _rule(
            f"!has(self.url) || !(self.url.split(':')[0] in [{_FILES}]) || has(self.volumeClaim)",
            VOLUME_NEEDED,
            ".volumeClaim",
            lambda spec: spec.url.partition(":")[0] not in FILE_SCHEMES or bool(spec.volume_claim),
            is_cluster_only=True,
        ),
        _rule(f"!has(self.url) || self.url.split(':')[0] in {json.dumps(known_schemes())}", scheme_problem(), ".url"),
        _rule(
            f"!has(self.ledgerSchema) || !has(self.url) || self.url.split(':')[0] in [{_WITH_SCHEMAS}]",
            LEDGER_SCHEMA_NEEDS,
            ".ledgerSchema",
            lambda spec: not spec.ledger_schema or not spec.url or sink_of(spec.url) == "postgresql",
        ),
        *(_form_rule(sink, *form) for sink, form in FORMS.items()),
        *(_option_rule(descriptor) for descriptor in DESCRIPTORS.values()),
    ),
)
