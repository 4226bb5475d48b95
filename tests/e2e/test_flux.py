"""Flux applies our sample from a real git repository: it waits for health, says which connector fails, and prunes what is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit.cluster import ROOT, Kit, install
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import default_images
from tests.servers.flux import flux_programs, running_flux
from tests.servers.git import GitServer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]  # the first run builds two controllers
SYSTEM = "flux-system"
SAMPLE = ROOT / "manifests/samples/gitops/flux.yaml"


class Flux:
    """The sample's second half (repository and Kustomization of the connectors) on a cluster, and the repository itself."""

    def __init__(self, cluster: LocalKube, repository: GitServer) -> None:
        self.cluster, self.repository = cluster, repository
        documents = [
            one for one in yaml.safe_load_all(SAMPLE.read_text()) if one["metadata"]["name"] != "connector-operator"
        ]
        for one in documents:
            if one["kind"] == "GitRepository":
                one["spec"] |= {"url": repository.url, "interval": "5s"}
            if one["kind"] == "Kustomization":
                one["spec"] |= {"retryInterval": "5s"}
            cluster.apply(one)

    def push(self, **documents: Any) -> str:
        """Makes the repository hold just these objects, by the names of their files, and waits until Flux has tried them."""
        folder = self.repository.tree / "connectors"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for name, one in documents.items():
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(one))
        return self.repository.commit(" ".join(documents))

    def wait(self, commit: str, *, ready: str, reason: str = "") -> str:
        """Waits until the Kustomization says so of a commit; returns its message."""

        def check() -> str:
            found = self.cluster.get("kustomization.kustomize.toolkit.fluxcd.io", "connectors", "-n", SYSTEM)
            status = found.get("status", {})
            conditions = {one["type"]: one for one in status.get("conditions", [])}
            said: dict[str, Any] = conditions.get("Ready", {"status": "", "reason": ""})
            is_tried = commit in status.get("lastAttemptedRevision", "")
            if is_tried and said["status"] == ready and reason in {"", said["reason"]}:
                return str(said["message"])
            raise LookupError(f"{status.get('lastAttemptedRevision')}: {said}")

        return str(eventually(check, timeout=180, what=f"Flux says {ready} {reason} of {commit[:8]}"))


@pytest.fixture
def flux(local_only: None, tmp_path: Path) -> Iterator[Flux]:
    programs = flux_programs()
    cluster = LocalKube.start(tmp_path / "cluster", default_images())
    try:
        install(cluster)
        for program in programs.values():
            for path in (program.parent / "bases").glob("*.yaml"):
                cluster.kubectl("apply", "--server-side", "-f", str(path))
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        cluster.kubectl("create", "namespace", SYSTEM)
        with GitServer(tmp_path) as repository, running_flux(cluster.kubeconfig, tmp_path):
            yield Flux(cluster, repository)
    finally:
        cluster.stop()


def test_the_sample_waits_tells_and_prunes(flux: Flux) -> None:
    kit = Kit(flux.cluster, "pipelines")
    dataset = {
        "apiVersion": "apperate.io/v1", "kind": "Dataset", "metadata": {"name": "rows"},
        "spec": {"url": "postgresql://nowhere/market"},
    }  # fmt: skip

    def connector(name: str, url: str = "ws://null") -> dict[str, Any]:
        made = kit.connector(name, url, selectedStream="ticker", status="running")
        del made["metadata"]["namespace"]
        return made

    # The file of the Connector comes before that of its Dataset: the order of objects does not matter.
    good = {"a-connector": connector("good"), "b-dataset": dataset}
    flux.wait(flux.push(**good), ready="True")
    assert kit.condition("good")["status"] == "True", "it has waited until the connector was Ready"
    pod = kit.live_pod("good")["metadata"]["uid"]

    message = flux.wait(
        flux.push(**good, c=connector("bad", "ws://null?discover=exit-78")), ready="False", reason="HealthCheckFailed"
    )
    assert "Connector/pipelines/bad" in message
    assert "good" not in message

    flux.wait(flux.push(**good), ready="True")
    kit.wait_gone("bad")
    assert kit.live_pod("good")["metadata"]["uid"] == pod, "nothing else was touched"

    flux.wait(flux.push(**{"b-dataset": dataset}), ready="True")
    kit.wait_gone("good")
    assert flux.cluster.get("connectors", "-n", "pipelines")["items"] == []
