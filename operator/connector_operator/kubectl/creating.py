"""`new`: asks, writes a manifest, and on request gives it to the API server."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from connector_operator.kubectl.cluster import Cluster, Json, Login
from connector_operator.kubectl.interview import interview
from connector_operator.kubectl.manifests import (
    Wish,
    build_manifest,
    find_manifest_problems,
    find_missing,
    format_manifest,
    list_changes,
    parse_setting,
    say_next,
)
from connector_operator.kubectl.named import check_namespace
from connector_operator.kubectl.refusals import RefusedError
from connector_runner.schemas.config import config_schema

CONFLICT = 409


def create(flags: Namespace) -> int:
    """`new`. Without `--apply` and `--dry-run` no cluster is asked.

    Raises:
        RefusedError: Something is missing or not valid, or the API server refuses.
    """
    wish = read_wish(flags)
    if sys.stdin.isatty() and find_missing(wish):
        try:
            wish = interview(wish, _ask, _say)
        except EOFError:
            raise RefusedError("The input ended before all was answered; nothing was written.") from None
    if missing := find_missing(wish):
        raise RefusedError(f"Still needed: {' '.join(missing)}; on a terminal they are asked for.")
    manifest = build_manifest(wish)
    if problems := find_manifest_problems(manifest):
        raise RefusedError("\n".join(problems))
    if flags.apply or flags.dry_run:
        cluster = Cluster(Login(flags.kubeconfig, flags.context, flags.acting_as))
        manifest["metadata"]["namespace"] = wish.namespace or cluster.namespace
        check_namespace(manifest["metadata"]["namespace"])
        _apply(cluster, manifest, is_dry=flags.dry_run, overwrites=flags.overwrite)
    if flags.file:
        Path(flags.file).write_text(format_manifest(manifest), encoding="utf-8")
    elif not flags.apply:
        sys.stdout.write(format_manifest(manifest))
    if flags.apply and not flags.dry_run:
        sys.stdout.write(f"{wish.name}: applied\n")
    for line in say_next(wish, is_applied=flags.apply and not flags.dry_run, file=flags.file):
        _say(line)
    return 0


def _apply(cluster: Cluster, manifest: Json, *, is_dry: bool, overwrites: bool) -> None:
    """Gives the manifest to the API server; what something else manages stays as it is, and that is said.

    A connector that is there already is changed only by `overwrites`, or if whoever sits at a terminal says so.
    """
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    try:
        before = cluster.get(namespace, name)
    except RefusedError as error:
        if not error.is_missing:
            raise
        before = None
    try:
        after = cluster.apply(manifest, is_dry=True)
        if before is not None and not overwrites:
            _confirm(f"There is already a connector {name} in the namespace {namespace}", list_changes(before, after))
        if not is_dry:
            cluster.apply(manifest)
    except RefusedError as error:
        if error.status != CONFLICT:
            raise
        raise RefusedError(
            f"There is already a connector {name} in the namespace {namespace}, and something else manages what would be different; "
            f"nothing was changed. Change it where it comes from: edit its manifest and `kubectl apply -f` it, or choose another --name. {error}",
            status=CONFLICT,
        ) from None


def _confirm(there_is: str, changes: Sequence[str]) -> None:
    """Has a person say that a connector is to be changed.

    Raises:
        RefusedError: Nobody says so.
    """
    if not changes:
        return
    said = f"{there_is}; this would change its {', '.join(changes)}."
    if sys.stdin.isatty():
        try:
            if _ask(f"{said} Change it? [y/N] ").lower() in {"y", "yes"}:
                return
        except EOFError:
            pass
        raise RefusedError("Nothing was changed.")
    raise RefusedError(f"{said} Nothing was changed; to change it, say --overwrite, or choose another --name.")


def read_wish(flags: Namespace) -> Wish:
    """What the options say.

    Raises:
        RefusedError: One is not valid.
    """
    kind = flags.type.upper()
    try:
        schema = config_schema(kind)
        settings = dict(parse_setting(text, schema) for text in flags.set)
    except LookupError as error:
        raise RefusedError(str(error.args[0])) from None
    except ValueError as error:
        raise RefusedError(str(error)) from None
    return Wish(
        kind=kind,
        name=flags.name_given,
        namespace=flags.namespace,
        dataset=flags.dataset,
        settings=settings,
        secrets=tuple(flags.secret),
        streams=tuple(flags.stream),
        is_running=flags.start,
    )


def _ask(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
