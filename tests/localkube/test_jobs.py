"""Jobs and Deployments: the controllers, over pods that are processes."""

from __future__ import annotations

from typing import Any

from tests.localkube.cluster import Cluster, eventually
from tests.localkube.workloads import container, is_gone, job, output, pod, running, terminated


def conditions(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    """A Job's true conditions by type."""
    found = cluster.read(f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}")
    return {c["type"]: c for c in found["status"].get("conditions", []) if c["status"] == "True"}


def pods_of(cluster: Cluster, namespace: str, app: str) -> list[dict[str, Any]]:
    """The pods with a label `app`."""
    found: list[dict[str, Any]] = cluster.read(f"/api/v1/namespaces/{namespace}/pods?labelSelector=app={app}")["items"]
    return found


def test_job_completes_and_keeps_its_log(cluster: Cluster, namespace: str) -> None:
    cluster.apply(job("good", container("echo done")), namespace)
    eventually(lambda: "Complete" in conditions(cluster, namespace, "good"))
    assert cluster.kubectl("logs", "job/good", "-n", namespace) == "done\n"


def test_job_is_cleaned_up_after_its_time(cluster: Cluster, namespace: str) -> None:
    cluster.apply(job("gone", container("true"), {"ttlSecondsAfterFinished": 1}), namespace)
    eventually(lambda: is_gone(cluster, f"/apis/batch/v1/namespaces/{namespace}/jobs/gone"), what="TTL")
    eventually(lambda: not pods_of(cluster, namespace, "gone"), what="its pod, too")


def test_pod_failure_policy_names_the_rule(cluster: Cluster, namespace: str) -> None:
    rules = [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [78]}},
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget"}]},
    ]
    policy = {"podFailurePolicy": {"rules": rules}}
    cluster.apply(job("config", container("exit 78"), policy), namespace)
    cluster.apply(job("crash", container("exit 1"), policy), namespace)
    cluster.apply(job("evicted", container("sleep 600"), policy), namespace)

    failed = eventually(lambda: conditions(cluster, namespace, "config").get("Failed"))
    assert failed["reason"] == "PodFailurePolicy"
    assert "exit code 78" in failed["message"]
    assert eventually(lambda: conditions(cluster, namespace, "crash").get("Failed"))["reason"] == "BackoffLimitExceeded"

    victim = eventually(lambda: pods_of(cluster, namespace, "evicted"))[0]["metadata"]["name"]
    running(cluster, namespace, victim)
    eviction = f'{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{victim}"}}}}'
    cluster.kubectl(
        "create", "--raw", f"/api/v1/namespaces/{namespace}/pods/{victim}/eviction", "-f", "-", input=eviction
    )
    failed = eventually(lambda: conditions(cluster, namespace, "evicted").get("Failed"))
    assert "DisruptionTarget" in failed["message"]


def test_foreground_deletion_waits_for_the_process(cluster: Cluster, namespace: str) -> None:
    cluster.apply(job("run", container("trap 'exit 143' TERM; while :; do sleep 0.05; done")), namespace)
    name = eventually(lambda: pods_of(cluster, namespace, "run"))[0]["metadata"]["name"]
    running(cluster, namespace, name)
    cluster.kubectl("delete", "job", "run", "-n", namespace, "--cascade=foreground")
    assert pods_of(cluster, namespace, "run") == []


def test_deployment_rolls_over_and_replaces_what_is_deleted(cluster: Cluster, namespace: str) -> None:
    def deployment(text: str) -> dict[str, Any]:
        script = f"echo {text}; trap 'exit 0' TERM; while :; do sleep 0.05; done"
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"terminationGracePeriodSeconds": 2, "containers": [container(script)]},
                },
            },
        }

    def texts() -> set[str]:
        alive = [p for p in pods_of(cluster, namespace, "web") if "deletionTimestamp" not in p["metadata"]]
        return {output(cluster, namespace, p["metadata"]["name"]) for p in alive}

    cluster.apply(deployment("one"), namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    first = {p["metadata"]["uid"] for p in pods_of(cluster, namespace, "web")}
    assert len(first) == 2

    cluster.kubectl("delete", "pod", "-l", "app=web", "-n", namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    assert first.isdisjoint(p["metadata"]["uid"] for p in pods_of(cluster, namespace, "web"))

    cluster.apply(deployment("two"), namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    eventually(lambda: texts() == {"two\n"})


def test_stateful_set_starts_in_order_and_each_pod_keeps_its_claim(cluster: Cluster, namespace: str) -> None:
    script = "hostname; echo $NAME >> /data/names; cat /data/names; trap 'exit 0' TERM; while :; do sleep 0.05; done"
    main = container(
        script, env=[{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
    )  # fmt: skip
    template = pod("db", main, restartPolicy="Always")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "replicas": 2,
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": template["spec"]},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }
    cluster.apply(manifest, namespace)
    cluster.kubectl("rollout", "status", "statefulset/db", "-n", namespace, "--timeout=60s")
    cluster.kubectl("delete", "pod", "db-1", "-n", namespace)
    cluster.kubectl("rollout", "status", "statefulset/db", "-n", namespace, "--timeout=60s")
    running(cluster, namespace, "db-1")
    assert output(cluster, namespace, "db-0").split()[1:] == ["db-0"]
    assert output(cluster, namespace, "db-1").split()[1:] == ["db-1", "db-1"]


def test_deadline_ends_a_job(cluster: Cluster, namespace: str) -> None:
    cluster.apply(job("slow", container("sleep 600"), {"activeDeadlineSeconds": 3}), namespace)
    assert eventually(lambda: conditions(cluster, namespace, "slow").get("Failed"))["reason"] == "DeadlineExceeded"
    eventually(lambda: not pods_of(cluster, namespace, "slow"))


def test_init_and_sidecar_containers(cluster: Cluster, namespace: str) -> None:
    mounts: dict[str, Any] = {"volumeMounts": [{"name": "state", "mountPath": "/state"}]}
    sidecar = container(
        "echo helps > /state/sidecar; while :; do sleep 0.05; done", name="sidecar", restartPolicy="Always",
        startupProbe={"exec": {"command": ["/bin/cat", "/state/sidecar"]}, "periodSeconds": 1}, **mounts,
    )  # fmt: skip
    setup = container("echo made > /state/init", name="setup", **mounts)
    main = container("cat /state/init /state/sidecar", **mounts)
    manifest = job("parts", main, initContainers=[setup, sidecar], volumes=[{"name": "state", "emptyDir": {}}])
    cluster.apply(manifest, namespace)
    eventually(lambda: "Complete" in conditions(cluster, namespace, "parts"))
    assert cluster.kubectl("logs", "job/parts", "-n", namespace, "-c", "main") == "made\nhelps\n"


def test_many_jobs_at_once(cluster: Cluster, namespace: str) -> None:
    count = 20
    manifest = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [job(f"many-{i}", container(f"echo {i}")) for i in range(count)],
    }
    cluster.apply(manifest, namespace)
    for i in range(count):
        eventually(lambda i=i: "Complete" in conditions(cluster, namespace, f"many-{i}"), what=f"many-{i}")
    names = [p["metadata"]["name"] for p in cluster.read(f"/api/v1/namespaces/{namespace}/pods")["items"]]
    assert sorted(int(output(cluster, namespace, name)) for name in names[:5]) == sorted(
        int(n.split("-")[1]) for n in names[:5]
    )
    assert terminated(cluster, namespace, names[-1])["exitCode"] == 0
