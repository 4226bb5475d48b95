"""The operator's settings: one table from which flags, environment, defaults, checks and the documentation come."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from connector_operator.decide.observation import Policy
from connector_operator.resources.runner_rules import ALLOWANCES
from connector_operator.workloads.jobs import RunnerSettings
from connector_operator.workloads.layers import Layer


class SettingError(ValueError):
    """A setting has an invalid value; the message is a sentence for the person who starts the operator."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings; see `OPTIONS` for what each means. Times are in seconds."""

    namespaces: tuple[str, ...] = ()
    runner_image: str
    runner_pull_policy: str = "IfNotPresent"
    update_concurrency: int = 1
    update_min_ready: int = 10
    runner_grace: int = 60
    runner_defaults: str = ""
    runner_allow: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    discovery_concurrency: int = 10
    discovery_deadline: int = 120
    discovery_freshness: int = 60
    failed_history: int = 3
    completed_history: int = 1
    stable_after: int = 600
    node_lost_after: int = 60
    unschedulable_after: int = 30
    progress_seconds: int = 60
    resync: int = 600
    workers: int = 16
    requests_per_second: int = 100
    lease_name: str = "connector-operator"
    lease_namespace: str = ""
    lease_duration: int = 15
    listen: str = "0.0.0.0:8080"
    metrics_names: bool = True
    log_format: str = "json"
    log_level: str = "info"

    def policy(self) -> Policy:
        """The settings that decisions depend on."""
        return Policy(
            failed_history=self.failed_history,
            completed_history=self.completed_history,
            grace=timedelta(seconds=self.runner_grace),
            node_lost_after=timedelta(seconds=self.node_lost_after),
            unschedulable_after=timedelta(seconds=self.unschedulable_after),
            stable_after=timedelta(seconds=self.stable_after),
            fresh_for=timedelta(seconds=self.discovery_freshness),
            service_accounts=self.service_accounts,
            allowances=self.runner_allow,
            image=self.runner_image,
            min_ready=timedelta(seconds=self.update_min_ready),
            asks_progress=self.progress_seconds > 0,
        )

    def runner(self, layers: Callable[[], Iterable[Layer]]) -> RunnerSettings:
        """The settings that pods depend on; `layers` are the defaults below a Connector's runner."""
        return RunnerSettings(
            image=self.runner_image,
            pull_policy=self.runner_pull_policy,
            grace_seconds=self.runner_grace,
            discovery_deadline_seconds=self.discovery_deadline,
            layers=layers,
        )


