"""`check`: a Job that asks whether a run would work, made, read and removed with the rights of who types it."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator

from connector_operator.kubectl.asking import asking
from connector_operator.kubectl.cluster import Cluster, Json
from connector_operator.kubectl.commands import get_connector
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.workloads.asked_jobs import NotPossibleError, UnknownImageError
from connector_operator.workloads.check_jobs import build_check_job
from connector_runner.schemas.printable import printable

LOG_LINE = '{"time":'
"""How the lines begin that the runner writes for programs, between those of the report."""


def show_check(cluster: Cluster, flags: Namespace) -> int:
    """`check`; returns the exit code of the check."""
    body = build_job(get_connector(cluster, flags), cluster.list_datasets(flags.namespace)["items"], flags)
    is_whole = flags.output == "json" and not sys.stdout.isatty()
    with asking(cluster, flags.namespace, body, flags.timeout, f"The check of {flags.name}") as (code, pod):
        for line in report_of(cluster.read_log(flags.namespace, pod["metadata"]["name"])):
            sys.stdout.write(f"{line if is_whole else printable(line)}\n")
    return code


def build_job(connector: Json, datasets: list[Json], flags: Namespace) -> Json:
    """The Job of a check.

    Args:
        connector: The Connector.
        datasets: All Datasets of its namespace.
        flags: `image`, `timeout`, `output`.

    Raises:
        RefusedError: Something is missing without which there is nothing to check.
    """
    arguments = () if flags.output == "table" else ("-o", flags.output)
    try:
        return build_check_job(connector, datasets, flags.timeout, arguments, flags.image)
    except UnknownImageError as error:
        raise RefusedError(f"{error} Or name one by --image.") from None
    except NotPossibleError as error:
        raise RefusedError(f"{error} There is nothing to check.") from None


def report_of(lines: Iterator[str]) -> Iterator[str]:
    """The lines of the report, without the runner's log."""
    return (line for line in lines if not line.startswith(LOG_LINE))
