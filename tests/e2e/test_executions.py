"""What can happen to an execution: changed, crashed, killed, evicted, deleted, edited, refused; the next one follows, never two."""

import json
import os
import signal
from datetime import datetime
from typing import Any

import pytest

from tests.kit.cluster import Audit, Kit, find_process
from tests.localkube.cluster import LocalKube, eventually

RUNNING = {"selectedStream": "ticker", "status": "running"}
CONNECTOR_LABEL = "apperate.io/connector"
EDITS: dict[str, Any] = {
    "job-suspended": {"spec": {"suspend": True}},
    "job-scaled": {"spec": {"parallelism": 0}},
    "job-unlabelled": {"metadata": {"labels": {CONNECTOR_LABEL: None}}},
}


def audit_time(event: dict[str, Any], which: str) -> datetime:
    return datetime.fromisoformat(event[which])


def test_a_change_replaces_the_execution_and_the_old_pod_is_gone_before(kit: Kit, localkube: LocalKube) -> None:
    kit.run("c")
    old = kit.live_pod("c")["metadata"]
    audit = Audit(localkube)
    kit.patch("c", config={"url": "ws://null?other=1"})
    status = kit.wait_next_run("c", 1)
    assert status["lastExecution"]["reason"] == "Replaced"
    events = list(audit.events(user="", namespace=kit.namespace))
    gone = [
        audit_time(e, "stageTimestamp")
        for e in events
        if e["verb"] == "delete" and e["objectRef"]["resource"] == "pods" and e["objectRef"]["name"] == old["name"]
        if e["responseStatus"]["code"] == 200  # who comes too late is answered 404
    ]
    made = [
        audit_time(e, "requestReceivedTimestamp")
        for e in events
        if e["verb"] == "create" and e["objectRef"]["resource"] == "jobs"
    ]
    assert gone
    assert made[-1] > max(gone)


def test_a_bad_change_leaves_the_execution_alone(kit: Kit) -> None:
    kit.run("c")
    pod = kit.live_pod("c")["metadata"]["uid"]
    kit.patch("c", config={"url": "ws://null?discover=exit-78"})
    kit.wait("c", "running", reason="BadCredentials", ready=False)
    kit.patch("c", selectedStream="nonsense", config={"url": "ws://null"})
    kit.wait("c", "running", reason="UnknownStream", ready=False)
    assert kit.live_pod("c")["metadata"]["uid"] == pod
    kit.patch("c", selectedStream="ticker", config={"url": "ws://null"})
    kit.wait("c", "running", ready=True)


def test_restarted_at_restarts_once(kit: Kit) -> None:
    kit.run("c")
    kit.patch("c", restartedAt="now")
    kit.wait_next_run("c", 1)
    assert kit.status("c")["run"] == 2


@pytest.mark.parametrize(
    "how",
    [
        "deleted",
        "forced",
        "evicted",
        "job-deleted",
        "job-deleted-first",
        "job-suspended",
        "job-scaled",
        "job-unlabelled",
    ],
)
def test_what_is_taken_away_comes_back(kit: Kit, how: str) -> None:
    kit.run("c")
    pod = kit.live_pod("c")["metadata"]
    job = pod["labels"]["batch.kubernetes.io/job-name"]
    if how == "deleted":
        kit.kubectl("delete", "pod", pod["name"], "--wait=false")
    elif how == "forced":
        kit.kubectl("delete", "pod", pod["name"], "--force", "--grace-period=0", "--wait=false")
    elif how == "evicted":
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod["name"]}}
        path = f"/api/v1/namespaces/{kit.namespace}/pods/{pod['name']}/eviction"
        kit.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(eviction))
    elif how in EDITS:
        kit.kubectl("patch", "job", job, "--type=merge", "-p", json.dumps(EDITS[how]))
    else:
        cascade = "background" if how == "job-deleted" else "foreground"
        kit.kubectl("delete", "job", job, f"--cascade={cascade}", "--wait=false")
    status = kit.wait_next_run("c", 1)
    reasons = {
        "deleted": "Disrupted",
        "evicted": "Disrupted",
        "job-suspended": "JobSuspended",
        "job-scaled": "JobSuspended",
    }
    assert status["lastExecution"]["reason"] in {reasons.get(how, "JobDeleted"), "PodLost", "Disrupted"}
    assert len([p for p in kit.pods("c") if p["status"]["phase"] == "Running"]) == 1


