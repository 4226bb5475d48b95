"""The chart's values: one table from which `values.yaml`, `values.schema.json` and the documentation come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from connector_operator import settings
from connector_operator.api import settings as api_settings
from connector_operator.crds.release import RELEASE
from generate.blocks import table
from generate.chart.sources import API_DEPLOYMENT, OPERATOR_DEPLOYMENT

Schema = dict[str, Any]
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
NAMES: Schema = {"type": "array", "items": NAME, "uniqueItems": True}
TEXT: Schema = {"type": "string"}
NOT_EMPTY: Schema = {"type": "string", "minLength": 1}
SWITCH: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
OBJECTS: Schema = {"type": "array", "items": OBJECT}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
ELSEWHERE = {
    "namespaces": "the value `namespaces`",
    "namespace": "the value `api.namespaces`",
    "runner_image": "the value `runnerImage`",
    "runner_defaults": "the value `runnerDefaults`",
}
"""Settings that the chart sets from other values."""
_JSON_TYPES = {bool: "boolean", int: "integer", str: "string"}


@dataclass(frozen=True)
class Value:
    """One value of the chart: its path with dots, its default, what it may be, and what it means."""

    path: str
    default: Any
    schema: Schema
    meaning: str


def _setting_schema(options: Sequence[settings.Option], struct: type[msgspec.Struct]) -> Schema:
    """What `settings` may hold: each setting that no other value sets, in camel case."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(struct)}
    properties = {
        camel(option.field): _schema_of(defaults[option.field]) | {"description": option.meaning}
        for option in options
        if option.field not in ELSEWHERE
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _schema_of(default: Any) -> Schema:
    if isinstance(default, tuple):
        return {"type": "array", "items": {"type": "string"}}
    return {"type": _JSON_TYPES[type(default)]}


def camel(field: str) -> str:
    """A setting's name in the values: `runner_grace` is `runnerGrace`."""
    first, *rest = field.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _pod_values(prefix: str, whose: str, deployment: Mapping[str, Any]) -> list[Value]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return [
        Value(f"{prefix}resources", container["resources"], OBJECT, f"Requests and limits of {whose} container."),
        Value(f"{prefix}env", [], OBJECTS, f"More environment variables of {whose} container, as in a pod."),
        Value(f"{prefix}nodeSelector", {}, TEXTS, f"Labels of the nodes for {whose} pods."),
        Value(f"{prefix}tolerations", [], OBJECTS, f"Taints that {whose} pods tolerate."),
        Value(f"{prefix}affinity", {}, OBJECT, f"Affinity of {whose} pods."),
        Value(f"{prefix}topologySpreadConstraints", [], OBJECTS, f"How {whose} pods are spread."),
        Value(f"{prefix}priorityClassName", "", TEXT, f"Priority class of {whose} pods."),
        Value(f"{prefix}podLabels", {}, TEXTS, f"More labels of {whose} pods."),
        Value(f"{prefix}podAnnotations", {}, TEXTS, f"More annotations of {whose} pods."),
    ]


VALUES: tuple[Value, ...] = (
    Value("image.repository", "connector-operator", NOT_EMPTY, "The operator's image, also the API's, with its registry."),
    Value("image.tag", "", TEXT, "Its tag; empty: the chart's appVersion."),
    Value("image.pullPolicy", "IfNotPresent", {"enum": ["Always", "IfNotPresent", "Never"]}, "When it is pulled."),
    Value("runnerImage.repository", "connector-runner", NOT_EMPTY, "The runners' image, with its registry."),
    Value("runnerImage.tag", "", TEXT, "Its tag; empty: the chart's appVersion."),
    Value("imagePullSecrets", [], OBJECTS, "Secrets for pulling the operator's image (a runner's: `runnerDefaults.imagePullSecrets`)."),
    Value("clusterWide", True, SWITCH, "Rights in all namespaces (ClusterRole); false: Roles in `namespaces` only."),
    Value("namespaces", [], NAMES, "The namespaces to watch. Empty: all of them if `clusterWide`, else the release's own."),
    Value("replicas", OPERATOR_DEPLOYMENT["spec"]["replicas"], {"type": "integer", "minimum": 0}, "Operators; one is active, a second one takes over within seconds."),
    Value("settings", {}, _setting_schema(settings.OPTIONS, settings.Settings), "Settings of the operator, in camel case: `{discoveryDeadline: 60, serviceAccounts: [loader]}`; docs/settings.md has all of them."),
    Value("runnerDefaults", {}, OBJECT, "Fields of spec.runner for all connectors (docs/pods.md): a ConfigMap that the operator follows."),
    *_pod_values("", "the operator's", OPERATOR_DEPLOYMENT),
    Value("crds.install", True, SWITCH, "A Job before install and upgrade brings the custom resource definitions to this release, never back to an older one. False: apply crds/ yourself."),
    Value("crds.check", True, SWITCH, "Refuse to install or upgrade when the definitions in the cluster are of a newer release. False if you may not read them."),
    Value("api.enabled", False, SWITCH, "The Connectors API over HTTP (docs/http-api.md)."),
    Value("api.namespaces", [], NAMES, "The namespaces that get an API each; they must exist. Empty: the release's own."),
    Value("api.replicas", API_DEPLOYMENT["spec"]["replicas"], {"type": "integer", "minimum": 0}, "Replicas of the API; it keeps no state."),
    Value("api.settings", {}, _setting_schema(api_settings.OPTIONS, api_settings.ApiSettings), "Settings of the API, in camel case: `{wait: 5}`."),
    *_pod_values("api.", "the API's", API_DEPLOYMENT),
    Value("podMonitor.enabled", False, SWITCH, "PodMonitors of operator and runners, for the Prometheus Operator."),
    Value("podMonitor.labels", {}, TEXTS, "Labels that your Prometheus selects PodMonitors by."),
    Value("prometheusRule.enabled", False, SWITCH, "The alert rules of docs/monitoring.md, for the Prometheus Operator."),
    Value("prometheusRule.labels", {}, TEXTS, "Labels that your Prometheus selects rules by."),
    Value("prometheusRule.runbookPrefix", "", TEXT, "What stands before `docs/…` in the alerts' links, such as https://git.example.org/connector-operator/blob/main/."),
    Value("grafanaDashboard.enabled", False, SWITCH, "A ConfigMap with the dashboard of docs/monitoring.md, for the sidecar of Grafana's chart."),
    Value("grafanaDashboard.labels", {"grafana_dashboard": "1"}, TEXTS, "Labels that your Grafana selects dashboards by."),
    Value("grafanaDashboard.annotations", {}, TEXTS, "Annotations of it, such as grafana_folder."),
    Value("networkPolicy.enabled", False, SWITCH, "A NetworkPolicy: the operator, and the API if it is on, talk to the API server only."),
    Value("podDisruptionBudget.enabled", False, SWITCH, "A PodDisruptionBudget: one operator at a time is evicted."),
)  # fmt: skip
"""All values of the chart."""


def build_values() -> str:
    """`values.yaml`: each value with its meaning and default."""
    lines = [
        "# Generated by `make generate` from generate/chart/values.py. Give your own with --values FILE or --set PATH=VALUE."
    ]
    parents: list[str] = []
    for value in VALUES:
        *groups, last = value.path.split(".")
        for depth, group in enumerate(groups):
            if parents[depth : depth + 1] != [group]:
                lines.append(f"{'  ' * depth}{group}:")
        parents = groups
        indent = "  " * len(groups)
        lines.append(f"{indent}# {value.meaning}")
        shown = yaml.safe_dump(value.default, default_flow_style=True, width=1000).removesuffix("...\n").strip()
        lines.append(f"{indent}{last}: {shown}")
    return "\n".join(lines) + "\n"


def build_values_schema() -> str:
    """`values.schema.json`: Helm refuses a value that is not declared, or of another type."""
    root: Schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Values of connector-operator {RELEASE}",
    }
    root |= {"type": "object", "additionalProperties": False, "properties": {"global": OBJECT}}
    for value in VALUES:
        place = root
        *groups, last = value.path.split(".")
        for group in groups:
            empty = {"type": "object", "additionalProperties": False, "properties": {}}
            place = place["properties"].setdefault(group, empty)
        place["properties"][last] = value.schema | {"description": value.meaning}
    return json.dumps(root, indent=2) + "\n"


def _rows() -> Iterator[tuple[str, str, str]]:
    for value in VALUES:
        default = yaml.safe_dump(value.default, default_flow_style=True, width=1000).removesuffix("...\n").strip()
        yield f"`{value.path}`", f"`{default}`", value.meaning


def describe_values() -> str:
    """The documented table, in Markdown."""
    return table(["value", "default", "meaning"], _rows())
