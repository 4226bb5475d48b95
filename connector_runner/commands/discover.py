"""`connector-runner discover`: the streams that a configuration can have."""

from __future__ import annotations

import json
import sys

import msgspec

from connector_runner.commands.session import build_source_context, write_termination
from connector_runner.log import LineLog
from connector_runner.orders import Orders
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.redaction import Redactor
from connector_runner.registry import SourceRegistry
from connector_runner.schemas.catalogue import Catalogue, StreamInfo, encode_line, summarise
from connector_runner.schemas.outcome import ExitCode


async def discover(
    orders: Orders, registry: SourceRegistry, log: LineLog, redactor: Redactor, *, tagged: bool, as_json: bool
) -> ExitCode:
    """Runs one discovery.

    Args:
        orders: The orders of the connector whose source is used.
        registry: Where the connector type is found.
        log: Receives what the source reports meanwhile.
        redactor: Receives the secrets.
        tagged: In a pod: writes one line that the operator finds in the log, and its proof to the termination message.
        as_json: By hand: prints the whole catalogue with all columns.

    Raises:
        ConnectorError: The discovery failed; the error says why.
    """
    context = build_source_context(orders, registry, Telemetry(log, NoMeters()), redactor)
    source = registry.build(orders.manifest.connector_type, context)
    selected = orders.manifest.stream or None
    try:
        catalogue = await source.discover(selected, orders.manifest.also)
    finally:
        await source.close()
    if tagged:
        line, proof = encode_line(summarise(catalogue, selected, orders.manifest.also))
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        write_termination(proof.encode())
    elif as_json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(catalogue), indent=2) + "\n")
    else:
        _print_table(catalogue)
    return ExitCode.END_OF_STREAM


def _print_table(catalogue: Catalogue) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("STREAM", "KEY", "MODES", "COLUMNS", "ROWS", box=None, pad_edge=False)
    for stream in catalogue.streams:
        table.add_row(stream.id, ", ".join(stream.key) or "-", ", ".join(stream.modes) or "-", _columns(stream),
                      "-" if stream.rows is None else f"{stream.rows:,}")  # fmt: skip
    console = Console()
    console.print(table)
    if catalogue.total > len(catalogue.streams):
        console.print(f"{catalogue.total - len(catalogue.streams)} more are not listed")
    for note in catalogue.notes:
        console.print(f"note: {note}", markup=False)


def _columns(stream: StreamInfo) -> str:
    names = [column.name for column in stream.columns]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "") or "-"
