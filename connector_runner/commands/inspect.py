"""`connector-runner schema | rows | checkpoint`: inspecting schemas and datasets, and resetting a stream."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from connector_runner.datasets.dead_letters import json_value
from connector_runner.orders import Orders
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.protocols.sink import Inspector
from connector_runner.redaction import Redactor
from connector_runner.registry import SourceRegistry, build_inspector
from connector_runner.schemas.connector import build_connector_schema
from connector_runner.schemas.outcome import ExitCode


def print_schemas(registry: SourceRegistry, connector_type: str | None) -> ExitCode:
    """Prints a JSON array with the schema of one type, or of all types.

    Raises:
        InvalidConfigError: There is no such type.
    """
    wanted = [connector_type.upper()] if connector_type else registry.types()
    try:
        schemas = [build_connector_schema(registry.schema(name), registry.types()) for name in wanted]
    except LookupError as error:
        raise InvalidConfigError([str(error.args[0])]) from None
    sys.stdout.write(json.dumps(schemas, indent=2) + "\n")
    return ExitCode.END_OF_STREAM


def _inspect(orders: Orders, redactor: Redactor) -> Inspector:
    from connector_runner.commands.session import build_sink_context

    return build_inspector(build_sink_context(orders, redactor))


def print_rows(orders: Orders, redactor: Redactor, limit: int, output: str) -> ExitCode:
    """Prints the rows that were inserted last, newest last (see `Inspector.newest_rows`)."""
    inspector = _inspect(orders, redactor)
    try:
        names, rows = inspector.newest_rows(limit)
    finally:
        inspector.close()
    if output == "json":
        for row in rows:
            values = dict(zip(names, map(json_value, row), strict=True))
            sys.stdout.write(json.dumps(values, default=str) + "\n")
    elif output == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(names)
        writer.writerows([json_value(value) for value in row] for row in rows)
    else:
        _print_rows_table(names, rows, orders.target().table)
    return ExitCode.END_OF_STREAM


def _print_rows_table(names: Sequence[str], rows: Sequence[Sequence[Any]], title: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not names:
        console.print(f"table {title} does not exist yet", markup=False)
        return
    table = Table(*names, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text("" if value is None else str(json_value(value))[:60]) for value in row))
    console.print(table)


def print_checkpoints(orders: Orders, redactor: Redactor) -> ExitCode:
    """Prints the stream's checkpoint in the dataset, as JSON.

    Raises:
        InvalidConfigError: The dataset knows nothing of it.
    """
    inspector = _inspect(orders, redactor)
    try:
        found = inspector.checkpoints()
    finally:
        inspector.close()
    if not found:
        raise _no_checkpoint(orders)
    sys.stdout.write(json.dumps([asdict(checkpoint) for checkpoint in found], indent=2, default=str) + "\n")
    return ExitCode.END_OF_STREAM


def reset_checkpoints(orders: Orders, redactor: Redactor, *, confirmed: bool) -> ExitCode:
    """Deletes the position, so that the next run starts from the beginning; the rows are kept.

    Raises:
        InvalidConfigError: Nobody could confirm, or the dataset knows nothing of this stream.
    """
    target, stream = orders.target(), orders.manifest.stream
    if not confirmed:
        if not sys.stdin.isatty():
            raise InvalidConfigError(["checkpoint reset: nobody to ask; repeat it with --yes"])
        sys.stdout.write(
            f"The position of stream {stream} in table {target.table} will be forgotten, and a running execution is fenced "
            f"off. The next one starts from the beginning{'' if target.write_mode == 'upsert' else ' and appends all rows again'}. "
            "Type yes: "
        )
        sys.stdout.flush()
        if sys.stdin.readline().strip().lower() != "yes":
            sys.stdout.write("nothing was changed\n")
            return ExitCode.END_OF_STREAM
    inspector = _inspect(orders, redactor)
    try:
        count = inspector.reset_checkpoints()
    finally:
        inspector.close()
    if not count:
        raise _no_checkpoint(orders)
    sys.stdout.write(f"{count} checkpoint(s) reset\n")
    return ExitCode.END_OF_STREAM


def _no_checkpoint(orders: Orders) -> InvalidConfigError:
    return InvalidConfigError(
        [
            f"the dataset has no checkpoint of connector {orders.connector}, stream {orders.manifest.stream}, table "
            f"{orders.target().table}; was it applied to another namespace (--namespace), or has it never run?"
        ],
        reason="NoCheckpoint",
    )
