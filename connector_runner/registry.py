"""Finds sources and sinks by name; imports only the one that is requested."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol, cast

from connector_runner.datasets.dialect import Dialect
from connector_runner.protocols.check import Examiner
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.protocols.sink import Inspector, Sink, SinkContext
from connector_runner.protocols.source import Source, SourceContext
from connector_runner.schemas.config import Schema, config_schema, connector_types
from connector_runner.schemas.dataset_url import scheme_problem, sink_of


class SourceRegistry(Protocol):
    """The sources that a command knows."""

    def types(self) -> tuple[str, ...]:
        """Their names, as in `connectorType`."""

    def schema(self, connector_type: str) -> Schema:
        """The JSON Schema of a type's configuration.

        Raises:
            LookupError: There is no such type; the message lists all types.
        """

    def build(self, connector_type: str, context: SourceContext) -> Source:
        """Builds a source of that type; does no I/O."""


@dataclass(frozen=True)
class FolderRegistry:
    """The folders under `connector_runner/sources/`."""

    def types(self) -> tuple[str, ...]:
        """See `SourceRegistry`."""
        return connector_types()

    def schema(self, connector_type: str) -> Schema:
        """See `SourceRegistry`."""
        return config_schema(connector_type)

    def build(self, connector_type: str, context: SourceContext) -> Source:
        """See `SourceRegistry`."""
        module = importlib.import_module(f"connector_runner.sources.{connector_type.lower()}")
        return cast("Source", module.build_source(context))


def sink_scheme(url: str) -> str:
    """The sink's folder for a dataset's URL.

    Raises:
        InvalidConfigError: There is no such sink; the message never repeats the URL, which may hold a password.
    """
    name = sink_of(url)
    if name is None:
        raise InvalidConfigError([f"dataset.url: {scheme_problem()}"], reason="InvalidDataset")
    return name


def _sink_module(context: SinkContext) -> ModuleType:
    return importlib.import_module(f"connector_runner.sinks.{sink_scheme(context.read_url())}")


def build_sink(context: SinkContext) -> Sink:
    """Builds the sink for the URL's scheme."""
    return cast("Sink", _sink_module(context).build_sink(context))


def build_inspector(context: SinkContext, *, create: bool = False) -> Inspector:
    """Builds the inspector for the URL's scheme; `create`: a dataset that is a file may be created."""
    return cast("Inspector", _sink_module(context).build_inspector(context, create=create))


def can_examine(url: str) -> bool:
    """Whether the dataset behind a URL can be looked at without a run."""
    return hasattr(importlib.import_module(f"connector_runner.sinks.{sink_scheme(url)}"), "build_examiner")


def build_examiner(context: SinkContext) -> Examiner:
    """Builds the examiner for the URL's scheme; only if `can_examine`."""
    return cast("Examiner", _sink_module(context).build_examiner(context))


def build_dialect(url: str) -> Dialect:
    """How the dataset behind a URL distinguishes the names of tables."""
    module = importlib.import_module(f"connector_runner.sinks.{sink_scheme(url)}")
    return cast("Dialect", module.build_dialect())
