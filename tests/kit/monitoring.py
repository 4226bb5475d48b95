"""What a Prometheus is configured with: by PodMonitors as the Prometheus Operator translates them, or as the documentation shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "manifests/monitoring"
PAGE = ROOT / "docs/monitoring.md"
PATIENT = {"scrape_interval": "1s", "evaluation_interval": "1s"}


def read_block(title: str) -> str:
    """The block of docs/monitoring.md with this title."""
    (text,) = re.findall(rf'^```yaml title="{re.escape(title)}"\n(.*?)^```', PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return str(text)


def read_rules() -> dict[str, Any]:
    """The rules, as a file of rules of Prometheus."""
    return dict(yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"])


def build_monitored(kubeconfig: Path) -> list[dict[str, Any]]:
    """The scrape configurations that the Prometheus Operator makes of the PodMonitors."""
    monitors = yaml.safe_load_all((MONITORING / "pod-monitors.yaml").read_text())
    return [_translate(monitor, kubeconfig) for monitor in monitors]


def read_documented(kubeconfig: Path) -> list[dict[str, Any]]:
    """The scrape configuration of the documentation, for a Prometheus outside of the cluster."""
    (job,) = yaml.safe_load(read_block("prometheus.yml"))["scrape_configs"]
    (pods,) = job["kubernetes_sd_configs"]
    return [{**job, "kubernetes_sd_configs": [{**pods, "kubeconfig_file": str(kubeconfig)}]}]


def _translate(monitor: dict[str, Any], kubeconfig: Path) -> dict[str, Any]:
    spec = monitor["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert spec["namespaceSelector"] == {"any": True}
    labels = [
        _relabel(f"__meta_kubernetes_pod_label_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}", regex=value, action="keep")
        for name, value in spec["selector"]["matchLabels"].items()
    ]
    own = [
        {re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name): value for name, value in one.items()}
        for one in endpoint.get("relabelings", ())
    ]
    return {
        "job_name": f"podMonitor/{monitor['metadata']['name']}",
        "honor_labels": endpoint.get("honorLabels", False),
        "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": str(kubeconfig)}],
        "relabel_configs": [
            *labels,
            _relabel("__meta_kubernetes_pod_phase", regex="(Failed|Succeeded)", action="drop"),
            _relabel("__meta_kubernetes_pod_container_port_name", regex=endpoint["port"], action="keep"),
            _relabel("__meta_kubernetes_namespace", target_label="namespace"),
            _relabel("__meta_kubernetes_pod_container_name", target_label="container"),
            _relabel("__meta_kubernetes_pod_name", target_label="pod"),
            *own,
        ],
    }


def _relabel(source: str, **fields: str) -> dict[str, Any]:
    return {"source_labels": [source], **fields}


def read_hurried_rules() -> dict[str, Any]:
    """The rules without their patience: each fires when what it asks for has held for a few seconds."""
    rules = read_rules()
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = "3s"
    return rules
