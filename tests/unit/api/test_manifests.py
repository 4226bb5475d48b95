"""What is installed, and what the documents say of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from connector_operator.api.settings import OPTIONS, ApiSettings

ROOT = Path(__file__).parents[3]
DEPLOYMENT: dict[str, Any] = yaml.safe_load((ROOT / "manifests/api/deployment.yaml").read_text())
(CONTAINER,) = DEPLOYMENT["spec"]["template"]["spec"]["containers"]
CALLS: list[dict[str, str]] = yaml.safe_load((ROOT / "tests/e2e/seed_calls.yaml").read_text())


def test_the_pod_listens_where_port_forward_and_probes_ask() -> None:
    """`kubectl port-forward` asks localhost in the pod, the kubelet asks the pod's address."""
    known = {option.variable for option in OPTIONS}
    assert [entry["name"] for entry in CONTAINER["env"] if entry["name"] in known] == ["CONNECTORS_API_NAMESPACE"]
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    settings = ApiSettings()
    assert settings.listen == f"0.0.0.0:{ports['http']}"
    assert settings.health_listen == f"0.0.0.0:{ports['health']}"


def test_callers_can_not_starve_the_probes() -> None:
    for probe in ("livenessProbe", "readinessProbe"):
        assert CONTAINER[probe]["httpGet"] == {"path": "/healthz", "port": "health"}
    annotations = DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == ApiSettings().health_listen.rpartition(":")[2]


@pytest.mark.parametrize("call", CALLS, ids=[call["title"] for call in CALLS])
def test_the_page_has_every_call_and_its_kubectl(call: dict[str, str]) -> None:
    page = (ROOT / "docs/http-api.md").read_text()
    assert call["curl"].rstrip() in page
    assert call["kubectl"].rstrip() in page
