"""The command line; see docs/runner.md.

Heavy modules are imported where they are needed, so that a runner starts without importing what it does not use.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from connector_runner.commands.session import conclude
from connector_runner.log import LineLog, libraries_logged
from connector_runner.manifests import orders_from_environment, orders_from_file
from connector_runner.orders import Orders
from connector_runner.redaction import Redactor
from connector_runner.registry import FolderRegistry, SourceRegistry
from connector_runner.schemas.manifest import MANIFEST_VARIABLE, PROBE_ADDRESS_VARIABLE

EPILOG = "Exit codes: 0 the stream has ended, 1 try again, 2 wrong command line, 78 a person must act, 130 interrupted (Ctrl-C) before it ran, 143 stopped."


def build_parser() -> argparse.ArgumentParser:
    """All commands and options."""
    parser = argparse.ArgumentParser(
        prog="connector-runner", description="Carries streams of a source into a dataset.", epilog=EPILOG
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    schema = commands.add_parser("schema", help="print the schema of a connector type (default: all)")
    schema.add_argument("type", nargs="?", help="COINBASE, ETHEREUM or MYSQL")
    discover = commands.add_parser("discover", help="list the streams of a source")
    outputs = ["table", "json", "yaml", "lines"]
    discover.add_argument("-o", "--output", choices=outputs, help="default: table; lines: one of JSON for each stream")
    discover.add_argument("--like", default="", metavar="PATTERN", help="only streams that it takes in: 'shop.*'")
    check = commands.add_parser("check", help="say whether a run would work, without writing anything")
    check.add_argument("-o", "--output", choices=["table", "json"], default="table")
    run = commands.add_parser("run", help="carry the selected streams into the dataset until stopped")
    run.add_argument("--probe-address", help="serve /healthz, /readyz and /metrics on host:port")
    rows = commands.add_parser("rows", help="look at the newest rows of the dataset")
    rows.add_argument("--limit", type=int, default=20, help="how many (default 20)")
    rows.add_argument("-o", "--output", choices=["table", "json", "csv"], default="table")
    rows.add_argument("--wide", action="store_true", help="all columns, also those too wide for the terminal")
    rows.add_argument("--vertical", action="store_true", help="a line for each value instead of a table")
    checkpoint = commands.add_parser("checkpoint", help="look at the position in the dataset, or start over")
    checkpoint.add_argument("action", choices=["show", "reset"])
    checkpoint.add_argument("--yes", action="store_true", help="reset without asking")
    checkpoint.add_argument("--all", action="store_true", help="reset all streams of the manifest's selection")
    for command in (discover, check, run, rows, checkpoint):
        command.add_argument(
            "-f", "--file", type=Path, help="manifest with Connector and, as needed, Dataset and Secret"
        )
        command.add_argument("--name", help="which Connector, if the manifest has several")
        command.add_argument("--stream", help="instead of the manifest's selectedStream; one of its streams")
        command.add_argument("-n", "--namespace", help="that the manifest is applied to (default: its own, or default)")
    return parser


def main(argv: Sequence[str] | None = None, registry: SourceRegistry | None = None) -> int:
    """Runs one command.

    Args:
        argv: The command line without the program's name.
        registry: Where sources are found; by default the program's own folders.

    Returns:
        The exit code.
    """
    arguments = build_parser().parse_args(argv)
    redactor = Redactor()
    log = LineLog(redactor)
    try:
        with libraries_logged(log):
            return int(_dispatch(arguments, registry or FolderRegistry(), log, redactor))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the boundary: every error becomes a log line, a message and an exit code
        return int(conclude(error, log, redactor))


def _dispatch(arguments: argparse.Namespace, registry: SourceRegistry, log: LineLog, redactor: Redactor) -> int:
    if arguments.command == "schema":
        from connector_runner.commands.inspect import print_schemas

        return print_schemas(registry, arguments.type)
    if arguments.command == "check":
        from connector_runner.commands.check import check

        as_json = arguments.output == "json"
        return asyncio.run(check(lambda: _load(arguments), registry, log, redactor, as_json=as_json))
    orders = _load(arguments)
    match arguments.command:
        case "run":
            from connector_runner.commands.run import run

            address = arguments.probe_address or os.environ.get(PROBE_ADDRESS_VARIABLE)
            return asyncio.run(run(orders, registry, log, redactor, address))
        case "discover":
            from connector_runner.commands.discover import discover

            tagged = arguments.file is None and arguments.output is None  # as the operator asks
            output, like = arguments.output or "table", arguments.like
            return asyncio.run(discover(orders, registry, log, redactor, tagged=tagged, output=output, like=like))
        case "rows":
            from connector_runner.commands.inspect import print_rows

            return print_rows(
                orders, redactor, arguments.limit, arguments.output, wide=arguments.wide, vertical=arguments.vertical
            )
        case _:
            from connector_runner.commands import inspect

            if arguments.action == "show":
                return inspect.print_checkpoints(orders, redactor)
            return inspect.reset_checkpoints(orders, redactor, confirmed=arguments.yes, of_all=arguments.all)


def _load(arguments: argparse.Namespace) -> Orders:
    if arguments.file is not None:
        orders = orders_from_file(arguments.file, arguments.name, arguments.stream)
        return orders.in_namespace(arguments.namespace) if arguments.namespace else orders
    if MANIFEST_VARIABLE not in os.environ:
        build_parser().error("give a manifest with -f FILE")
    return orders_from_environment().of_stream(arguments.stream or "")


if __name__ == "__main__":
    sys.exit(main())
