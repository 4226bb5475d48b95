"""Prometheus, its tool for rules, and the Alertmanager: built from their Go modules, and run as servers."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.servers.go_program import build_go_copy, build_go_program
from tests.servers.process import ServerProcess

VERSION = "v0.316.0"
MODULE = "github.com/prometheus/prometheus"
ONLY_KUBERNETES = "remove_all_sd,enable_kubernetes_sd"
"""Of what finds targets: the others need hundreds of packages."""
ALERTMANAGER_VERSION = "v0.35.0"
ALERTMANAGER_MODULE = "github.com/prometheus/alertmanager"


def promtool() -> Path:
    """The program; the first call builds it."""
    return build_go_program("promtool", MODULE, VERSION)


def prometheus() -> Path:
    """The program, without its pages; the first call builds it."""
    return build_go_program("prometheus", MODULE, VERSION, ONLY_KUBERNETES)


def alertmanager() -> Path:
    """The program, with empty pages: its module lacks them; the first call builds it."""
    pages = {f"ui/app/dist/{interface}/index.html": "" for interface in ("elm", "mantine")}
    return build_go_copy("alertmanager", ALERTMANAGER_MODULE, ALERTMANAGER_VERSION, pages)


def is_served(address: str) -> bool:
    """Whether a server of this machine says at this address that it is ready; may raise `OSError` instead."""
    with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - this machine's own server
        return bool(answer.status == 200)


class QueryError(Exception):
    """Prometheus refuses a query; the message is its own."""


class PrometheusServer(ServerProcess):
    """A Prometheus with a configuration and rules.

    Args:
        configuration: What its file has.
        rules: Files of rules: name and content.
    """

    def __init__(self, configuration: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
        super().__init__("prometheus")
        for name, content in rules.items():
            (self.directory / name).write_text(yaml.safe_dump(content))
        whole = {**configuration, "rule_files": list(rules)}
        (self.directory / "prometheus.yml").write_text(yaml.safe_dump(whole))

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        return [
            prometheus(), f"--web.listen-address={self.host}:{self.port}", "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return is_served(f"{self.url}/-/ready")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that a query answers with now, each with `metric` and `value`.

        Raises:
            QueryError: It is refused, or fails.
        """
        answer = self._get("query", query=expression)
        if answer.get("warnings"):
            raise QueryError(f"{expression}: {answer['warnings']}")
        found = answer["data"]["result"]
        return found if answer["data"]["resultType"] == "vector" else [{"metric": {}, "value": found}]

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, and how that goes."""
        return list(self._get("targets", state="active")["data"]["activeTargets"])

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are pending or firing."""
        return list(self._get("alerts")["data"]["alerts"])

    def rules(self) -> list[dict[str, Any]]:
        """Its rules, and whether their last evaluation went well."""
        return [rule for group in self._get("rules")["data"]["groups"] for rule in group["rules"]]

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 - this machine's own server
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            raise QueryError(f"{path} {parameters}: {error.read().decode()[:1000]}") from None


class AlertmanagerServer(ServerProcess):
    """An Alertmanager with a configuration.

    Args:
        configuration: Its file, as text.
        files: Templates and Secrets that the configuration names: path below its directory and content.
    """

    def __init__(self, configuration: str, files: Mapping[str, str]) -> None:
        super().__init__("alertmanager")
        (self.directory / "alertmanager.yml").write_text(configuration)
        for name, content in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        return [
            alertmanager(), f"--web.listen-address={self.address}", "--config.file=alertmanager.yml", "--storage.path=data",
            "--cluster.listen-address=",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return is_served(f"http://{self.address}/-/ready")
