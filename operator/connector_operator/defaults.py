"""The installation's defaults of `spec.runner`: YAML in a file or folder, normally a mounted ConfigMap.

It is read again when it changes.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml

from connector_operator.metrics import DEFAULTS_VALID
from connector_operator.workloads.layers import Layer, built_in, defaults_problems, merge_layers

Texts = tuple[tuple[str, str], ...]
"""File names and their contents."""
log = logging.getLogger(__name__)


class DefaultsError(ValueError):
    """The file can't be used; the message says why, one sentence per line."""


def read_texts(path: Path) -> Texts:
    """A file's text, or those of a folder's YAML files by name; a folder may be empty, as an optional ConfigMap's is.

    Raises:
        DefaultsError: It can't be read.
    """
    try:
        files = sorted(f for f in path.iterdir() if f.suffix in {".yaml", ".yml"}) if path.is_dir() else [path]
        return tuple((str(file), file.read_text(encoding="utf-8")) for file in files)
    except (OSError, UnicodeDecodeError) as error:
        raise DefaultsError(f"{path} can't be read: {error}") from error


def parse_defaults(text: str, path: str) -> Layer:
    """The defaults in a file's text; an empty file has none.

    Raises:
        DefaultsError: It is not valid YAML, or contains something that is not allowed.
    """
    try:
        raw: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DefaultsError(f"{path} is not YAML: {error}") from error
    raw = {} if raw is None else raw
    if problems := defaults_problems(raw):
        raise DefaultsError("\n".join(f"{path}: {problem}" for problem in problems))
    layer: Layer = raw
    return layer


class InstallationDefaults:
    """The layers below a Connector, as they are now.

    Attributes:
        is_cluster_choosing: The cluster gives pods their groups and profiles (OpenShift).
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._seen: Texts | None = None
        self._layers: tuple[Layer, ...] = ()
        self._said = ""
        self.is_cluster_choosing = False

    def load(self) -> None:
        """Reads the file, or the folder's files, for the first time.

        Raises:
            DefaultsError: It can't be read or used.
        """
        if self._path is not None:
            self._seen = read_texts(self._path)
            self._layers = tuple(parse_defaults(text, name) for name, text in self._seen)
        DEFAULTS_VALID.set(1)

    def layers(self) -> tuple[Layer, ...]:
        """All layers, the lowest first. An invalid text is reported once, and the last valid one stays in use."""
        if self._path is not None:
            self._follow(self._path)
        return (built_in(is_cluster_choosing=self.is_cluster_choosing), *self._layers)

    def _follow(self, path: Path) -> None:
        texts: Texts | None = None
        try:
            texts = read_texts(path)
            if texts == self._seen:
                return
            self._layers = tuple(parse_defaults(text, name) for name, text in texts)
        except DefaultsError as error:
            self._complain(str(error))
        else:
            self._said = ""
            DEFAULTS_VALID.set(1)
            log.info("the defaults of runners have changed; running executions continue as they are")
        self._seen = texts

    def _complain(self, problem: str) -> None:
        DEFAULTS_VALID.set(0)
        if problem != self._said:
            log.error("the defaults of runners have become bad, the last good ones count: %s", problem)
        self._said = problem

    def describe(self) -> str:
        """The effective layer below a Connector, as YAML."""
        return yaml.safe_dump(merge_layers(self.layers()), sort_keys=True)
