"""`connector-runner schema | rows | checkpoint`: inspecting schemas and datasets, and resetting a stream."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict

from connector_runner.commands.row_table import build_list, build_table, show_value
from connector_runner.commands.stored import find_streams, name_some
from connector_runner.datasets.dead_letters import json_value
from connector_runner.orders import Orders
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.protocols.sink import SinkContext, StoredCheckpoint
from connector_runner.protocols.source import WriteMode
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

    Raises:
        InvalidConfigError: There are many streams, and none was named.
    """
    context = find_streams(orders, redactor)
    if len(context.tables) != 1:
        raise InvalidConfigError([f"rows: say which with --stream; the dataset has {name_some(context.tables)}"])
    (table,) = context.tables.values()
    inspector = build_inspector(context)
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
        show = show_value if sys.stdout.isatty() else json_value  # only a terminal obeys what a value says
        writer.writerow(names)
        writer.writerows([show(value) for value in row] for row in rows)
    else:
        lines = build_list(names, rows) if vertical else build_table(names, rows, None if wide else _terminal_width())
        lines = lines if names else [f"table {table} does not exist yet"]
        sys.stdout.writelines(f"{line}\n" for line in lines)
    return ExitCode.END_OF_STREAM


def _terminal_width() -> int | None:
    """Columns of the terminal; None if the output goes elsewhere, where nothing must be left out."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_checkpoints(orders: Orders, redactor: Redactor) -> ExitCode:
    """Prints the stream's checkpoint in the dataset as JSON; of a selection a table of all.

    Raises:
        InvalidConfigError: The dataset knows nothing of it.
    """
    context = find_streams(orders, redactor)
    if not context.tables or not (found := _read_checkpoints(context)):
        raise _no_checkpoint(orders)
    if orders.manifest.streams is not None and not orders.only:
        _print_checkpoints_table(found)
    else:
        sys.stdout.write(json.dumps([asdict(checkpoint) for checkpoint in found], indent=2, default=str) + "\n")
    return ExitCode.END_OF_STREAM


def _read_checkpoints(context: SinkContext) -> Sequence[StoredCheckpoint]:
    inspector = build_inspector(context)
    try:
        return inspector.checkpoints()
    finally:
        inspector.close()


def _print_checkpoints_table(found: Sequence[StoredCheckpoint]) -> None:
    names = ("STREAM", "TABLE", "RUN", "COMMITTED", "HAS A POSITION")
    rows = [
        (one.stream, one.table, one.run or "-", one.updated, "no" if one.position is None else "yes") for one in found
    ]
    lines = [*build_table(names, rows, None), "a whole position: --stream NAME"]
    sys.stdout.writelines(f"{line}\n" for line in lines)


def reset_checkpoints(orders: Orders, redactor: Redactor, *, confirmed: bool, of_all: bool = False) -> ExitCode:
    """Deletes positions, so that the next run starts from the beginning; the rows are kept.

    Args:
        orders: The connector and its dataset.
        redactor: Receives the secrets.
        confirmed: Whether nobody has to be asked.
        of_all: Whether all streams of a selection are meant.

    Raises:
        InvalidConfigError: Nobody could confirm, the dataset knows nothing of this stream, or no stream of a selection was named.
    """
    context = find_streams(orders, redactor)
    if orders.manifest.streams is not None and not orders.only and not of_all:
        raise InvalidConfigError(
            [f"checkpoint reset: say which with --stream, or --all; the dataset has {name_some(context.tables)}"]
        )
    if not context.tables:
        raise _no_checkpoint(orders)
    if not confirmed:
        if not sys.stdin.isatty():
            raise InvalidConfigError(["checkpoint reset: nobody to ask; repeat it with --yes"])
        sys.stdout.write(_question(context))
        sys.stdout.flush()
        if sys.stdin.readline().strip().lower() != "yes":
            sys.stdout.write("nothing was changed\n")
            return ExitCode.END_OF_STREAM
    inspector = build_inspector(context)
    try:
        count = inspector.reset_checkpoints()
    finally:
        inspector.close()
    if not count:
        raise _no_checkpoint(orders)
    sys.stdout.write(f"{count} checkpoint(s) reset\n")
    return ExitCode.END_OF_STREAM


def _question(context: SinkContext) -> str:
    if len(context.tables) == 1:
        ((stream, table),) = context.tables.items()
        what = f"The position of stream {stream} in table {table}"
    else:
        what = f"The positions of {len(context.tables)} streams"
    again = "" if context.write_mode is WriteMode.UPSERT else " and appends all rows again"
    return (
        f"{what} will be forgotten, and a running execution is fenced off. The next one starts from the beginning{again}. "
        "Type yes: "
    )


def _no_checkpoint(orders: Orders) -> InvalidConfigError:
    manifest = orders.manifest
    if manifest.streams is not None:
        which = f"stream {orders.only}" if orders.only else "any stream"
    else:
        which = f"stream {manifest.stream}, table {orders.target().table}"
    return InvalidConfigError(
        [
            f"the dataset has no checkpoint of connector {orders.connector}, {which}; was it applied to another namespace "
            "(--namespace), or has it never run?"
        ],
        reason="NoCheckpoint",
    )
