"""The installation's defaults of `spec.runner`: a YAML file, normally a mounted ConfigMap, read anew when its content changes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml

from connector_operator.metrics import DEFAULTS_VALID
from connector_operator.workloads.layers import Layer, built_in, defaults_problems, merge_layers

log = logging.getLogger(__name__)


class DefaultsError(ValueError):
    """The file can't be used; the message says why, a sentence a line."""


def parse_defaults(text: str, path: str) -> Layer:
    """The defaults in a file's text; an empty file has none.

    Raises:
        DefaultsError: It is no YAML, or says what can't be said.
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
    """Tells the layers below a Connector, as they are now.

    Attributes:
        is_cluster_choosing: The cluster gives pods their groups and profiles (OpenShift).
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: str | None = None
        self._layer: Layer = {}
        self._said = ""
        self.is_cluster_choosing = False

    def load(self) -> None:
        """Reads the file for the first time.

        Raises:
            DefaultsError: It can't be read or used.
        """
        if self._path:
            self._seen = self._read()
            self._layer = parse_defaults(self._seen, self._path)
        DEFAULTS_VALID.set(1)

    def _read(self) -> str:
        try:
            return Path(self._path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DefaultsError(f"{self._path} can't be read: {error}") from error

    def layers(self) -> tuple[Layer, ...]:
        """From the lowest up. What has become bad is told, once for each text, and the last good one counts."""
        if self._path:
            self._follow()
        return (built_in(is_cluster_choosing=self.is_cluster_choosing), self._layer)

    def _follow(self) -> None:
        text: str | None = None
        try:
            text = self._read()
            if text == self._seen:
                return
            self._layer = parse_defaults(text, self._path)
        except DefaultsError as error:
            self._complain(str(error))
        else:
            self._said = ""
            DEFAULTS_VALID.set(1)
            log.info("the defaults of runners have changed; executions that run go on as they are")
        self._seen = text

    def _complain(self, problem: str) -> None:
        DEFAULTS_VALID.set(0)
        if problem != self._said:
            log.error("the defaults of runners have become bad, the last good ones count: %s", problem)
        self._said = problem

    def describe(self) -> str:
        """The effective layer below a Connector, as YAML."""
        return yaml.safe_dump(merge_layers(self.layers()), sort_keys=True)
