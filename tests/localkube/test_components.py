"""Taking parts of a cluster away: what survives, what heals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import default_images
from tests.localkube.workloads import container, job, output, phase, pod, running, state, terminated


@pytest.fixture(scope="module")
def own(local_only: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    """A cluster whose parts may be taken away without disturbing other tests."""
    cluster = LocalKube.start(tmp_path_factory.mktemp("own"), default_images())
    yield cluster
    cluster.stop()


def node_ready(cluster: LocalKube) -> str:
    conditions = cluster.read("/api/v1/nodes/localhost")["status"]["conditions"]
    return next(str(c["status"]) for c in conditions if c["type"] == "Ready")


def test_containers_survive_a_kubelet_that_is_killed(own: LocalKube, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    own.apply(
        pod("survivor", container(f"echo $$$$; while [ ! -e {gate} ]; do sleep 0.05; done; echo end; exit 7")),
        "default",
    )
    own.apply(pod("casualty", container("echo $$$$; sleep 600")), "default")
    running(own, "default", "survivor")
    running(own, "default", "casualty")
    before = state(own, "default", "survivor")["containerID"]
    pid = int(eventually(lambda: output(own, "default", "casualty")))

    kubelet = own.component("kubelet")
    kubelet.kill()
    eventually(lambda: "kubelet                  down" in own.status())
    os.kill(pid, 0)  # still there
    os.kill(pid, 9)
    kubelet.start()
    assert terminated(own, "default", "casualty")["exitCode"] == 137, "an end without a kubelet is told afterwards"
    assert state(own, "default", "survivor")["containerID"] == before
    gate.touch()
    assert terminated(own, "default", "survivor")["exitCode"] == 7
    assert output(own, "default", "survivor").endswith("end\n")


def test_pods_are_deleted_after_the_kubelet_is_back(own: LocalKube) -> None:
    own.apply(pod("deleted", container("echo $$$$; sleep 600")), "default")
    running(own, "default", "deleted")
    pid = int(eventually(lambda: output(own, "default", "deleted")))
    kubelet = own.component("kubelet")
    kubelet.kill()
    own.kubectl("delete", "pod", "deleted", "-n", "default", "--wait=false")
    os.kill(pid, 0)
    kubelet.start()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), what="killed as it was asked")


def test_a_silent_node_is_noticed_and_comes_back(own: LocalKube) -> None:
    own.apply(pod("quiet", container("sleep 600")), "default")
    running(own, "default", "quiet")
    kubelet = own.component("kubelet")
    kubelet.pause()
    assert "paused" in own.status()
    eventually(lambda: node_ready(own) == "Unknown", timeout=120, what="node unknown")
    taints = eventually(lambda: own.read("/api/v1/nodes/localhost")["spec"].get("taints"))
    assert "node.kubernetes.io/unreachable" in {t["key"] for t in taints}
    kubelet.resume()
    eventually(lambda: node_ready(own) == "True", timeout=120, what="node ready again")
    eventually(lambda: state(own, "default", "quiet").get("ready"), timeout=120)
    assert state(own, "default", "quiet")["restartCount"] == 0


@pytest.mark.parametrize("name", ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_cluster_works_again_after_a_component_was_killed(own: LocalKube, name: str) -> None:
    component = own.component(name)
    component.crash()
    own.run("up")  # idempotent: waits until it is ready again
    eventually(lambda: component.pid)
    job_name = f"after-{name}"
    eventually(lambda: own.kubectl("get", "--raw", "/readyz") == "ok")
    own.apply(job(job_name, container("echo works")), "default")
    own.kubectl("wait", "--for=condition=Complete", f"job/{job_name}", "-n", "default", "--timeout=90s")


def test_a_component_stays_away_until_it_is_started(own: LocalKube) -> None:
    scheduler = own.component("kube-scheduler")
    scheduler.kill()
    own.apply(pod("unscheduled", container("true")), "default")
    eventually(lambda: "kube-scheduler           down" in own.status())
    assert phase(own, "default", "unscheduled") == "Pending"
    scheduler.start()
    assert terminated(own, "default", "unscheduled")["exitCode"] == 0


def test_unknown_component_is_an_error_that_names_the_known_ones(own: LocalKube) -> None:
    with pytest.raises(ValueError, match="kube-scheduler"):
        own.component("scheduler")
    with pytest.raises(RuntimeError, match="kill, stop, start, restart"):
        own.run("component", "etcd", "explode")