def test_a_pod_without_a_job_is_told_and_nothing_starts_before_it_is_gone(kit: Kit) -> None:
    kit.run("c")
    pod = kit.live_pod("c")["metadata"]["name"]
    kit.kubectl("delete", "jobs", f"--selector={CONNECTOR_LABEL}=c", "--cascade=orphan")
    kit.wait("c", "running", reason="PodOrphaned", ready=False)
    command = kit.condition("c")["message"].partition("kubectl ")[2].rstrip(".").split()
    assert kit.live_pod("c")["metadata"]["name"] == pod
    kit.kubectl(*command)
    kit.wait_next_run("c", 1)


def owner_of(job: dict[str, Any]) -> str:
    return next((str(owner["uid"]) for owner in job["metadata"].get("ownerReferences", ())), "")


def test_what_an_earlier_namesake_left_makes_way(kit: Kit) -> None:
    kit.run("c")
    old = kit.live_pod("c")["metadata"]["uid"]
    kit.kubectl("delete", "connector", "c", "--cascade=orphan")
    kit.run("c")
    assert kit.live_pod("c")["metadata"]["uid"] != old
    uid = kit.get("c")["metadata"]["uid"]
    eventually(lambda: {owner_of(job) for job in kit.jobs("c")} == {uid}, what="no Job of the namesake")


def test_a_hung_process_is_killed_by_its_liveness_probe(kit: Kit) -> None:
    kit.run("c")
    os.kill(find_process(f"POD_IP={kit.live_pod('c')['status']['podIP']}"), signal.SIGSTOP)
    # Six probes ten seconds apart must fail, then its grace must pass.
    eventually(lambda: kit.status("c")["run"] > 1, timeout=180, what="the next run")
    assert kit.status("c")["lastExecution"]["exitCode"] == 137
    kit.wait("c", "running", ready=True)


def test_a_runner_that_does_not_leave_is_killed_and_told(kit: Kit) -> None:
    kit.run("c", "ws://null?term=ignore", runner={"terminationGracePeriodSeconds": 5})
    kit.patch("c", status="stopped")
    kit.wait("c", "stopped", ready=True)
    assert "killed" in kit.status("c")["lastExecution"]["message"]


def test_a_killed_process_is_followed_by_the_next(kit: Kit, localkube: LocalKube) -> None:
    kit.run("c")
    address = kit.live_pod("c")["status"]["podIP"]
    os.kill(find_process(f"POD_IP={address}"), signal.SIGKILL)
    status = kit.wait_next_run("c", 1)
    assert status["lastExecution"]["exitCode"] == 137


def test_crashes_are_followed_with_delays_and_then_it_runs(kit: Kit) -> None:
    kit.apply("c", "ws://null?run=crash-below-3", selectedStream="ticker", status="running")
    status = kit.wait("c", "running", ready=True)
    assert status["run"] == 3
    assert status["lastExecution"]["message"] == "It broke, as it was told to."
    assert status["retry"]["failures"] == 2
    failed = [j for j in kit.jobs("c") if j["status"].get("failed")]
    assert len(failed) == 2


def test_history_keeps_three_failed(kit: Kit) -> None:
    kit.apply("c", "ws://null?run=crash-below-5", selectedStream="ticker", status="running")
    kit.wait("c", "running", ready=True)
    eventually(lambda: len(kit.jobs("c")) == 4, what="three failed and the live Job")


def test_exit_78_waits_for_a_person_and_starts_at_once_on_a_change(kit: Kit) -> None:
    kit.apply("c", "ws://null?run=exit-78", selectedStream="ticker", status="running")
    status = kit.wait("c", "errored", reason="BadCredentials", ready=False)
    assert status["lastExecution"]["exitCode"] == 78
    assert kit.condition("c", "Stalled")["status"] == "True"
    kit.patch("c", restartedAt="1", config={"url": "ws://null"})
    kit.wait("c", "running", ready=True)


def test_a_stream_that_ends_is_stopped_and_completed_and_may_run_again(kit: Kit) -> None:
    kit.apply("c", "ws://null?run=exit-0&after=1", selectedStream="ticker", status="running")
    status = kit.wait("c", "stopped", reason="Completed", ready=True)
    assert status["lastExecution"]["exitCode"] == 0
    kit.patch("c", restartedAt="again")
    eventually(lambda: kit.status("c")["run"] == 2, what="a second run")


