"""`connector-runner schema | rows | checkpoint`: inspecting schemas and datasets, and resetting a stream."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from dataclasses import asdict

from connector_runner.commands.row_table import build_list, build_table
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


def print_rows(
    orders: Orders, redactor: Redactor, limit: int, output: str, *, wide: bool = False, vertical: bool = False
) -> ExitCode:
    """Prints the rows that were inserted last, newest last (see `Inspector.newest_rows`).

    Args:
        orders: The orders of the connector.
        redactor: Receives the secrets.
        limit: How many rows.
        output: `table`, `json` (a line for each row) or `csv`.
        wide: All columns of the table, also on a terminal that is too narrow for them.
        vertical: A line for each value instead of a table.
    """
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
        lines = build_list(names, rows) if vertical else build_table(names, rows, None if wide else _terminal_width())
        lines = lines if names else [f"table {orders.target().table} does not exist yet"]
        sys.stdout.writelines(f"{line}\n" for line in lines)
    return ExitCode.END_OF_STREAM


def _terminal_width() -> int | None:
    """Columns of the terminal; None if the output goes elsewhere, where nothing must be left out."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


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
