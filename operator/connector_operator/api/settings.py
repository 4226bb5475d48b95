"""The settings of the HTTP API: one table from which flags, environment, checks and the documentation come."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import msgspec

from connector_operator import settings
from connector_operator.settings import SettingError


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings; see `OPTIONS` for what each means."""

    namespace: str = ""
    listen: str = "0.0.0.0:8080"
    health_listen: str = "0.0.0.0:8081"
    wait: int = 10
    max_body: int = 262_144
    max_connections: int = 512
    client_timeout: int = 15
    cluster_timeout: int = 30
    tls_certificate: str = ""
    tls_key: str = ""
    log_format: str = "json"
    log_level: str = "info"


class ApiOption(settings.Option, frozen=True):
    """One setting of the API."""

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "CONNECTORS_API_" + self.field.upper()


OPTIONS = (
    ApiOption(
        "namespace", settings.read_text, "The one namespace whose connectors are served; by default the pod's own."
    ),
    ApiOption("listen", settings.read_address, "Where the API is served."),
    ApiOption(
        "health_listen",
        settings.read_address,
        "Where `/healthz` and `/metrics` are served: by HTTP, without a token, apart from the callers' connections.",
    ),
    ApiOption("wait", settings.read_whole(0, 60), "How long a PUT waits for the new state, in seconds, at most."),
    ApiOption("max_body", settings.read_whole(1024, 1_500_000), "The longest body that is accepted, in bytes."),
    ApiOption("max_connections", settings.read_whole(8, 100_000), "How many connections are served at a time."),
    ApiOption(
        "client_timeout",
        settings.read_whole(1, 600),
        "How long a client may take to send a request, and stay silent between two, in seconds.",
    ),
    ApiOption(
        "cluster_timeout", settings.read_whole(1, 600), "How long the API server may take to answer, in seconds."
    ),
    ApiOption("tls_certificate", settings.read_text, "A certificate (PEM file): the API then speaks HTTPS."),
    ApiOption("tls_key", settings.read_text, "The certificate's key (PEM file)."),
    ApiOption("log_format", settings.read_one_of("json", "text"), "How the API logs."),
    ApiOption("log_level", settings.read_one_of("debug", "info", "warning", "error"), "What the API logs."),
)
"""Every setting."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each setting to a parser."""
    settings.add_flags(parser, OPTIONS)


def read_settings(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> ApiSettings:
    """Settings from flags, else the environment, else defaults.

    Raises:
        SettingError: All bad values, one sentence each.
    """
    values, problems = settings.read_values(OPTIONS, flags, environment)
    if bool(values.get("tls_certificate")) != bool(values.get("tls_key")):
        problems.append("--tls-certificate and --tls-key go together")
    if problems:
        raise SettingError("; ".join(problems))
    return ApiSettings(**values)


def describe_settings() -> str:
    """The documented table, in Markdown."""
    return settings.describe_settings(OPTIONS, ApiSettings)