@pytest.mark.parametrize(
    ("url", "spec", "state"),
    [
        ("ws://null?discover=exit-1", {}, "pending"),
        ("ws://null?discover=exit-78", {}, "errored"),
        ("ws://null?ready=never", RUNNING, "running"),
        ("ws://null?run=exit-1", RUNNING, "running"),
        ("ws://null?run=exit-78", RUNNING, "errored"),
        ("ws://null?term=ignore", RUNNING, "running"),
    ],
    ids=["unreachable", "refused", "starting", "crashing", "errored", "deaf-to-sigterm"],
)
def test_stop_and_delete_work_from_every_state(kit: Kit, url: str, spec: dict[str, Any], state: str) -> None:
    kit.apply("c", url, **spec)
    kit.wait(
        "c", state, ready=True if "ignore" in url else None, reason="CrashBackoff" if url.endswith("run=exit-1") else ""
    )
    kit.patch("c", status="stopped")
    kit.wait("c", "stopped", ready=True)
    assert [p for p in kit.pods("c") if p["status"]["phase"] not in {"Failed", "Succeeded"}] == []
    kit.delete("c")
    kit.wait_gone("c")


@pytest.mark.parametrize(
    ("url", "spec", "state", "reason"),
    [
        ("ws://null?discover=hang", {}, "pending", ""),
        ("ws://null?discover=exit-78", {}, "errored", ""),
        ("ws://null", {}, "received", ""),
        ("ws://null", {"selectedStream": "ticker"}, "ready", ""),
        ("ws://null?ready=never", RUNNING, "running", ""),
        ("ws://null", RUNNING, "running", "Running"),
        ("ws://null?run=exit-1", RUNNING, "running", "CrashBackoff"),
        ("ws://null?run=exit-78", RUNNING, "errored", ""),
        ("ws://null?term=ignore", RUNNING, "running", "Running"),
    ],
    ids=["pending", "refused", "received", "ready", "starting", "running", "backoff", "errored", "stopping"],
)
def test_delete_leaves_nothing_from_every_state(
    kit: Kit, url: str, spec: dict[str, Any], state: str, reason: str
) -> None:
    kit.apply("c", url, **spec)
    kit.wait("c", state, reason=reason)
    if url.endswith("term=ignore"):
        kit.patch("c", status="stopped")
        kit.wait("c", "running", reason="Stopping")
    kit.delete("c")
    kit.wait_gone("c")


def test_deleted_and_made_again_under_the_same_name(kit: Kit) -> None:
    kit.run("c", "ws://null?term=ignore")
    old = kit.live_pod("c")["metadata"]["uid"]
    kit.delete("c")
    eventually(
        lambda: kit.api.get(f"/apis/apperate.io/v1/namespaces/{kit.namespace}/connectors/c") is None, what="gone"
    )
    kit.apply("c", selectedStream="ticker", status="running")
    kit.wait("c", "running", ready=True)
    alive = [p["metadata"]["uid"] for p in kit.pods("c") if p["status"]["phase"] == "Running"]
    assert len(alive) == 1
    assert alive != [old]


def wipe(kit: Kit) -> None:
    kit.kubectl("patch", "connector", "c", "--subresource=status", "--type=merge", "-p", '{"status":null}')


def test_a_wiped_status_comes_back_and_the_execution_stays(kit: Kit) -> None:
    kit.run("c")
    pod = kit.live_pod("c")["metadata"]["uid"]
    wipe(kit)
    status = kit.wait("c", "running", ready=True)
    kit.wait_condition("c", "Discovered", "Discovered")
    assert status["run"] == 1
    assert kit.live_pod("c")["metadata"]["uid"] == pod


@pytest.mark.parametrize(
    ("url", "spec", "state"),
    [
        ("ws://null?discover=exit-78", {}, "errored"),
        ("ws://null", {}, "received"),
        ("ws://null", {"selectedStream": "ticker"}, "ready"),
        ("ws://null", {"selectedStream": "ticker", "status": "stopped"}, "stopped"),
        ("ws://null?run=exit-78", RUNNING, "errored"),
    ],
    ids=["refused", "received", "ready", "stopped", "errored"],
)
def test_a_wiped_status_comes_back_in_every_state(kit: Kit, url: str, spec: dict[str, Any], state: str) -> None:
    kit.apply("c", url, **spec)
    reason = kit.wait("c", state)["conditions"][0]["reason"]
    kit.wait_condition("c", "Reconciling", "Settled")
    wipe(kit)
    kit.wait("c", state, reason=reason)


def test_the_pods_are_taken_where_pod_security_is_restricted(kit: Kit) -> None:
    kit.kubectl("label", "namespace", kit.namespace, "pod-security.kubernetes.io/enforce=restricted")
    kit.run("c")
