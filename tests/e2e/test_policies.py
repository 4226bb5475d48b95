"""What other controllers and policies do to our objects is reported and left alone, and never causes a loop of requests."""

import json
import os
import shlex
import signal
import time
from datetime import UTC, datetime

import pytest

from tests.e2e.policies import GATE, SIDECAR, STRIP_LABELS, SUSPEND, mutate, refuse
from tests.kit.cluster import Audit, Kit, find_process
from tests.localkube.cluster import LocalKube, eventually

RUNNING = {"selectedStream": "ticker", "status": "running"}
MOST_A_MINUTE = 30
"""Requests of the operator about one connector, whatever a cluster does to its objects; docs/among-others.md states it."""
STRIP = '[JSONPatch{op: "remove", path: "/metadata/annotations"}]'


def rate(audit: Audit, kit: Kit, seconds: float) -> float:
    """The operator's requests a minute about a namespace over the next seconds."""
    before, begun = audit.count(kit.namespace).total(), time.monotonic()
    eventually(lambda: time.monotonic() - begun >= seconds, timeout=seconds + 30, what="the time is over")
    return (audit.count(kit.namespace).total() - before) * 60 / (time.monotonic() - begun)


def test_a_refused_change_leaves_the_execution_alone(kit: Kit, localkube: LocalKube) -> None:
    kit.run("c")
    pod = kit.live_pod("c")["metadata"]["uid"]
    kit.patch("c", runner={"podLabels": {"a": "b c"}})
    kit.wait("c", "running", reason="JobRefused", ready=False)
    assert "a valid label must" in kit.condition("c")["message"]
    assert kit.condition("c", "Stalled")["status"] == "True"
    audit = Audit(localkube)
    assert rate(audit, kit, 10) <= MOST_A_MINUTE
    assert kit.live_pod("c")["metadata"]["uid"] == pod
    kit.patch("c", runner={"podLabels": {"a": "b"}})
    kit.wait_next_run("c", 1)
    assert kit.status("c")["run"] == 2


@pytest.mark.fault
def test_a_policy_that_begins_to_refuse_jobs_takes_nothing_away(kit: Kit) -> None:
    kit.run("c")
    pod = kit.live_pod("c")["metadata"]["uid"]
    with refuse(kit, "jobs", "no jobs here"):
        kit.patch("c", restartedAt="now")
        kit.wait("c", "running", reason="JobRefused", ready=False)
        assert "no jobs here" in kit.condition("c")["message"]
        assert kit.live_pod("c")["metadata"]["uid"] == pod
    kit.wait_next_run("c", 1)


@pytest.mark.fault
def test_a_quota_that_one_job_fits_in_does_not_hinder_a_change(kit: Kit) -> None:
    kit.run("c")
    kit.kubectl("create", "quota", "one", "--hard=count/jobs.batch=1")
    eventually(lambda: "count/jobs.batch: 1/1" in kit.kubectl("get", "quota"), what="the quota is used up")
    kit.patch("c", restartedAt="now")
    kit.wait_next_run("c", 1)


@pytest.mark.fault
def test_a_quota_that_no_job_fits_in_leaves_the_execution_alone(kit: Kit) -> None:
    kit.run("c")
    kit.kubectl("create", "quota", "none", "--hard=count/jobs.batch=0")
    eventually(lambda: "count/jobs.batch: 1/0" in kit.kubectl("get", "quota"), what="the quota is counted")
    kit.patch("c", restartedAt="now")
    kit.wait("c", "running", reason="JobRefused", ready=False)
    assert len([p for p in kit.pods("c") if p["status"]["phase"] == "Running"]) == 1


def test_what_only_the_scheduler_knows_is_told_as_stalled_and_mended_at_once(kit: Kit) -> None:
    kit.run("c")
    kit.patch("c", runner={"nodeSelector": {"no": "such"}})
    kit.wait("c", "running", reason="Unschedulable", ready=False)
    assert kit.condition("c", "Stalled")["status"] == "True"
    assert kit.condition("c", "Reconciling")["status"] == "False"
    kit.patch("c", runner=None)
    kit.wait("c", "running", ready=True)


