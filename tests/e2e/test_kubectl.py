"""What a person gets from kubectl without knowing the project: explain, columns, fields to select by."""

import json
import re

import pytest

from demo.walk import ROOT
from tests.kit.cluster import Kit


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("connectors", "stream"),
        ("connectors.spec", "What you ask for."),
        ("connectors.spec.selectedStream", "stream"),
        ("connectors.spec.config.productId", "product"),
        ("connectors.status.lastExecution.exitCode", "exit"),
        ("datasets.spec.urlFrom", "Secret"),
        ("datasets.status.conditions", "aspect by aspect"),
    ],
)
def test_explain_says_what_a_field_is(kit: Kit, path: str, says: str) -> None:
    text = kit.kubectl("explain", path)
    description = text.partition("DESCRIPTION:")[2].partition("FIELDS:")[0].strip()
    assert says.lower() in description.lower()
    assert "<empty>" not in description


def test_columns_and_fields_to_select_by(kit: Kit) -> None:
    kit.run("runs")
    kit.apply("idle", datasetId="other")
    kit.wait("idle", "received")
    wide = kit.kubectl("get", "connectors", "-o", "wide").split("\n")
    columns = [
        "NAME",
        "TYPE",
        "STREAM",
        "DATASET",
        "STATUS",
        "READY",
        "REASON",
        "EXECUTION",
        "VERSION",
        "UPTODATE",
        "PROGRESS",
        "LAG",
        "MESSAGE",
        "AGE",
    ]
    assert sorted(wide[0].split()) == sorted(columns)
    row = next(line for line in wide if line.startswith("runs "))
    assert kit.jobs("runs")[0]["metadata"]["name"] in row
    assert "Stream ticker runs into table rows." in row
    for selector, names in {
        "status.state.status=running": ["runs"],
        "spec.datasetId=other": ["idle"],
        "spec.connectorType=COINBASE": ["idle", "runs"],
        "spec.connectorType=MYSQL": [],
    }.items():
        found = kit.kubectl("get", "connectors", f"--field-selector={selector}", "-o", "name").split()
        assert [name.rpartition("/")[2] for name in found] == names, selector


def test_the_health_script_is_added_to_the_config_of_argo_cd(kit: Kit) -> None:
    (command,) = re.findall(
        r"^kubectl (apply .*argocd-cm.yaml)$", (ROOT / "docs/monitoring.md").read_text(), re.MULTILINE
    )
    cluster = kit.cluster
    cluster.kubectl("create", "namespace", "argocd")
    try:
        cluster.kubectl(
            "create", "configmap", "argocd-cm", "--namespace=argocd", "--from-literal=url=https://argo.example"
        )
        cluster.kubectl(*[str(ROOT / word) if word.endswith(".yaml") else word for word in command.split()])
        data = json.loads(cluster.kubectl("get", "configmap", "argocd-cm", "--namespace=argocd", "-o", "json"))["data"]
    finally:
        cluster.kubectl("delete", "namespace", "argocd", "--wait=false")
    assert data.pop("url") == "https://argo.example"
    assert set(data) == {f"resource.customizations.health.apperate.io_{kind}" for kind in ("Connector", "Dataset")}