def read_whole(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number within limits."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise SettingError(f"is not a whole number: {text!r}") from None
        if not least <= value <= most:
            raise SettingError(f"must be from {least} to {most}, not {value}")
        return value

    return read


def read_one_of(*choices: str) -> Callable[[str], str]:
    """Reads one of some words."""

    def read(text: str) -> str:
        if text not in choices:
            raise SettingError(f"must be one of {', '.join(choices)}, not {text!r}")
        return text

    return read


def read_switch(text: str) -> bool:
    """True or false."""
    return read_one_of("true", "false")(text) == "true"


def read_names(text: str) -> tuple[str, ...]:
    """Reads names that are separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def read_some_of(*choices: str) -> Callable[[str], tuple[str, ...]]:
    """Reads some of several words, separated by commas."""

    def read(text: str) -> tuple[str, ...]:
        names = read_names(text)
        if unknown := [name for name in names if name not in choices]:
            raise SettingError(f"must be some of {', '.join(choices)}, not {', '.join(unknown)}")
        return names

    return read


def read_text(text: str) -> str:
    """Reads a text that must not be empty.

    Raises:
        SettingError: It is empty.
    """
    if not text.strip():
        raise SettingError("must not be empty")
    return text.strip()


def read_address(text: str) -> str:
    """Reads `HOST:PORT`.

    Raises:
        SettingError: The text has another form.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise SettingError(f"must be HOST:PORT, not {text!r}")
    return text


class Option(msgspec.Struct, frozen=True):
    """One setting: its field, the function that reads its text, and its meaning."""

    field: str
    read: Callable[[str], Any]
    meaning: str

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.field.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "CONNECTOR_OPERATOR_" + self.field.upper()


OPTIONS = (
    Option(
        "namespaces",
        read_names,
        "Namespaces to watch, separated by commas; empty: all (needs the cluster-wide install). "
        "If one of several is deleted, or the operator loses its rights there, the others are still served; it is watched again when it is back.",
    ),
    Option("runner_image", read_text, "The runner's image. Required."),
    Option(
        "update_concurrency",
        read_whole(1, 10000),
        "How many running connectors are replaced at a time when the runner's image has changed; see [upgrading](upgrading.md).",
    ),
    Option(
        "update_min_ready",
        read_whole(0, 86400),
        "How many seconds a connector that was replaced so must be ready before the next one follows.",
    ),
    Option("runner_pull_policy", read_one_of("Always", "IfNotPresent", "Never"), "When the runner's image is pulled."),
    Option(
        "runner_grace",
        read_whole(5, 3600),
        "How long a runner has to commit and end, unless the connector sets it, in seconds.",
    ),
    Option(
        "runner_defaults",
        read_text,
        "A YAML file, or a folder of them, with fields of spec.runner that apply to all connectors; read again when it changes; see [pods](pods.md).",
    ),
    Option(
        "runner_allow",
        read_some_of(*ALLOWANCES),
        f"What spec.runner may use beyond the profile restricted, separated by commas: {', '.join(ALLOWANCES)}.",
    ),
    Option(
        "service_accounts",
        read_names,
        "Service accounts that spec.runner.serviceAccountName may name, separated by commas; * for any.",
    ),
    Option("discovery_concurrency", read_whole(1, 1000), "How many discoveries run at a time."),
    Option("discovery_deadline", read_whole(5, 3600), "How long a source has to list its streams, in seconds."),
    Option(
        "discovery_freshness",
        read_whole(10, 3600),
        "For how many seconds a list of streams also serves other connectors of the namespace with the same configuration.",
    ),
    Option("failed_history", read_whole(0, 100), "How many failed executions of a connector keep their Job and log."),
    Option(
        "completed_history", read_whole(0, 100), "How many completed executions of a connector keep their Job and log."
    ),
    Option("stable_after", read_whole(1, 86400), "After how many seconds of running earlier failures are forgotten."),
    Option(
        "node_lost_after",
        read_whole(1, 86400),
        "How long after its grace period a pod that has not ended counts as lost, in seconds.",
    ),
    Option(
        "unschedulable_after",
        read_whole(0, 86400),
        "How long a pod that no node accepts waits for a node created on demand before it counts as stuck (Stalled), in seconds; "
        "if an event says that one is being created, it waits a quarter of an hour from then on.",
    ),
    Option(
        "progress_seconds",
        read_whole(0, 86400),
        "How often a running connector's progress and lag are read from its runner's log, at the most, in seconds; 0: never, and no request is made for it.",
    ),
    Option(
        "resync", read_whole(10, 86400), "How often everything is checked again even if nothing happened, in seconds."
    ),
    Option("workers", read_whole(1, 256), "How many connectors are handled at a time."),
    Option(
        "requests_per_second",
        read_whole(1, 10000),
        "The most API requests a second, in the long run; bursts are twice that.",
    ),
    Option("lease_name", read_text, "The Lease that the one active operator holds."),
    Option("lease_namespace", str, "The Lease's namespace; empty: the operator's own."),
    Option(
        "lease_duration",
        read_whole(3, 600),
        "After how many seconds without a sign of life another operator takes over.",
    ),
    Option("listen", read_address, "Where probes and metrics are served."),
    Option(
        "metrics_names",
        read_switch,
        "Whether metrics name each Connector (three series each), so that an alert can say which one; true or false.",
    ),
    Option("log_format", read_one_of("json", "text"), "How the operator logs."),
    Option("log_level", read_one_of("debug", "info", "warning", "error"), "What the operator logs."),
)
"""All settings."""


def add_flags(parser: argparse.ArgumentParser, options: Sequence[Option] = OPTIONS) -> None:
    """Adds a flag for each setting to a parser."""
    for option in options:
        parser.add_argument(
            option.flag, dest=option.field, metavar="VALUE", help=f"{option.meaning} ({option.variable})"
        )


def read_settings(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Settings from flags, else the environment, else defaults.

    Raises:
        SettingError: All bad values, one sentence each.
    """
    values, problems = read_values(OPTIONS, flags, environment)
    if not values.get("runner_image") and not any("runner" in p and "image" in p.lower() for p in problems):
        problems.append("--runner-image (or CONNECTOR_OPERATOR_RUNNER_IMAGE) must name the runner's image")
    if problems:
        raise SettingError("; ".join(problems))
    return Settings(**values)


def read_values(
    options: Sequence[Option], flags: Mapping[str, str | None], environment: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """What flags, else the environment, give for each option; and what is wrong with it, one sentence each."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for option in options:
        text = flags.get(option.field)
        source = option.flag if text is not None else option.variable
        text = text if text is not None else environment.get(option.variable)
        if text is None:
            continue
        try:
            values[option.field] = option.read(text)
        except SettingError as error:
            problems.append(f"{source} {error}")
    return values, problems


def describe_settings(options: Sequence[Option] = OPTIONS, settings: type[msgspec.Struct] = Settings) -> str:
    """The documented table, in Markdown."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(settings)}
    lines = ["| flag | environment | default | meaning |", "|---|---|---|---|"]
    for option in options:
        default = defaults[option.field]
        default = str(default).lower() if isinstance(default, bool) else default
        shown = "" if default is msgspec.NODEFAULT or default in ("", ()) else f"`{default}`"
        lines.append(f"| `{option.flag}` | `{option.variable}` | {shown} | {option.meaning} |")
    return "\n".join(lines)