def test_suspended_jobs_wait_to_be_admitted(kit: Kit, localkube: LocalKube) -> None:
    with mutate(kit, "jobs", SUSPEND):
        audit = Audit(localkube)
        kit.apply("c", **RUNNING)
        kit.wait("c", "pending", reason="AwaitingAdmission", ready=False)
        assert rate(audit, kit, 10) <= MOST_A_MINUTE
        admit(kit, "discovery")
        kit.wait("c", "running", reason="AwaitingAdmission", ready=False)
        assert rate(audit, kit, 10) <= MOST_A_MINUTE
        assert kit.status("c")["run"] == 1
        admit(kit, "runner")
        kit.wait("c", "running", ready=True)
    assert kit.status("c")["run"] == 1


def admit(kit: Kit, role: str) -> None:
    job = eventually(lambda: kit.jobs("c", role), what=f"a Job for the {role}")[0]["metadata"]["name"]
    kit.kubectl("patch", "job", job, "--type=merge", "-p", '{"spec":{"suspend":false}}')


@pytest.mark.fault
def test_jobs_without_our_annotations_are_as_good(kit: Kit, localkube: LocalKube) -> None:
    with mutate(kit, "jobs", STRIP):
        audit = Audit(localkube)
        kit.run("c")
        assert rate(audit, kit, 10) <= MOST_A_MINUTE
        assert kit.status("c")["run"] == 1


def test_a_sidecar_hinders_neither_discovery_nor_runner(kit: Kit) -> None:
    with mutate(kit, "pods", SIDECAR):
        kit.run("c")
        assert [c["name"] for c in kit.live_pod("c")["spec"]["containers"]] == ["mesh", "runner"]
        os.kill(find_process(f"POD_IP={kit.live_pod('c')['status']['podIP']}"), signal.SIGKILL)
        status = kit.wait_next_run("c", 1)
        assert (status["lastExecution"]["exitCode"], status["run"]) == (137, 2)
        kit.patch("c", config={"url": "ws://null?run=exit-0&after=2"})
        kit.wait("c", "stopped", reason="Completed")
        kit.wait_gone("c")


@pytest.mark.fault
def test_a_discovery_that_fails_beside_a_sidecar_says_why(kit: Kit) -> None:
    with mutate(kit, "pods", SIDECAR):
        kit.apply("c", "ws://null?discover=exit-78")
        kit.wait("c", "errored", reason="BadCredentials")
        kit.patch("c", config={"url": "ws://null"})
        kit.wait("c", "received", ready=True)


@pytest.mark.fault
def test_a_policy_that_takes_our_labels_from_jobs_is_told_and_takes_nothing_away(
    kit: Kit, localkube: LocalKube
) -> None:
    kit.run("old")
    pod = kit.live_pod("old")["metadata"]["uid"]
    with mutate(kit, "jobs", STRIP_LABELS):
        kit.patch("old", restartedAt="now")
        kit.wait("old", "running", reason="JobRefused", ready=False)
        kit.apply("new", "ws://null?new", **RUNNING)  # otherwise it would take the list of streams from the other
        kit.wait("new", "pending", reason="JobRefused", ready=False)
        for name in ("old", "new"):
            assert "label apperate.io/connector, label apperate.io/role" in kit.condition(name)["message"]
            assert kit.condition(name, "Stalled")["status"] == "True"
        audit = Audit(localkube)
        assert rate(audit, kit, 20) <= 2 * MOST_A_MINUTE
        assert kit.live_pod("old")["metadata"]["uid"] == pod
        jobs = kit.api.get(f"/apis/batch/v1/namespaces/{kit.namespace}/jobs")["items"]
        assert [job["metadata"]["name"].rpartition("-")[0] for job in jobs] == ["old"], (
            "a Job that nobody watches is left"
        )
    kit.wait_next_run("old", 1)
    kit.patch("new", restartedAt="now")
    kit.wait("new", "running", ready=True)


