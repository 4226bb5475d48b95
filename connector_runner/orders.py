"""The orders of one command: a manifest and what it refers to, with Secrets merged and the configuration checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.registry import SourceRegistry
from connector_runner.schemas.config import Schema, fill_defaults, find_problems, merge_config, path_step
from connector_runner.schemas.dataset_options import GivenOptions, find_descriptor, merge_options
from connector_runner.schemas.manifest import SELECTION_FILE, DatasetTarget, RunnerManifest
from connector_runner.schemas.orders import SelectionOrders
from connector_runner.schemas.secrets import SecretKey, SecretSource, Selected, select_properties
from connector_runner.schemas.selection import quote_name

Secrets = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Orders:
    """A manifest and what it refers to.

    Attributes:
        manifest: The manifest in the operator's form.
        read_secrets: Reads the present `configFrom` Secrets, in order.
        read_url: Reads the present URL of the dataset.
        read_option_secrets: Reads the present `optionsFrom` Secrets of the dataset, in order.
        directory: The directory that relative file URLs are resolved against.
        watched: Folders and files whose contents may be rotated.
        only: The stream that a command was given by name; "" for what the manifest selects.
        live: The folder of orders that may change while a run goes on; None by hand.
    """

    manifest: RunnerManifest
    read_secrets: Callable[[], Secrets]
    read_url: Callable[[], str]
    directory: Path
    watched: tuple[Path, ...] = ()
    only: str = ""
    live: Path | None = None
    read_option_secrets: Callable[[], Secrets] = tuple

    @property
    def connector(self) -> str:
        """`namespace/name`."""
        return f"{self.manifest.namespace}/{self.manifest.name}"

    def in_namespace(self, namespace: str) -> Orders:
        """These orders as if applied in `namespace`: a checkpoint belongs to a connector of a namespace."""
        return replace(self, manifest=msgspec.structs.replace(self.manifest, namespace=namespace))

    def of_stream(self, stream: str) -> Orders:
        """These orders with one stream of the manifest by its name; "" changes nothing."""
        if not stream:
            return self
        manifest = self.manifest
        if manifest.streams is None:
            manifest = msgspec.structs.replace(manifest, stream=stream)
        else:
            one = msgspec.structs.replace(manifest.streams, include=(quote_name(stream),), exclude=())
            manifest = msgspec.structs.replace(manifest, streams=one)
        return replace(self, manifest=manifest, only=stream)

    def config(self, registry: SourceRegistry) -> dict[str, Any]:
        """The configuration, merged with its Secrets, with defaults, and checked.

        Raises:
            InvalidConfigError: It is not valid; the error has every problem with its JSON path.
        """
        try:
            schema = registry.schema(self.manifest.connector_type)
        except LookupError as error:
            raise InvalidConfigError([str(error.args[0])]) from None
        selected = self.select_secrets(schema)
        if missing := [key for one in selected for key in one.missing]:
            raise InvalidConfigError([_explain_missing(key) for key in missing])
        merged = fill_defaults(merge_config(self.manifest.config, [one.values for one in selected], schema), schema)
        origins = {path: key for one in selected for path, key in one.origins.items()}
        problems = sorted(
            f"{where}: {message}{_origin_of(where, origins)}" for where, message in find_problems(merged, schema)
        )
        if problems:
            raise InvalidConfigError(problems)
        return merged

    def select_secrets(self, schema: Schema) -> list[Selected]:
        """The properties from each Secret, in order, read now."""
        sources = self.manifest.secrets or [SecretSource()] * self.manifest.config_from
        return [
            select_properties(values, source, schema)
            for values, source in zip(self.read_secrets(), sources, strict=True)
        ]

    def read_options(self) -> GivenOptions:
        """The options of the dataset, merged with its Secrets, read now; not checked (`dataset_options.option_problems`)."""
        target, descriptor = self.target(), find_descriptor(self.read_url())
        secrets = zip(target.options_from, self.read_option_secrets(), strict=True)
        return merge_options(target.options, secrets, {} if descriptor is None else descriptor.options)

    def read_live(self) -> SelectionOrders | None:
        """The selection that is mounted now; None if there is none, which is the rule until the selection changes.

        Raises:
            InvalidConfigError: It can't be read.
        """
        if self.live is None:
            return None
        file = self.live / SELECTION_FILE
        try:
            found = msgspec.json.decode(file.read_bytes(), type=SelectionOrders)
            found.parse()
        except OSError:  # optional
            return None
        except (msgspec.MsgspecError, ValueError) as error:
            raise InvalidConfigError([f"{file}: {error}"]) from None
        return found

    def read_mark(self) -> str:
        """What names the mounted selection, even if that can't be read; "" if there is none."""
        if self.live is None:
            return ""
        try:
            return msgspec.json.decode((self.live / SELECTION_FILE).read_bytes(), type=_Marked).mark
        except (OSError, msgspec.MsgspecError):
            return ""

    def target(self) -> DatasetTarget:
        """The dataset.

        Raises:
            InvalidConfigError: The manifest has none.
        """
        if self.manifest.dataset is None:
            raise InvalidConfigError(["dataset: is required"])
        return self.manifest.dataset


class _Marked(msgspec.Struct):
    """The part of mounted orders that every version has."""

    mark: str = ""


def _explain_missing(key: SecretKey) -> str:
    return f"configFrom: Secret {key.name!r} has no key {key.key!r}, which spec.configFrom maps; add it, or say optional: true there"


def _origin_of(where: str, origins: Mapping[str, SecretKey]) -> str:
    """The Secret and key that a wrong value comes from, in brackets; "" if it comes from spec.config."""
    for path, key in origins.items():
        place = "config" + "".join(path_step(part) for part in path.split("."))
        if where == place or where.startswith((f"{place}.", f"{place}[")):
            return f" (from {key})"
    return ""
