"""`completion SHELL`, and the hidden commands by which shells and kubectl ask for completions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from connector_operator.kubectl.completion import SCRIPTS, complete, format_offers

FORMS = {"--described": "described", "--tabs": "tabs"}


def print_script(shell: str) -> int:
    """`completion`: the script for a shell."""
    sys.stdout.write(SCRIPTS[shell])
    return 0


def print_offers(arguments: Sequence[str]) -> int:
    """`__complete [--described | --tabs] -- WORD…`: a line for each word that may stand in place of the last one."""
    options, words = _split(arguments)
    form = next((FORMS[option] for option in options if option in FORMS), "words")
    return _print(words, form)


def main() -> int:
    """Entry point of `kubectl_complete-connectors`, which kubectl runs for its own completion."""
    return _print(sys.argv[1:], "kubectl")


def _print(words: Sequence[str], form: str) -> int:
    from connector_operator.kubectl.cli import build_parser

    sys.stdout.write(format_offers(complete(build_parser(), words, list_names), form))
    return 0


def list_names(given: argparse.Namespace) -> Sequence[str]:
    """The names of the connectors; none where they can't be listed: nobody wants to read why while typing."""
    from connector_operator.kubectl.cluster import Cluster, Login
    from connector_operator.kubectl.refusals import RefusedError

    def text(name: str) -> str:
        return str(getattr(given, name, ""))

    try:
        cluster = Cluster(Login(text("kubeconfig"), text("context"), text("acting_as")))
        return cluster.list_names(text("namespace") or cluster.namespace)
    except RefusedError:
        return ()


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]
