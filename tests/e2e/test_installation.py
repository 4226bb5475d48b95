"""What a whole installation has: settings that reach Jobs which never started, and namespaces that go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.local_operator import as_account, operator, start_bare
from tests.kit.cluster import Kit
from tests.localkube.cluster import LocalKube, eventually

ROLE = "connector-operator"


@pytest.fixture(scope="module")
def bare(local_only: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    cluster = start_bare(tmp_path_factory.mktemp("bare"))
    yield cluster
    cluster.stop()


def make_namespace(cluster: LocalKube, name: str) -> Kit:
    cluster.kubectl("create", "namespace", name)
    kit = Kit(cluster, name)
    kit.dataset()
    return kit


def test_the_right_image_reaches_what_never_started_and_nothing_that_keeps_its_own(
    bare: LocalKube, tmp_path: Path
) -> None:
    kit = make_namespace(bare, "images")
    flags = ("--namespaces=images", "--lease-namespace=images", "--runner-pull-policy=Never")
    with operator(bare.kubeconfig, tmp_path, *flags, "--runner-image=null-runner:test"):
        kit.run("runs", runner={"updatePolicy": "OnRestart"})
        pod = kit.live_pod("runs")["metadata"]["uid"]
        kit.apply("waits", selectedStream="ticker")
        kit.wait("waits", "ready")
    with operator(bare.kubeconfig, tmp_path, *flags, "--runner-image=nonsense:1"):
        kit.patch("waits", status="running")
        kit.apply("lists")
        kit.wait("waits", "running", reason="ImageNotPulled", ready=False)
        kit.wait("lists", "pending", reason="ImageNotPulled", ready=False)
        assert kit.condition("waits", "Stalled")["status"] == "True"
    with operator(bare.kubeconfig, tmp_path, *flags, "--runner-image=null-runner:test"):
        kit.wait("waits", "running", ready=True)
        kit.wait("lists", "received", ready=True)
        assert kit.live_pod("runs")["metadata"]["uid"] == pod
        assert kit.status("runs")["run"] == 1


def bind(cluster: LocalKube, namespace: str) -> None:
    rules = [
        ("apperate.io", "connectors,datasets", "get,list,watch"),
        ("apperate.io", "connectors/status,datasets/status", "patch"),
        ("batch", "jobs", "get,list,watch,create,delete"),
        ("", "pods", "list"),
        ("", "pods/log", "get"),
        ("", "events", "list,create,patch"),
        ("coordination.k8s.io", "leases", "get,create,update"),
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": ROLE, "namespace": namespace},
        "rules": [
            {"apiGroups": [group], "resources": kinds.split(","), "verbs": verbs.split(",")}
            for group, kinds, verbs in rules
        ],
    }
    cluster.apply(role)
    cluster.kubectl("create", "rolebinding", ROLE, f"--role={ROLE}", f"--serviceaccount=a:{ROLE}", "-n", namespace)


@pytest.mark.fault
def test_a_namespace_that_goes_takes_no_other_along(bare: LocalKube, tmp_path: Path) -> None:
    kits = {name: make_namespace(bare, name) for name in ("a", "b")}
    bare.kubectl("create", "serviceaccount", ROLE, "-n", "a")
    bind(bare, "a")
    kubeconfig = as_account(bare, "a", ROLE, tmp_path)
    flags = ("--namespaces=a,b", "--lease-namespace=a", "--runner-image=null-runner:test", "--runner-pull-policy=Never")
    with operator(kubeconfig, tmp_path, *flags) as log:
        kits["a"].run("c")
        assert "not watched, because the rights are missing there or the namespace is gone: b" in log.read_text()
        bind(bare, "b")
        kits["b"].run("c")
        bare.kubectl("delete", "rolebinding", ROLE, "-n", "b")
        bare.component("kube-apiserver").restart()  # every watch breaks, and is begun anew

        def is_told() -> bool:
            return log.read_text().count("the namespace is gone: b") == 2

        eventually(is_told, timeout=90, what="b is told to be lost")
        kits["a"].run("d")
        bare.kubectl("delete", "namespace", "b", "--wait=false")
        kits["a"].patch("d", restartedAt="now")
        kits["a"].wait_next_run("d", 1)
