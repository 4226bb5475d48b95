"""The files that the operator is installed from: `install.yaml` is what kustomize builds, and each part is accepted by the API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit.cluster import ROOT
from tests.localkube.cluster import Cluster


def identify(document: dict[str, Any]) -> str:
    metadata = document["metadata"]
    return f"{document['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


def by_identity(text: str) -> dict[str, dict[str, Any]]:
    return {identify(document): document for document in yaml.safe_load_all(text) if document}


def test_the_one_file_is_what_kustomize_builds(cluster: Cluster) -> None:
    built = by_identity(cluster.kubectl("kustomize", str(ROOT / "manifests/cluster-wide")))
    assert by_identity((ROOT / "manifests/install.yaml").read_text()) == built


def test_the_one_file_can_be_applied_from_the_top() -> None:
    kinds = [document["kind"] for document in yaml.safe_load_all((ROOT / "manifests/install.yaml").read_text())]
    assert kinds[:3] == ["Namespace", "CustomResourceDefinition", "CustomResourceDefinition"]
    assert kinds[-1] == "Deployment"


@pytest.mark.parametrize("install", ["cluster-wide", "namespaced"])
def test_the_extras_can_be_added_to_each_install(
    cluster: Cluster, namespace: str, tmp_path: Path, install: str
) -> None:
    (tmp_path / "install").mkdir()
    for name in ("manifests", "crds"):
        (tmp_path / name).symlink_to(ROOT / name)
    text = f"namespace: {namespace}\nresources: [../manifests/{install}]\ncomponents: [../manifests/extras]\n"
    (tmp_path / "install/kustomization.yaml").write_text(text)
    documents = by_identity(cluster.kubectl("kustomize", str(tmp_path / "install")))
    extras = {name: one for name, one in documents.items() if one["kind"] in {"NetworkPolicy", "PodDisruptionBudget"}}
    assert len(extras) == 3
    for one in extras.values():
        assert one["metadata"]["namespace"] == namespace
        assert one["metadata"]["labels"] == {"app.kubernetes.io/part-of": "connector-operator"}
    answer = cluster.kubectl("apply", "--dry-run=server", "-f", "-", input=yaml.safe_dump_all(extras.values()))
    assert answer.count("created (server dry run)") == 3
