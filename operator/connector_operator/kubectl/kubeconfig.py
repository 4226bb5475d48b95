"""Which cluster and as whom: kubeconfig files, read as kubectl reads them.

The Kubernetes client for Python has a reader, too, but importing it takes longer than all else that a command does. Nothing is sent from here.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from connector_operator.kubectl.refusals import RefusedError

WHERE = "Say where your kubeconfig is by KUBECONFIG or --kubeconfig."
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, in C
_KINDS = {"clusters": "cluster", "contexts": "context", "users": "user"}
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Entries that name a file, relative to that of the kubeconfig."""


@dataclass(frozen=True, slots=True)
class Access:
    """One context of a kubeconfig, as it is written.

    Attributes:
        context: Its name.
        namespace: Of the context; `default` if it has none.
        server: The API server's URL.
        cluster, user: The entries, with paths made absolute.
        folder: Of the kubeconfig that has the user.
    """

    context: str
    namespace: str
    server: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]
    folder: Path = field(default_factory=Path)

    def read_bytes(self, name: str) -> bytes | None:
        """A certificate or a key (`client-key`, …), inline or from its file; None if there is none.

        Raises:
            RefusedError: It can't be read.
        """
        entry = self.cluster if name == "certificate-authority" else self.user
        try:
            if data := entry.get(f"{name}-data"):
                return base64.b64decode(data, validate=True)
            return Path(entry[name]).read_bytes() if entry.get(name) else None
        except (OSError, binascii.Error, ValueError) as error:
            raise RefusedError(
                f"The kubeconfig's {name} of the context {self.context} can't be read: {error}"
            ) from None

    def read_token(self) -> str:
        """The bearer token that the kubeconfig holds or names; "" if there is none.

        Raises:
            RefusedError: Its file can't be read.
        """
        if path := self.user.get("tokenFile"):
            try:
                return Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise RefusedError(f"The kubeconfig's tokenFile can't be read: {error}") from None
        kept = (self.user.get("auth-provider") or {}).get("config") or {}  # kubectl renews it and writes it there
        return str(self.user.get("token") or kept.get("id-token") or kept.get("access-token") or "")


def find_paths(given: str, environment: Mapping[str, str]) -> list[Path]:
    """The kubeconfigs that count: the one given, else those of KUBECONFIG, else the one at home."""
    if given:
        return [Path(given)]
    if listed := environment.get("KUBECONFIG", ""):
        return [Path(part) for part in listed.split(os.pathsep) if part]
    return [Path.home() / ".kube" / "config"]


def read_access(paths: Sequence[Path], context: str = "") -> Access:
    """The context of this name, or the current one.

    Raises:
        RefusedError: No file is there, one can't be read, or the context is incomplete.
    """
    entries: dict[str, dict[str, tuple[Mapping[str, Any], Path]]] = {kind: {} for kind in _KINDS}
    current, found = "", False
    for path in paths:
        document = _read(path, is_only=len(paths) == 1)
        found |= document is not None
        current = current or str((document or {}).get("current-context") or "")
        for kind, word in _KINDS.items():
            for each in (document or {}).get(kind) or []:
                entries[kind].setdefault(str(each.get("name")), (each.get(word) or {}, path.parent))
    if not found:
        raise RefusedError(f"There is no kubeconfig: {', '.join(map(str, paths))}. {WHERE}")
    name = context or current
    if not name:
        raise RefusedError(
            f"The kubeconfig has no current-context; choose one by --context: {_names(entries['contexts'])}."
        )
    if name not in entries["contexts"]:
        raise RefusedError(f"The kubeconfig has no context {name}, but {_names(entries['contexts'])}. {WHERE}")
    used = entries["contexts"][name][0]
    cluster, of_cluster = entries["clusters"].get(str(used.get("cluster")), ({}, Path()))
    user, of_user = entries["users"].get(str(used.get("user")), ({}, Path()))
    if not cluster.get("server"):
        raise RefusedError(
            f"The kubeconfig's context {name} names the cluster {used.get('cluster')!r}, of which it has no server."
        )
    return Access(
        context=name,
        namespace=str(used.get("namespace") or "default"),
        server=str(cluster["server"]).rstrip("/"),
        cluster=_with_paths(cluster, of_cluster),
        user=_with_paths(user, of_user),
        folder=of_user,
    )


def _read(path: Path, *, is_only: bool) -> Mapping[str, Any] | None:
    """A kubeconfig; None if there is none: of several that KUBECONFIG lists, some may be missing."""
    try:
        document = yaml.load(path.read_bytes(), Loader=_LOADER)  # noqa: S506
    except FileNotFoundError:
        return None
    except (OSError, yaml.YAMLError) as error:
        raise RefusedError(f"The kubeconfig {path} can't be read: {error}") from None
    if document is None and not is_only:
        return {}
    if not isinstance(document, Mapping):
        raise RefusedError(f"{path} is no kubeconfig. {WHERE}")
    return document


def _names(contexts: Mapping[str, object]) -> str:
    return ", ".join(sorted(contexts)) or "none"


def _with_paths(entry: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    return {key: str(folder / value) if key in _FILES and value else value for key, value in entry.items()}
