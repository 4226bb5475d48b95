"""A Dataset's spec and status as values, its validation, and how a `datasetId` finds its Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from connector_operator.resources.names import hash_value
from connector_operator.resources.reasons import Reason
from connector_runner.schemas.kinds.checks import rule_problems
from connector_runner.schemas.kinds.dataset import DatasetSpec, DatasetStatus
from connector_runner.schemas.kinds.naming import DEFAULT_DATASET, dataset_name
from connector_runner.schemas.kinds.streams import EVERY_TABLE, template_problem
from connector_runner.schemas.manifest import DatasetTarget
from connector_runner.schemas.secrets import SecretKey


class Resolution(StrEnum):
    """The result of resolving a `datasetId`."""

    RESOLVED = "resolved"
    MISSING = "missing"
    INVALID = "invalid"


class DatasetView(msgspec.Struct, frozen=True):
    """A `datasetId`, resolved for one connector.

    Attributes:
        reason: The condition's reason.
        message: A sentence; when not resolved, it says what to do.
        spec: None unless resolved.
        changed_at: When its present form was first seen; "" when not known.
    """

    resolution: Resolution
    reason: Reason
    message: str
    name: str = ""
    table: str = ""
    spec: DatasetSpec | None = None
    changed_at: str = ""

    @property
    def hash(self) -> str:
        """Hash of what a runner must know of it; "" when not resolved."""
        return "" if self.spec is None else dataset_hash(self.name, self.table, self.spec)

    def target(self) -> DatasetTarget | None:
        """The form that the runner gets; with the URL only when it holds no secret."""
        if self.spec is None:
            return None
        source = self.spec.url_from
        return DatasetTarget(
            name=self.name,
            url=self.spec.url if source is None else "",
            table=self.table,
            write_mode=self.spec.write_mode,
            refused_rows=self.spec.refused_rows,
            ledger_schema=self.spec.ledger_schema,
            url_from=None
            if source is None
            else SecretKey(name=source.secret_key_ref.name, key=source.secret_key_ref.key),
            options=self.spec.options,
            options_from=tuple(each.source() for each in self.spec.options_from),
        )


def dataset_hash(name: str, table: str, spec: DatasetSpec) -> str:
    """Hash of everything in a Dataset that a runner must know."""
    raw = msgspec.to_builtins(spec)
    raw.pop("table", None)
    return hash_value([name, table, raw])


def parse_dataset(raw: Any) -> tuple[DatasetSpec | None, tuple[str, ...]]:
    """A Dataset's spec, and everything that is wrong with it, each sentence starting with its path."""
    try:
        spec = msgspec.convert(raw, DatasetSpec)
    except msgspec.ValidationError as error:
        return None, (f"spec: {error}",)
    return spec, rule_problems(spec)


def parse_dataset_status(raw: Any) -> DatasetStatus:
    """A status as stored; an unreadable one counts as absent."""
    try:
        return msgspec.convert(raw, DatasetStatus) if isinstance(raw, dict) else DatasetStatus()
    except msgspec.ValidationError:
        return DatasetStatus()


def resolved_name(dataset_id: str, existing: Mapping[str, Any]) -> str:
    """The name of the Dataset in the namespace that a `datasetId` refers to; "" when there is none."""
    name = dataset_name(dataset_id)
    if not dataset_id:
        return ""
    return next((candidate for candidate in (name, DEFAULT_DATASET) if candidate in existing), "")


def selects_many(spec: Mapping[str, Any]) -> bool:
    """Whether a raw spec of a Connector, readable or not, selects many streams."""
    return isinstance(spec.get("streams"), dict)


def resolve_dataset(
    dataset_id: str, existing: Mapping[str, Mapping[str, Any]], *, is_many: bool = False
) -> DatasetView:
    """Finds the Dataset for a `datasetId` among the namespace's raw Datasets by name, or says what to do.

    With `is_many` the connector carries many streams: then the table is a template of their tables.
    """
    if not dataset_id:
        return DatasetView(
            Resolution.MISSING, Reason.DATASET_NOT_NAMED, "spec.datasetId is not set; name a Dataset there."
        )
    name = resolved_name(dataset_id, existing)
    if not name:
        wanted = dataset_name(dataset_id)
        return DatasetView(
            Resolution.MISSING,
            Reason.DATASET_NOT_FOUND,
            f"There is no Dataset {wanted!r} in this namespace, and none named {DEFAULT_DATASET!r}; create one of them.",
            name=wanted,
        )
    raw = existing[name]
    spec, problems = parse_dataset(raw.get("spec"))
    if spec is None or problems:
        return DatasetView(
            Resolution.INVALID, Reason.DATASET_INVALID, f"Dataset {name!r}: {'; '.join(problems)}.", name=name
        )
    table = (spec.table if name == dataset_name(dataset_id) else "") or (EVERY_TABLE if is_many else dataset_id)
    if is_many and (problem := template_problem(table)):
        return DatasetView(
            Resolution.INVALID, Reason.DATASET_INVALID, f"Dataset {name!r}: spec.table: {problem}.", name
        )
    status = parse_dataset_status(raw.get("status"))
    message = f"Rows go to {'tables' if is_many else 'table'} {table} of Dataset {name!r}."
    return DatasetView(Resolution.RESOLVED, Reason.RESOLVED, message, name, table, spec, status.changed_at)
