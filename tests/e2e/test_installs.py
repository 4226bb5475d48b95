"""The install for one namespace, on a cluster where it is the only one: Roles are enough, and other namespaces are left alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.cluster import ROOT, Kit, null_runner_image
from tests.localkube.cluster import LocalKube
from tests.localkube.plugin import default_images

OVERLAY = """
namespace: mine
resources: [{manifests}]
images:
  - {{name: connector-operator, newTag: dev}}
patches:
  - patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: {{name: connector-operator}}
      spec:
        template:
          spec:
            containers:
              - name: operator
                # All pods share this machine's ports, so each listens on its own address.
                env:
                  - {{name: CONNECTOR_OPERATOR_RUNNER_IMAGE, value: "null-runner:test"}}
                  - {{name: POD_IP, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}
                  - {{name: CONNECTOR_OPERATOR_LISTEN, value: "$(POD_IP):8080"}}
"""


@pytest.fixture
def installed(local_only: None, tmp_path: Path) -> Iterator[LocalKube]:
    images: dict[str, Any] = {**default_images(), "null-runner:test": null_runner_image()}
    cluster = LocalKube.start(tmp_path / "cluster", images)
    try:
        overlay = tmp_path / "install" / "kustomization.yaml"
        overlay.parent.mkdir()
        manifests = os.path.relpath(ROOT / "manifests/namespaced", overlay.parent.resolve())
        overlay.write_text(OVERLAY.format(manifests=manifests))
        cluster.kubectl("create", "namespace", "mine")
        cluster.kubectl("label", "namespace", "mine", "pod-security.kubernetes.io/enforce=restricted")
        cluster.kubectl("apply", "--server-side", "-k", str(overlay.parent))
        cluster.kubectl("rollout", "status", "-n", "mine", "deployment/connector-operator", "--timeout=120s")
        yield cluster
    finally:
        cluster.stop()


def test_roles_of_one_namespace_are_enough(installed: LocalKube) -> None:
    assert installed.kubectl("get", "clusterroles", "-o", "name").count("connector") == 0
    other = Kit(installed, "default")
    other.apply("not-mine")
    kit = Kit(installed, "mine")
    kit.dataset()
    kit.run("c")
    kit.patch("c", status="stopped")
    kit.wait("c", "stopped", ready=True)
    kit.delete("c")
    kit.wait_gone("c")
    assert other.status("not-mine") == {"observedGeneration": -1}  # the default of one that nobody has looked at
