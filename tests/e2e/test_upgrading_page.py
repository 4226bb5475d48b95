"""docs/upgrading.md, typed: an upgrade by its first block, a broken image found by its second one, and the way back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit.cluster import OPERATOR_NAMESPACE, ROOT, Kit, null_runner_image, wait_operator
from tests.kit.monitoring import PATIENT, build_monitored, read_hurried_rules
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import default_images
from tests.servers.prometheus import PrometheusServer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]
NAMES = ("a", "b")
FIRST, SECOND, BROKEN = (f"connector-runner:0.1.{number}" for number in range(3))


@pytest.fixture
def cluster(local_only: None, tmp_path: Path) -> Iterator[LocalKube]:
    good = null_runner_image()
    images: dict[str, Any] = {
        "connector-operator:0.1.0": default_images()["connector-operator:dev"],
        FIRST: good,
        SECOND: good,
        BROKEN: {"command": [sys.executable, "-c", "import sys; sys.exit(3)"], "user": 65532},
    }
    cluster = LocalKube.start(tmp_path / "cluster", images)
    yield cluster
    cluster.stop()


class Person:
    """Somebody at the top of a checkout whose manifests name their own images."""

    def __init__(self, cluster: LocalKube, folder: Path) -> None:
        self._folder, self._cluster = folder, cluster
        (folder / "crds").symlink_to(ROOT / "crds")
        (folder / "manifests/cluster-wide").mkdir(parents=True)

    def set_runner(self, image: str) -> None:
        """What a person changes before an upgrade, and what this machine needs: all pods share its ports."""
        place = self._folder / "manifests/cluster-wide"
        env = {
            "CONNECTOR_OPERATOR_RUNNER_IMAGE": image,
            "CONNECTOR_OPERATOR_LISTEN": "$(POD_IP):8080",
            "CONNECTOR_OPERATOR_UPDATE_MIN_READY": "1",
            "CONNECTOR_OPERATOR_RUNNER_GRACE": "5",
            "CONNECTOR_OPERATOR_LEASE_DURATION": "6",
        }
        variables: list[object] = [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            *({"name": name, "value": value} for name, value in env.items()),
        ]
        patch = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "connector-operator", "namespace": "connector-operator"},
            "spec": {"template": {"spec": {"containers": [{"name": "operator", "env": variables}]}}},
        }
        whole = {
            "resources": [os.path.relpath(ROOT / "manifests/cluster-wide", place)],
            "patches": [{"patch": yaml.safe_dump(patch)}],
        }
        (place / "kustomization.yaml").write_text(yaml.safe_dump(whole))

    def type(self, block: str) -> str:
        path = f"{Path(self._cluster.kubectl_program).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", block], cwd=self._folder, text=True, check=False,
            env={**os.environ, "KUBECONFIG": str(self._cluster.kubeconfig), "PATH": path},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, f"$ {block}\n{done.stdout}"
        return done.stdout


def read_blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (ROOT / "docs/upgrading.md").read_text(), flags=re.DOTALL)


def wait_all(kit: Kit, image: str) -> None:
    """Until all run from this image, and the operator says that none must follow."""

    def check() -> bool:
        statuses = [kit.status(name) for name in NAMES]
        found = [(one.get("runnerVersion"), kit.condition(name, "RunnerUpToDate").get("reason")) for one, name in zip(statuses, NAMES, strict=True)]  # fmt: skip
        if found != [(image.rpartition(":")[2], "UpToDate")] * len(NAMES):
            raise LookupError(str(found))
        return True

    eventually(check, timeout=180, what=f"all run from {image}")


def test_the_page_is_an_upgrade_and_shows_what_has_stopped_one(cluster: LocalKube, tmp_path: Path) -> None:
    upgrade, look = read_blocks()  # a block that is new fails here
    person = Person(cluster, tmp_path)
    person.set_runner(FIRST)
    person.type(upgrade)
    wait_operator(cluster)
    kit = Kit(cluster, "default")
    kit.dataset()
    kit.wait_dataset()
    for name in NAMES:
        kit.apply(name, selectedStream="ticker", status="running")
    wait_all(kit, FIRST)

    person.set_runner(SECOND)
    said = person.type(upgrade)
    assert re.search(r"NAME.* VERSION .*UPTODATE", said), said
    wait_all(kit, SECOND)
    assert [kit.status(name)["run"] for name in NAMES] == [2, 2]

    person.set_runner(BROKEN)
    person.type(upgrade)

    def failed() -> str | None:
        return next((n for n in NAMES if kit.condition(n, "RunnerUpToDate").get("reason") == "UpdateFailed"), None)

    name = eventually(failed, timeout=180, what="the roll-out stops")
    (other,) = set(NAMES) - {name}
    said = person.type(look.replace("NAME", name))
    (line,) = (line for line in said.splitlines() if "UpdateFailed" in line and line.startswith("default"))
    assert line.split()[1] == name
    assert "Reason:" in said
    assert kit.status(other)["run"] == 2
    assert kit.condition(other)["status"] == "True"

    told = wait_alert(cluster, "ConnectorImageRolloutStopped")
    assert f"Connector default/{name};" in told["annotations"]["summary"]

    person.set_runner(SECOND)  # "set a fixed one, or the earlier one"
    person.type(upgrade)
    wait_all(kit, SECOND)
    assert kit.status(other)["run"] == 2, "it never ran the broken image"
    assert json.loads(cluster.kubectl("get", "connector", name, "-o", "json"))["status"].get("update") is None

    cluster.kubectl("scale", "deployment/connector-operator", "-n", OPERATOR_NAMESPACE, "--replicas=0")
    assert "No operator is active" in wait_alert(cluster, "ConnectorOperatorAbsent")["annotations"]["summary"]


def wait_alert(cluster: LocalKube, alert: str) -> dict[str, Any]:
    """Until a Prometheus that scrapes the cluster's operator reports it."""
    configuration = {"global": PATIENT, "scrape_configs": build_monitored(cluster.kubeconfig)}
    with PrometheusServer(configuration, {"rules.yml": read_hurried_rules()}) as prometheus:

        def fired() -> dict[str, Any]:
            found = [one for one in prometheus.alerts() if one["state"] == "firing"]
            named = {one["labels"]["alertname"]: one for one in found}
            if alert not in named:
                raise LookupError(f"firing: {sorted(named)}")
            return dict(named[alert])

        return dict(eventually(fired, timeout=240, what=alert))
