"""Shared by the commands: builds contexts from orders, and turns an end into an exit code and a termination message."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from connector_runner.log import LineLog
from connector_runner.orders import Orders
from connector_runner.protocols.errors import (
    ActionRequiredError,
    ClaimRefusedError,
    ConnectorError,
    InvalidConfigError,
    TakenOverError,
)
from connector_runner.protocols.sink import RefusedRows, SinkContext
from connector_runner.protocols.source import Report, SourceContext, WriteMode
from connector_runner.redaction import Redactor
from connector_runner.registry import SourceRegistry
from connector_runner.schemas.config import Schema
from connector_runner.schemas.dataset_options import find_secret_options, option_problems
from connector_runner.schemas.manifest import TERMINATION_LOG_VARIABLE
from connector_runner.schemas.outcome import ExitCode, Termination, encode_termination

Choice = TypeVar("Choice", WriteMode, RefusedRows)


def build_source_context(orders: Orders, registry: SourceRegistry, report: Report, redactor: Redactor) -> SourceContext:
    """Builds the context of a source with the present configuration.

    Raises:
        InvalidConfigError: The configuration is not valid.
    """
    schema = (
        registry.schema(orders.manifest.connector_type) if orders.manifest.connector_type in registry.types() else {}
    )
    for secret in orders.select_secrets(schema):
        redactor.learn(text.strip() for path, text in secret.values.items() if _is_secret(schema, path))
    config = orders.config(registry)
    redactor.learn(_secrets_in(config, schema))
    isolates = orders.manifest.on_stream_failure == "isolate"
    return SourceContext(config, orders.connector, write_mode_of(orders), report, isolates=isolates)


def _is_secret(schema: Schema, path: str) -> bool:
    """Whether a key of a Secret (`ssl.key`, `headers.Authorization`) is a secret of the schema, or part of one."""
    for part in path.split("."):
        schema = schema.get("properties", {}).get(part, {})
        if schema.get("format") == "password":
            return True
    return False


def _secrets_in(value: Any, schema: Schema) -> Iterator[object]:
    """The values that the schema marks as secret, at any depth."""
    if schema.get("format") == "password":
        yield value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _secrets_in(part, schema.get("properties", {}).get(name, {}))


def write_mode_of(orders: Orders) -> WriteMode:
    """How the dataset stores rows; a discovery has none, and gets the default."""
    dataset = orders.manifest.dataset
    return WriteMode.UPSERT if dataset is None else _choice(WriteMode, dataset.write_mode, "dataset.writeMode")


def _choice(kind: type[Choice], text: str, path: str) -> Choice:
    try:
        return kind(text)
    except ValueError:
        raise InvalidConfigError([f"{path}: {text!r} is not one of {', '.join(kind)}"]) from None


def build_sink_context(
    orders: Orders, redactor: Redactor, tables: Mapping[str, str] | None = None, selection: str = ""
) -> SinkContext:
    """Builds the context of the orders' dataset.

    Args:
        orders: The orders.
        redactor: Receives the URL's secrets.
        tables: The tables of a selection, by stream; None for the selected stream alone.
        selection: What the ledger records of the selection.

    Raises:
        InvalidConfigError: The orders' dataset is not valid.
    """
    target = orders.target()

    def read_url() -> str:
        url = orders.read_url()
        redactor.learn_url(url)
        return url

    def read_options() -> Mapping[str, str]:
        return read_dataset_options(orders, redactor)

    if target.options or target.options_from:
        read_options()  # also for a dataset that never asks: what is set there must not be ignored
    return SinkContext(
        read_url=read_url, tables={orders.manifest.stream: target.table} if tables is None else tables,
        is_selection=tables is not None, selection=selection, connector=orders.connector,
        isolates=tables is not None and orders.manifest.on_stream_failure == "isolate",
        uid=orders.manifest.uid, run=orders.manifest.run, unmoved=orders.manifest.unmoved,
        take_over=orders.manifest.take_over, write_mode=write_mode_of(orders),
        refused_rows=_choice(RefusedRows, target.refused_rows, "dataset.refusedRows"), wait=orders.manifest.wait,
        directory=orders.directory, ledger_schema=target.ledger_schema, read_options=read_options,
    )  # fmt: skip


def read_dataset_options(orders: Orders, redactor: Redactor) -> Mapping[str, str]:
    """The present options of the orders' dataset.

    Args:
        orders: The orders.
        redactor: Receives the secrets among them.

    Raises:
        InvalidConfigError: They are not valid; the error has every problem with its path, and no value.
    """
    given, url = orders.read_options(), orders.read_url()
    hidden = find_secret_options(url)
    redactor.learn(text for name, text in given.values.items() if name in hidden)
    if problems := option_problems(url, given):
        raise InvalidConfigError([f"dataset.{problem}" for problem in problems], reason="InvalidDataset")
    return given.values


def conclude(error: BaseException, log: LineLog, redactor: Redactor) -> ExitCode:
    """Reports why a command failed: in the log, in the termination message, and by the exit code."""
    if isinstance(error, ConnectorError):
        reason, message = error.reason, error.message
        log("error", message, reason=reason)
    else:
        reason, message = "Crashed", f"{type(error).__name__}: {error}"
        log("error", message, reason=reason, traceback="".join(traceback.format_exception(error)))
    said = Termination(reason, redactor.clean(message), is_taken_over=isinstance(error, TakenOverError))
    if isinstance(error, ConnectorError) and error.is_of_stream:
        said = msgspec.structs.replace(said, is_of_stream=True)
    if isinstance(error, ClaimRefusedError):
        said = msgspec.structs.replace(said, held_by_run=error.run, held_mark=error.mark)
    write_termination(encode_termination(said))
    return ExitCode.ACTION_REQUIRED if isinstance(error, ActionRequiredError) else ExitCode.TRANSIENT


def write_termination(message: bytes) -> None:
    """Writes the termination message where Kubernetes reads it; for a run by hand writes nothing."""
    path = os.environ.get(TERMINATION_LOG_VARIABLE)
    if path:
        try:
            Path(path).write_bytes(message)
        except OSError as error:
            os.write(2, f"the termination message could not be written to {path}: {error.strerror}\n".encode())