@pytest.mark.fault
def test_a_policy_that_takes_our_labels_from_pods_is_told(kit: Kit, localkube: LocalKube) -> None:
    with mutate(kit, "pods", STRIP_LABELS):
        kit.apply("c", **RUNNING)
        kit.wait("c", "pending", reason="CatalogueLost", ready=False)
        assert "takes the label apperate.io/connector away from pods" in kit.condition("c")["message"]
    kit.patch("c", rediscoverAt="now")
    kit.wait("c", "running", ready=True)


@pytest.mark.fault
def test_a_node_that_is_being_made_is_waited_for(kit: Kit, localkube: LocalKube) -> None:
    kit.run("c")
    kit.patch("c", runner={"nodeSelector": {"made": kit.namespace}})
    kit.wait("c", "running", reason="Unschedulable", ready=False)
    pod = next(p["metadata"] for p in kit.pods("c") if p["status"]["phase"] == "Pending")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "scale-up", "namespace": kit.namespace},
        "involvedObject": {"kind": "Pod", "namespace": kit.namespace, "name": pod["name"], "uid": pod["uid"]},
        "type": "Normal",
        "reason": "TriggeredScaleUp",
        "message": "pod triggered scale-up: [{pool 1->2 (max: 3)}]",
        "source": {"component": "cluster-autoscaler"},
        "firstTimestamp": now,
        "lastTimestamp": now,
    }
    kit.kubectl("create", "-f", "-", input=json.dumps(event))
    eventually(lambda: "triggered scale-up" in kit.condition("c")["message"], timeout=60, what="the event is told")
    assert (kit.condition("c", "Stalled")["status"], kit.condition("c", "Reconciling")["status"]) == ("False", "True")
    try:
        localkube.kubectl("label", "node", "localhost", f"made={kit.namespace}")
        kit.wait("c", "running", ready=True)
    finally:
        localkube.kubectl("label", "node", "localhost", "made-")


@pytest.mark.fault
def test_a_scheduler_that_is_not_there_is_named(kit: Kit) -> None:
    kit.apply("c", runner={"schedulerName": "misspelt"}, **RUNNING)
    kit.wait("c", "pending", reason="Unschedulable", timeout=240)
    assert "is one named 'misspelt' running?" in kit.condition("c")["message"]
    assert kit.condition("c", "Stalled")["status"] == "True"
    kit.patch("c", runner={"schedulerName": None})
    kit.wait("c", "running", ready=True)


@pytest.mark.fault
def test_pods_behind_scheduling_gates_wait_to_be_admitted(kit: Kit, localkube: LocalKube) -> None:
    kit.run("c")
    with mutate(kit, "pods", GATE):
        kit.patch("c", restartedAt="now")
        kit.wait("c", "running", reason="AwaitingAdmission", ready=False)
        assert "queue.example/gate" in kit.condition("c")["message"]
        audit = Audit(localkube)
        assert rate(audit, kit, 10) <= MOST_A_MINUTE
        command = kit.condition("c")["message"].partition("by hand: kubectl ")[2].removesuffix(".")
        localkube.kubectl(*shlex.split(command))
        kit.wait("c", "running", ready=True)


@pytest.mark.fault
def test_discoveries_behind_scheduling_gates_keep_their_place_and_are_in_nobodys_way(
    kit: Kit, localkube: LocalKube
) -> None:
    """The queue takes longer than the deadline of a discovery (20 s here), and more wait than may run at a time (10)."""
    held = [f"c{number}" for number in range(11)]
    with mutate(kit, "pods", GATE):
        for name in held:
            kit.apply(name, config={"url": "ws://null", "productId": [name]}, **RUNNING)
        for name in held:
            kit.wait(name, "pending", reason="AwaitingAdmission")
        jobs = {name: kit.jobs(name, "discovery")[0]["metadata"]["uid"] for name in held}
    kit.run("c")
    begun = time.monotonic()
    eventually(lambda: time.monotonic() - begun >= 25, timeout=60, what="the deadline has passed")
    assert {name: kit.jobs(name, "discovery")[0]["metadata"]["uid"] for name in held} == jobs
    for name in held:
        assert kit.condition(name)["reason"] == "AwaitingAdmission"
    command = kit.condition("c0")["message"].partition("by hand: kubectl ")[2].removesuffix(".")
    localkube.kubectl(*shlex.split(command))
    kit.wait("c0", "running", ready=True)
