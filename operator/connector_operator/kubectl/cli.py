"""`kubectl connectors`, also as `connectors`: the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector_operator.kubectl.cluster import Cluster

SHELLS = ("bash", "zsh", "fish")
HIDDEN = "__complete"
"""The command by which shells ask for completions; what follows it is no command line of its own."""
FAILED = 1
INTERRUPTED = 130
CHANGES = {
    "start": "ask connectors to run",
    "stop": "ask connectors to commit and end",
    "restart": "replace the running executions once",
    "rediscover": "list the streams again",
}

PLACES = {
    "status": ("commands", "show_status"),
    "why": ("commands", "show_why"),
    "streams": ("commands", "show_streams"),
    "logs": ("commands", "show_logs"),
    "check": ("checking", "show_check"),
    "rows": ("newest", "show_rows"),
    "top": ("top", "show_top"),
    "delete": ("deleting", "delete"),
}
"""The module and function of each command that is no change of spec; imported when it is typed, since some take long."""


def build_parser() -> argparse.ArgumentParser:
    """The command line; kubectl's own flags may come before or after the subcommand."""
    parser = argparse.ArgumentParser(
        prog="kubectl connectors", description="Shows connectors and acts on them, with your own rights."
    )
    _add_login(parser, "")
    login = argparse.ArgumentParser(add_help=False)
    _add_login(login, argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    status = commands.add_parser("status", parents=[login], help="a table of the connectors")
    status.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    status.add_argument("-w", "--watch", action="store_true", help="go on showing changes until Ctrl-C")
    _add_output(status)
    top = commands.add_parser("top", parents=[login], help="rows a second, lag, CPU and memory of what runs")
    top.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    top.add_argument("--seconds", type=float, default=2.0, help="between two looks at the metrics (default 2)")
    top.add_argument("name", nargs="?", default=None, metavar="NAME", help="the connector; default: all")
    _add_output(top)
    why = commands.add_parser("why", parents=[login], help="what a connector waits for, since when, and what to do")
    _add_output(why)
    streams = commands.add_parser("streams", parents=[login], help="the streams of a connector's source")
    streams.add_argument("--like", default="", metavar="PATTERN", help="only those that a pattern takes in: 'shop.*'")
    streams.add_argument(
        "--all",
        action="store_true",
        dest="every",
        help="list them again by a Job, also those that the status leaves out",
    )
    _add_job(streams, 300)
    _add_output(streams)
    logs = commands.add_parser("logs", parents=[login], help="the log of the live execution")
    logs.add_argument("-f", "--follow", action="store_true", help="go on, also with the next executions, until Ctrl-C")
    check = commands.add_parser("check", parents=[login], help="whether a run would work, by a Job that writes nothing")
    _add_job(check, 180)
    _add_output(check)
    rows = commands.add_parser("rows", parents=[login], help="the newest rows in the dataset, by a Job that reads them")
    rows.add_argument("--stream", default="", help="which one, of a connector with many")
    rows.add_argument("--limit", type=int, default=20, help="how many (default 20)")
    rows.add_argument("--wide", action="store_true", help="all columns, also those too wide for the terminal")
    rows.add_argument("--vertical", action="store_true", help="a line for each value instead of a table")
    _add_job(rows, 120)
    _add_output(rows)
    for command in (why, streams, logs, check, rows):
        command.add_argument("name", metavar="NAME", help="the connector")
    _add_new(
        commands.add_parser(
            "new", parents=[login], help="write the manifest of a connector, asking for what is missing"
        )
    )
    delete = commands.add_parser("delete", parents=[login], help="delete connectors; the rows in the dataset stay")
    delete.add_argument("--yes", action="store_true", help="without asking")
    delete.add_argument("names", nargs="+", metavar="NAME", help="the connectors")
    completion = commands.add_parser("completion", help="a script that makes your shell complete commands and names")
    completion.add_argument("shell", choices=SHELLS, help="which shell")
    for name, text in CHANGES.items():
        command = commands.add_parser(name, parents=[login], help=text)
        command.add_argument("names", nargs="+", metavar="NAME", help="the connectors")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console scripts; returns the exit code: 0, 1 if anything was refused, 2 for wrong usage."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [HIDDEN]:
        from connector_operator.kubectl.completing import print_offers

        return print_offers(arguments[1:])
    flags = build_parser().parse_args(arguments)
    missing = [package for package in ("rich", "urllib3") if find_spec(package) is None]
    if missing:
        from connector_runner.schemas.extras import say_install

        sys.stderr.write(f"{' and '.join(missing)} not installed: {say_install('plugin')}\n")
        return FAILED
    from connector_operator.kubectl.named import check_names
    from connector_operator.kubectl.refusals import RefusedError
    from connector_runner.schemas.printable import printable_lines

    try:
        check_names(flags)
        return _run(flags)
    except RefusedError as error:
        sys.stderr.write(f"{printable_lines(str(error))}\n")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # such as `| head`; nothing more can be written, not even at the interpreter's end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _run(flags: argparse.Namespace) -> int:
    if flags.command == "completion":
        from connector_operator.kubectl.completing import print_script

        return print_script(flags.shell)
    if flags.command == "new":
        from connector_operator.kubectl.creating import create

        return create(flags)
    from connector_operator.kubectl.cluster import Cluster, Login
    from connector_operator.kubectl.named import check_namespace

    cluster = Cluster(Login(flags.kubeconfig, flags.context, flags.acting_as))
    flags.namespace = flags.namespace or cluster.namespace
    check_namespace(flags.namespace)
    module, function = PLACES.get(flags.command, ("commands", "change"))
    shown: Callable[[Cluster, argparse.Namespace], int] = getattr(
        import_module(f"connector_operator.kubectl.{module}"), function
    )
    return shown(cluster, flags)


def _add_login(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("-n", "--namespace", default=default, help="default: that of the context")
    parser.add_argument("--context", default=default, help="a context of the kubeconfig; default: the current one")
    parser.add_argument(
        "--kubeconfig", default=default, metavar="FILE", help="default: KUBECONFIG, else ~/.kube/config"
    )
    parser.add_argument("--as", dest="acting_as", default=default, metavar="USER", help="act as another user")


def _add_new(new: argparse.ArgumentParser) -> None:
    new.add_argument("type", metavar="TYPE", help="COINBASE, ETHEREUM or MYSQL")
    new.add_argument("--name", default="", dest="name_given", metavar="NAME", help="of the connector")
    new.add_argument("--dataset", default="", metavar="ID", help="where its rows go; default: the namespace's default")
    new.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="a property of spec.config; repeat it"
    )
    new.add_argument(
        "--secret", action="append", default=[], metavar="NAME", help="a Secret that has the others; repeat it"
    )
    new.add_argument(
        "--stream", action="append", default=[], metavar="PATTERN", help="a stream, or a pattern; repeat it"
    )
    new.add_argument("--start", action="store_true", help="run at once")
    new.add_argument("--file", default="", metavar="FILE", help="where the manifest goes; default: the output")
    new.add_argument(
        "--apply", action="store_true", help="give it to the API server instead of writing it to the output"
    )
    new.add_argument("--overwrite", action="store_true", help="change a connector of this name that is there already")
    new.add_argument("--dry-run", action="store_true", help="only have the API server check it")


def _add_job(parser: argparse.ArgumentParser, seconds: int) -> None:
    parser.add_argument("--image", default="", help="the runner's image; default: the one that the connector had last")
    parser.add_argument(
        "--timeout", type=int, default=seconds, metavar="SECONDS", help=f"how long to wait (default {seconds})"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default: table")
