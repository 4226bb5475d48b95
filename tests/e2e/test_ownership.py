"""Whose objects are whose: other people's Jobs are left alone, and a deletion in the foreground waits for ours."""

import json
from typing import Any

import pytest

from tests.kit.cluster import Kit
from tests.localkube.cluster import eventually

LABELS = {
    "apperate.io/connector": "c",
    "apperate.io/role": "runner",
    "apperate.io/run": "1",
    "app.kubernetes.io/managed-by": "connector-operator",
}


def make_job(kit: Kit, name: str, command: str) -> None:
    container = {"name": "runner", "image": "sh:test", "args": [command]}
    job: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": LABELS},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 1},
            },
        },
    }
    kit.kubectl("create", "-f", "-", input=json.dumps(job))


def test_a_persons_jobs_with_our_labels_are_left_alone_and_hinder_nothing(kit: Kit) -> None:
    make_job(kit, "mine-done", "exit 0")
    make_job(kit, "mine-failed", "exit 1")
    make_job(kit, "mine-running", "trap 'exit 0' TERM; while :; do sleep 1; done")
    kit.kubectl("wait", "job/mine-done", "--for=condition=Complete", "--timeout=60s")
    kit.kubectl("wait", "job/mine-failed", "--for=condition=Failed", "--timeout=60s")
    before = kit.kubectl("get", "jobs,pods", "-o", "name")
    kit.run("c")
    kit.patch("c", restartedAt="now")
    kit.wait_next_run("c", 1)
    kit.patch("c", status="stopped")
    kit.wait("c", "stopped", ready=True)
    kit.wait_condition("c", "Reconciling", "Settled")
    eventually(
        lambda: kit.kubectl("get", "jobs,pods", "-o", "name") == before, what="only the person's objects are left"
    )
    kit.delete("c")
    eventually(lambda: "connector" not in kit.kubectl("get", "connectors", "-o", "name"), what="the connector is gone")
    assert kit.kubectl("get", "jobs,pods", "-o", "name") == before


@pytest.mark.fault
def test_a_copy_of_our_job_is_not_ours(kit: Kit) -> None:
    kit.run("c")
    job = {"apiVersion": "batch/v1", "kind": "Job", **kit.jobs("c")[0]}
    ours = job["metadata"]["name"]
    for key in ("uid", "resourceVersion", "creationTimestamp"):
        del job["metadata"][key]
    job["metadata"]["name"] = "copy"
    del job["spec"]["selector"]
    for key in [k for k in job["spec"]["template"]["metadata"]["labels"] if "controller-uid" in k or "job-name" in k]:
        del job["spec"]["template"]["metadata"]["labels"][key]
    for key in [k for k in job["metadata"]["labels"] if "controller-uid" in k or "job-name" in k]:
        del job["metadata"]["labels"][key]
    job["spec"]["suspend"] = True
    kit.kubectl("create", "-f", "-", input=json.dumps({k: v for k, v in job.items() if k != "status"}))
    kit.patch("c", status="stopped")
    kit.wait("c", "stopped", ready=True)
    left = kit.kubectl("get", "jobs", "-o", "name")
    assert "copy" in left
    assert ours not in left


def test_a_deletion_in_the_foreground_waits_for_the_runner(kit: Kit) -> None:
    kit.run("c", "ws://null?term=ignore", runner={"terminationGracePeriodSeconds": 5})
    kit.kubectl("delete", "connector", "c", "--cascade=foreground", "--timeout=60s")
    assert kit.jobs("c", "") == []
    assert [p for p in kit.pods("c", "") if p["status"]["phase"] == "Running"] == []


def test_a_stuck_discovery_follows_a_mended_pod_at_once(kit: Kit) -> None:
    kit.apply("c", runner={"nodeSelector": {"no": "such"}})
    kit.wait("c", "pending", reason="Unschedulable", ready=False)
    kit.patch("c", runner=None)
    kit.wait("c", "received", ready=True, timeout=30)


@pytest.mark.fault
def test_a_catalogue_with_one_id_twice_is_taken_and_told(kit: Kit) -> None:
    kit.apply("c", "ws://null?twice=ticker")
    status = kit.wait("c", "received", ready=True)
    assert [stream["id"] for stream in status["streams"]] == ["ticker", "matches"]
    assert "'ticker' (2 times)" in kit.condition("c", "Discovered")["message"]
