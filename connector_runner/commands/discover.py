"""`connector-runner discover`: the streams that a configuration can have."""

from __future__ import annotations

import json
import shutil
import sys

import msgspec

from connector_runner.commands.choice import exact_names
from connector_runner.commands.session import build_source_context, write_termination
from connector_runner.commands.stream_table import build_stream_lines
from connector_runner.log import LineLog
from connector_runner.orders import Orders
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.redaction import Redactor
from connector_runner.registry import SourceRegistry
from connector_runner.schemas.catalogue import Catalogue, encode_line, list_lines, summarise
from connector_runner.schemas.outcome import ExitCode
from connector_runner.schemas.selection import Selection, parse_selection


async def discover(
    orders: Orders,
    registry: SourceRegistry,
    log: LineLog,
    redactor: Redactor,
    *,
    tagged: bool,
    output: str = "table",
    like: str = "",
) -> ExitCode:
    """Runs one discovery.

    Args:
        orders: The orders of the connector whose source is used.
        registry: Where the connector type is found.
        log: Receives what the source reports meanwhile.
        redactor: Receives the secrets.
        tagged: In a pod: writes one line that the operator finds in the log, and its proof to the termination message.
        output: `table`, the catalogue with all columns as `json` or `yaml`, or `lines`: of JSON, one for each stream.
        like: Lists only the streams that this pattern takes in; "" for all.

    Raises:
        ConnectorError: The discovery failed, or the pattern can't be read; the error says why.
    """
    wanted = read_pattern(like)
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
    elif output == "table":
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        sys.stdout.writelines(f"{line}\n" for line in build_stream_lines(catalogue, selections, width, wanted))
    elif output == "lines":
        sys.stdout.writelines(f"{line}\n" for line in list_lines(_only(catalogue, wanted)))
        sys.stdout.flush()
    else:
        sys.stdout.write(format_catalogue(catalogue, wanted, output))
    return ExitCode.END_OF_STREAM


def read_pattern(like: str) -> Selection | None:
    """What `--like` takes in; None for all.

    Raises:
        InvalidConfigError: The pattern can't be read.
    """
    try:
        return parse_selection([like], path="--like") if like else None
    except ValueError as error:
        raise InvalidConfigError([str(error)]) from None


def format_catalogue(catalogue: Catalogue, like: Selection | None, output: str) -> str:
    """The catalogue as `json` or `yaml`, in ASCII; `total` counts all streams of the source, also those that `like` leaves out."""
    document = msgspec.to_builtins(_only(catalogue, like))
    if output == "yaml":
        import yaml

        return str(yaml.safe_dump(document, sort_keys=False))
    return json.dumps(document, indent=2) + "\n"


def _only(catalogue: Catalogue, like: Selection | None) -> Catalogue:
    if like is None:
        return catalogue
    chosen = tuple(stream for stream in catalogue.streams if like.takes(stream.named))
    return msgspec.structs.replace(catalogue, streams=chosen)
