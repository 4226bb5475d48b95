"""`connector-runner discover`: the streams that a configuration can have."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

import msgspec

from connector_runner.commands.choice import exact_names
from connector_runner.commands.session import build_source_context, write_termination
from connector_runner.log import LineLog
from connector_runner.orders import Orders
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.redaction import Redactor
from connector_runner.registry import SourceRegistry
from connector_runner.schemas.catalogue import (
    Catalogue,
    StreamInfo,
    encode_line,
    summarise,
    summarise_selections,
)
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.outcome import ExitCode
from connector_runner.schemas.selection import Selection


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
    manifest = orders.manifest
    selected = manifest.stream or None
    selections = manifest.selections or ((manifest.streams,) if manifest.streams is not None else ())
    named = dict.fromkeys([*manifest.also, *(name for spec in selections for name in exact_names(spec))])
    try:
        catalogue = await source.discover(selected, tuple(named))
    finally:
        await source.close()
    if tagged:
        line, proof = encode_line(summarise(catalogue, selected, manifest.also, selections=selections))
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        write_termination(proof.encode())
    elif as_json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(catalogue), indent=2) + "\n")
    else:
        _print_table(catalogue, selections)
    return ExitCode.END_OF_STREAM


def _print_table(catalogue: Catalogue, selections: Sequence[StreamsSpec]) -> None:
    from rich.console import Console
    from rich.table import Table

    selected = ["SELECTED"] if selections else []
    table = Table("STREAM", *selected, "KEY", "MODES", "COLUMNS", "ROWS", box=None, pad_edge=False)
    for stream in catalogue.streams:
        marks = [_mark(stream, selections[0].parse())] if selections else []
        table.add_row(stream.id, *marks, ", ".join(stream.key) or "-", ", ".join(stream.modes) or "-", _columns(stream),
                      "-" if stream.rows is None else f"{stream.rows:,}")  # fmt: skip
    console = Console()
    console.print(table)
    if catalogue.total > len(catalogue.streams):
        console.print(f"{catalogue.total - len(catalogue.streams)} more are not listed")
    for note in (*catalogue.notes, *_selection_notes(catalogue, selections)):
        console.print(f"note: {note}", markup=False)


def _mark(stream: StreamInfo, selection: Selection) -> str:
    if not selection.takes(stream.named):
        return "-"
    return "can't be read" if stream.obstacle else "yes"


def _selection_notes(catalogue: Catalogue, selections: Sequence[StreamsSpec]) -> Iterator[str]:
    """What the selection takes, and what a person should know of it."""
    for found in summarise_selections(catalogue, selections[:1]):
        yield f"spec.streams takes {found.matched} of {catalogue.total} streams"
        for pattern, near in found.idle.items():
            yield f"nothing matches {pattern}" + (f"; did you mean {', '.join(near)}?" if near else "")
        if found.aside:
            yield f"shadow tables, which only their exact names select: {', '.join(found.aside)}"
        yield from found.problems


def _columns(stream: StreamInfo) -> str:
    names = [column.name for column in stream.columns]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "") or "-"
