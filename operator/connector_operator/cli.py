"""`connector-operator`: run, check, crds, api."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from connector_operator.api import settings as api_settings
from connector_operator.settings import SettingError, Settings, add_flags, read_settings

USAGE_EXIT_CODE = 2
FAILED_EXIT_CODE = 1


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="connector-operator", description="Carries out what Connector and Dataset resources ask for."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the operator until it is stopped")
    add_flags(run)
    check = commands.add_parser("check", help="check settings, custom resources and rights, then exit")
    add_flags(check)
    crds = commands.add_parser(
        "crds", help="print the custom resource definitions, for kubectl apply --server-side -f -"
    )
    crds.add_argument("--apply", action="store_true", help="apply them instead, unless a newer release's are installed")
    api = commands.add_parser("api", help="serve the Connectors API over HTTP until it is stopped")
    api_settings.add_flags(api)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit code."""
    flags = build_parser().parse_args(arguments)
    if flags.command == "crds":
        return asyncio.run(_apply_definitions()) if flags.apply else _print_definitions()
    try:
        if flags.command == "api":
            return asyncio.run(_serve_api(api_settings.read_settings(vars(flags), os.environ)))
        return asyncio.run(_start(flags.command, read_settings(vars(flags), os.environ)))
    except SettingError as error:
        sys.stderr.write(f"connector-operator: {error}\n")
        return USAGE_EXIT_CODE


def _print_definitions() -> int:
    from connector_operator.crds.files import build_crd_files

    sys.stdout.write("---\n".join(build_crd_files().values()))
    return 0


async def _apply_definitions() -> int:
    from connector_operator.cluster.client import ApiError, KubeClient, load_configuration
    from connector_operator.cluster.definitions import DefinitionsError, apply_definitions

    try:
        client = KubeClient(await load_configuration(), requests_per_second=10)
        try:
            names = await apply_definitions(client)
        finally:
            await client.close()
    except (ApiError, DefinitionsError) as error:
        sys.stderr.write("".join(f"connector-operator: {line}\n" for line in str(error).splitlines()))
        return FAILED_EXIT_CODE
    sys.stdout.write(f"applied and served: {', '.join(names)}\n")
    return 0


async def _start(command: str, settings: Settings) -> int:
    from connector_operator.logs import configure_logging
    from connector_operator.process import StartError, check, run

    configure_logging(settings.log_format, settings.log_level)
    try:
        await (run(settings) if command == "run" else check(settings))
    except StartError as error:
        sys.stderr.write("".join(f"connector-operator: {line}\n" for line in str(error).splitlines()))
        return FAILED_EXIT_CODE
    return 0


async def _serve_api(settings: api_settings.ApiSettings) -> int:
    from connector_operator.api.process import ServeError, serve
    from connector_operator.logs import configure_logging

    configure_logging(settings.log_format, settings.log_level)
    try:
        await serve(settings)
    except ServeError as error:
        sys.stderr.write(f"connector-operator: {error}\n")
        return FAILED_EXIT_CODE
    return 0
