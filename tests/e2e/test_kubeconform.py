"""kubeconform over every manifest, every YAML block of the documents, and the chart: no field that its kind does not have."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from generate.chart.files import CHART
from tests.e2e.written_yaml import find_blocks, find_manifests
from tests.kit.cluster import Api
from tests.localkube.cluster import Cluster
from tests.servers.helm import kubeconform, run_helm

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]  # the first run builds kubeconform
GROUPS = {
    "api/v1", "apis/apps/v1", "apis/batch/v1", "apis/policy/v1", "apis/networking.k8s.io/v1", "apis/rbac.authorization.k8s.io/v1",
    "apis/apiextensions.k8s.io/v1", "apis/apperate.io/v1",
}  # fmt: skip
UNKNOWN = {
    "Alert", "Application", "GitRepository", "HelmRelease", "Kustomization", "PodMonitor", "PrometheusRule", "Provider",
}  # fmt: skip
"""Kinds of other software, whose schemas the cluster does not have."""


def strict(schema: Any) -> Any:
    """A schema of the API server that refuses what it does not name."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(value) for name, value in schema.items()}
    is_open = made.get("x-kubernetes-preserve-unknown-fields") or made.get("additionalProperties") is not None
    if isinstance(made.get("properties"), dict) and made.get("type") == "object" and not is_open:
        made["additionalProperties"] = False
    return made


@pytest.fixture(scope="module")
def schemas(operator: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cluster's own schemas, one file a kind, as kubeconform looks for them."""
    folder, api = tmp_path_factory.mktemp("schemas"), Api(operator)
    for group in GROUPS:
        document = api.get(f"/openapi/v3/{group}")
        components = strict(document["components"])
        for name, schema in document["components"]["schemas"].items():
            for kind in schema.get("x-kubernetes-group-version-kind", ()):
                path = folder / f"{kind['kind'].lower()}-{kind['group'] or kind['version']}-{kind['version']}.json"
                root = {"$ref": f"#/components/schemas/{name.replace('~', '~0').replace('/', '~1')}"}
                path.write_text(json.dumps({**root, "components": components}))
    return folder


def check(schemas: Path, folder: Path) -> list[dict[str, Any]]:
    """kubeconform's results that are neither valid nor of a kind of other software."""
    location = f"{schemas}/{{{{.ResourceKind}}}}-{{{{.Group}}}}-{{{{.ResourceAPIVersion}}}}.json"
    command = [
        str(kubeconform()),
        "-output",
        "json",
        "-verbose",
        "-skip",
        ",".join(UNKNOWN),
        "-schema-location",
        location,
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    found = json.loads(done.stdout)["resources"]
    assert sum(one["status"] == "statusValid" for one in found) > 0, done.stdout + done.stderr
    return [one for one in found if one["status"] not in {"statusValid", "statusSkipped"}]


def test_every_manifest_and_block(schemas: Path, tmp_path: Path) -> None:
    for number, (_, documents) in enumerate([*find_manifests(), *find_blocks()]):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump_all(documents))
    assert check(schemas, tmp_path) == []


def test_the_chart(schemas: Path, tmp_path: Path) -> None:
    switches = [f"--set={name}.enabled=true" for name in ("api", "networkPolicy", "podDisruptionBudget", "podMonitor")]
    rendered = run_helm("template", "release", str(CHART), "--kube-version=1.33.0", *switches, home=tmp_path)
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart/all.yaml").write_text(rendered)
    assert check(schemas, tmp_path / "chart") == []


def test_a_field_that_is_not_there_is_found(schemas: Path, tmp_path: Path) -> None:
    wrong = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {}, "template": {"spec": {"containers": [], "nodeSelectors": {}}}},
    }
    right = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}}
    (tmp_path / "both.yaml").write_text(yaml.safe_dump_all([wrong, right]))
    (found,) = check(schemas, tmp_path)
    assert "nodeSelectors" in found["msg"]
