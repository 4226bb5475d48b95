"""The chart on a cluster: a connector's life through install, upgrade, rollback and uninstall; definitions are never deleted nor set back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector_operator.crds.release import ANNOTATION, RELEASE
from generate.chart.files import CHART
from tests.kit.cluster import OPERATOR_NAMESPACE, Kit, null_runner_image, wait_operator
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import default_images
from tests.servers.helm import HelmError, run_helm

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]  # the first run builds Helm
CRDS = ("connectors.apperate.io", "datasets.apperate.io")
VALUES: dict[str, Any] = {
    "image": {"tag": "dev"},
    "runnerImage": {"repository": "null-runner", "tag": "test"},
    # All pods share this machine's ports, so each listens on its own address.
    "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    "settings": {"listen": "$(POD_IP):8080", "runnerGrace": 5, "leaseDuration": 6},
}


class Release:
    """The chart on one cluster."""

    def __init__(self, cluster: LocalKube, home: Path) -> None:
        self.cluster, self.home = cluster, home
        self.values = home / "values.yaml"
        self.values.write_text(yaml.safe_dump(VALUES))

    def helm(self, *arguments: str) -> str:
        return run_helm(
            *arguments, "--namespace", OPERATOR_NAMESPACE, home=self.home, kubeconfig=self.cluster.kubeconfig
        )

    def bring(self, verb: str, *arguments: str) -> str:
        """Installs or upgrades it."""
        options = ("--values", str(self.values), "--wait", "--timeout", "180s")
        return self.helm(verb, "operator", str(CHART), *options, *arguments)

    def crd_marks(self) -> dict[str, tuple[str, str]]:
        """For each definition: its uid, and its release."""
        found = (self.cluster.get("crd", name)["metadata"] for name in CRDS)
        return {one["name"]: (one["uid"], one["annotations"][ANNOTATION]) for one in found}

    def wait_nothing_left(self) -> None:
        """Waits until nothing of the operator is in its namespace; pods end a little after Helm does."""

        def check() -> bool:
            kinds = "all,roles,rolebindings,serviceaccounts,poddisruptionbudgets"
            left = self.cluster.kubectl("get", kinds, "-n", OPERATOR_NAMESPACE, "-o", "name")
            assert "connector" not in left, left
            return True

        eventually(check, what="nothing of the operator is left")

    def mark_crds(self, release: str) -> None:
        self.cluster.kubectl("annotate", "--overwrite", "crd", *CRDS, f"{ANNOTATION}={release}")


@pytest.fixture(scope="module")
def release(local_only: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    images: dict[str, Any] = {**default_images(), "null-runner:test": null_runner_image()}
    cluster = LocalKube.start(tmp_path_factory.mktemp("chart"), images)
    try:
        yield Release(cluster, tmp_path_factory.mktemp("helm"))
    finally:
        cluster.stop()


def test_a_connector_outlives_the_chart(release: Release) -> None:
    said = release.bring("install", "--create-namespace")
    assert "No action of this chart deletes them" in said
    assert "all rows are still there" in said
    wait_operator(release.cluster)
    kit = Kit(release.cluster, "default")
    kit.dataset()
    kit.run("c")
    pod, marks = kit.live_pod("c")["metadata"]["uid"], release.crd_marks()
    assert {mark for _, mark in marks.values()} == {RELEASE}

    release.bring("upgrade", "--set=replicas=2", "--set=podDisruptionBudget.enabled=true")
    release.helm("rollback", "operator", "1", "--wait", "--timeout", "180s")
    release.helm("uninstall", "operator", "--wait")
    release.wait_nothing_left()
    assert "connector" not in release.cluster.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name")
    assert release.crd_marks() == marks
    assert kit.get("c")["spec"]["status"] == "running"

    release.bring("install")
    wait_operator(release.cluster)
    kit.apply("d")
    kit.wait("d", "received")  # the new operator has looked at everything that it found
    assert kit.status("c")["run"] == 1
    assert kit.live_pod("c")["metadata"]["uid"] == pod
    kit.patch("c", status="stopped")
    kit.wait("c", "stopped", ready=True)


def test_an_older_chart_refuses_and_a_rollback_leaves_definitions_alone(release: Release) -> None:
    """Runs after the test above: the chart is installed."""
    release.mark_crds("9.0.0")
    marks = release.crd_marks()
    with pytest.raises(
        HelmError,
        match=rf"connectors\.apperate\.io in this cluster is of release 9\.0\.0, newer than this chart's {RELEASE}",
    ):
        release.bring("upgrade")
    # The chart does not look: the Job does.
    with pytest.raises(HelmError, match=r"connectors\.apperate\.io is of release 9\.0\.0, newer than"):
        release.bring("upgrade", "--set=crds.check=false")
    assert release.crd_marks() == marks
    release.helm("rollback", "operator", "--wait", "--timeout", "180s")
    assert release.crd_marks() == marks
    release.mark_crds("0.0.1")
    release.bring("upgrade")
    assert {mark for _, mark in release.crd_marks().values()} == {RELEASE}
    assert "crds" not in release.cluster.kubectl("get", "jobs,clusterroles,sa", "-A", "-o", "name")


def test_definitions_of_kubectl_and_a_second_release_are_no_conflict(release: Release) -> None:
    """Runs after the tests above: the chart is installed, and what kubectl applies is owned by kubectl, too."""
    kubectl = release.cluster.kubectl
    kubectl("apply", "--server-side", "--force-conflicts", "-k", str(CHART.parents[1] / "crds"))
    kubectl("create", "namespace", "second")
    values = ("--set=clusterWide=false", "--set=settings.listen=$(POD_IP):8080")
    run_helm(
        "install", "operator", str(CHART), "--namespace", "second", "--values", str(release.values), *values, "--wait",
        "--timeout", "180s", home=release.home, kubeconfig=release.cluster.kubeconfig,
    )  # fmt: skip
    release.bring("upgrade")
    assert {mark for _, mark in release.crd_marks().values()} == {RELEASE}
