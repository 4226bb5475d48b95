"""`delete`: asks for the name, since a connector's position can't be brought back by Ctrl-Z."""

from __future__ import annotations

import sys
from argparse import Namespace

from connector_operator.kubectl.cluster import Cluster
from connector_operator.kubectl.commands import FAILED, or_nearest
from connector_operator.kubectl.refusals import RefusedError
from connector_runner.schemas.printable import printable_lines


def delete(cluster: Cluster, flags: Namespace) -> int:
    """`delete`: each name, also after one that fails.

    Raises:
        RefusedError: Nobody could confirm.
    """
    failed = 0
    for name in flags.names:
        if not flags.yes and not is_confirmed(name, flags.namespace):
            sys.stderr.write(f"{name}: not deleted\n")
            failed = FAILED
            continue
        try:
            or_nearest(cluster, flags.namespace, name, lambda each: cluster.delete(flags.namespace, each))
        except RefusedError as error:
            failed = FAILED
            sys.stderr.write(f"{name}: {printable_lines(str(error))}\n")
        else:
            sys.stdout.write(f"{name}: deleted; the operator ends its execution, the rows stay in the dataset\n")
    return failed


def is_confirmed(name: str, namespace: str) -> bool:
    """Whether the person at the terminal has typed the name.

    Raises:
        RefusedError: There is no terminal.
    """
    if not sys.stdin.isatty():
        raise RefusedError("Nobody is there to be asked: repeat it with --yes.")
    sys.stderr.write(f"{name} in the namespace {namespace} will be deleted. Type its name to confirm: ")
    sys.stderr.flush()
    return bool(name) and sys.stdin.readline().strip() == name
