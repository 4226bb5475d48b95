"""What the cluster shows of an execution that ends, leaves, or is taken away, and what the operator makes of it."""

from datetime import timedelta
from typing import Any

import pytest

from connector_operator.cluster.cache import ClusterCache, cache_job
from connector_operator.cluster.client import ApiError
from connector_operator.controllers.connector import is_malformed
from connector_operator.decide.actions import DeleteJob
from connector_operator.decide.backoff import next_retry
from connector_operator.decide.termination import Ending, exit_code_of
from connector_operator.engine.fair_queue import Key
from connector_operator.resources import names
from connector_operator.resources.reasons import Reason
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.kinds import naming
from connector_runner.schemas.kinds.connector_status import Retry
from tests.unit.operator.test_states import make
from tests.unit.operator.world import World, replace


@pytest.mark.parametrize("is_wiped", [False, True], ids=["", "status-wiped"])
@pytest.mark.parametrize(
    ("change", "row"), [({"selectedStream": "matches"}, "leaving"), ({"status": "stopped"}, "stopping")]
)
def test_a_job_that_failed_while_it_leaves_is_waited_for(change: dict[str, str], row: str, is_wiped: bool) -> None:
    world = make("running")
    world.patch(**change)
    world.settle()
    world.end(143)
    if is_wiped:
        world.status = {}
    assert world.settle().row.name == row
    assert [job.run for job in world.jobs.values() if job.role == "runner"] == [1]
    world.leave()
    world.discover()
    assert world.state == ("stopped" if row == "stopping" else "running")


@pytest.mark.parametrize("is_by_hand", [False, True])
@pytest.mark.parametrize(("code", "says"), [(137, "killed (exit code 137)"), (1, "failed while ending"), (143, "")])
def test_an_execution_that_did_not_leave_as_it_should_is_told(code: int, says: str, is_by_hand: bool) -> None:
    world = make("running")
    job = world.live()[0]
    if is_by_hand:
        world.jobs[job.name] = replace(job, deleting=world.now)
    else:
        world.patch(status="stopped")
    world.settle()
    writes, job = world.writes, world.jobs[job.name]
    message = f"Container runner for pod default/p failed with exit code {code} matching FailJob rule at index 2"
    world.jobs[job.name] = replace(job, reason="PodFailurePolicy", message=message)
    world.leave()
    world.settle()
    last = world.status["lastExecution"]
    assert (last["exitCode"], last["finishedAt"]) == (code, "2026-01-01T00:00:00Z")
    assert says in last["message"]
    if not is_by_hand:
        assert world.writes == writes + 1, "it costs nothing more"


@pytest.mark.parametrize(("seconds", "is_told"), [(59, False), (60, True)])
def test_an_execution_that_took_its_whole_grace_to_leave_is_told(seconds: float, is_told: bool) -> None:
    world = make("running")
    job = world.live()[0]
    world.jobs[job.name] = replace(job, grace=timedelta(seconds=60))
    world.patch(status="stopped")
    world.settle()
    world.pass_time(seconds)
    world.leave()
    world.settle()
    last = world.status["lastExecution"]
    assert ("was killed" in last["message"]) is is_told
    assert last.get("exitCode") is None, "nobody saw it"


def test_a_deleted_job_of_the_history_means_nothing() -> None:
    world = make("backoff")
    job = next(iter(world.jobs.values()))
    world.jobs[job.name] = replace(job, deleting=world.now)
    assert world.look().row.name == "backoff"


def runners(world: World) -> list[ObservedJob]:
    return [job for job in world.jobs.values() if job.role == "runner"]


def change_pods(world: World, **fields: Any) -> None:
    world.pods = {name: replace(pod, **fields) for name, pod in world.pods.items()}


def test_a_replaced_execution_is_told_to_have_finished() -> None:
    world = make("running")
    world.patch(selectedStream="matches")
    world.settle()
    assert "finishedAt" not in world.status["lastExecution"]
    world.pass_time(3)
    world.leave()
    world.settle()
    assert world.state == "running"
    assert world.status["lastExecution"]["finishedAt"] == "2026-01-01T00:00:03Z"


@pytest.mark.parametrize("status", ["running", "stopped"])
def test_an_orphaned_pod_is_told_with_the_command_that_ends_it(status: str) -> None:
    world = make("running")
    world.orphan(world.live()[0].name)
    world.patch(status=status)
    decision = world.settle()
    assert (world.state, world.flags, world.condition("Ready")["reason"]) == ("running", "S", "PodOrphaned")
    pod = next(iter(world.pods))
    assert f"kubectl delete pod -n default {pod}" in world.condition("Ready")["message"]
    assert decision.actions == ()
    waits = []
    for _ in range(10):
        again = world.look().wake
        assert again is not None
        waits.append((again - world.now).total_seconds())
        world.pass_time(waits[-1])
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (5, 60)
    world.sweep()
    world.settle()
    assert world.state == status
    assert len(runners(world)) == (1 if status == "running" else 0)


@pytest.mark.parametrize("status", ["running", "stopped"])
def test_the_job_that_an_earlier_namesake_left_is_deleted(status: str) -> None:
    world = make("running")
    job = world.live()[0]
    world.uid, world.status = "uid-2", {}
    world.patch(status=status)
    world.discover()
    assert world.jobs[job.name].deleting is not None
    world.leave()
    world.settle()
    assert world.state == status
    assert [j.owner for j in runners(world)] == (["uid-2"] if status == "running" else [])


@pytest.mark.parametrize("state", ["running", "received", "stopped"])
def test_finished_jobs_that_no_connector_owns_are_removed(state: str) -> None:
    """What `kubectl delete connector --cascade=orphan` leaves: the owner is taken out of the Jobs."""
    world = make(state)
    for name, role, is_complete in (("ran", "runner", False), ("listed", "discovery", True)):
        world.jobs[name] = ObservedJob(name=name, uid=name, role=role, run=7, finished=is_complete)
    world.settle()
    assert {"ran", "listed"}.isdisjoint(world.jobs)
    assert world.state == state


def test_a_job_that_the_watch_does_not_show_yet_is_left_alone() -> None:
    world = make("running")
    job = world.jobs.pop(world.live()[0].name)
    assert world.settle().actions == ()
    world.vanished[job.run] = job  # the watch has shown that it is gone (its label may have been taken away)
    assert [act.job for act in world.look().actions if isinstance(act, DeleteJob)] == [job.name]


def test_a_job_that_lost_its_label_while_nobody_looked_is_ended_after_a_while() -> None:
    world = make("running")
    job = world.live()[0].name
    del world.jobs[job]  # no event told that it went: the operator was down
    for _ in range(20):
        assert world.step().actions == ()
        world.pass_time(1)
    world.pass_time(15)
    assert world.step().actions == (DeleteJob(job, "", in_foreground=True),)


def test_a_stop_on_a_lost_node_says_so_and_ends_with_the_pod() -> None:
    world = make("stopping")
    world.pass_time(300)
    world.settle()
    assert (world.state, world.flags, world.condition("Ready")["reason"]) == ("running", "P", "NodeLost")
    assert "--force" in world.condition("Ready")["message"]
    again = world.look().wake
    assert again is not None
    assert again > world.now
    world.leave()
    world.settle()
    assert (world.state, world.flags) == ("stopped", "R")


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_discovery_on_a_lost_node_is_given_up_and_tried_again(is_cancelled: bool) -> None:
    world = make("pending")
    job = next(iter(world.jobs.values()))
    world.jobs[job.name] = replace(job, deadline=world.policy.grace, ready=1)
    if is_cancelled:
        world.patch(config={"url": "wss://other.example", "productId": ["BTC-USD"]})
        world.settle()
    again = world.look().wake
    assert again is not None
    world.pass_time((again - world.now).total_seconds() + 1)
    world.settle()
    if not is_cancelled:
        assert world.condition("Discovered")["reason"] == "NodeLost"
        assert job.name not in world.jobs
    world.pass_time(60)
    world.settle()
    assert [j.run for j in world.live("discovery") if j.deleting is None] == [2]


def test_quick_evictions_in_a_row_all_count() -> None:
    job, retry, delays = ObservedJob(name="job", uid="u", started=World().now), Retry(), []
    world = World()
    for _ in range(4):
        retry = next_retry(retry, job, Ending("disrupted", Reason.DISRUPTED, "x"), world.now, world.policy)
        delays.append(retry.failures)
    assert delays == [0, 1, 2, 3]


def test_a_job_that_is_gone_is_remembered_as_it_was_last() -> None:
    cache, key = ClusterCache(), Key("connector", "default", "c")
    connector = {"metadata": {"name": "c", "namespace": "default", "uid": "u"}, "spec": {}, "status": {}}
    cache.bind({("default", "c"): [connector]}, {}, {})
    failing = {"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy", "message": "exit code 137 by"}
    owner = {"apiVersion": naming.API_VERSION, "kind": "Connector", "name": "c", "uid": "u", "controller": True}
    labels = {"apperate.io/connector": "c", "apperate.io/role": "runner", "apperate.io/run": "3"}
    name = names.execution_job_name("c", "u", 3)
    meta = {"name": name, "uid": "j", "labels": labels, "ownerReferences": [owner]}
    cache.note_job_gone(key, cache_job({"metadata": meta, "status": {"conditions": [failing]}}).job)
    assert exit_code_of(cache.vanished(key)[3]) == 137


@pytest.mark.parametrize(
    ("state", "row"), [("received", "received"), ("stopped", "stopped"), ("mend", "mend"), ("stopping", "stopping")]
)
def test_what_was_refused_is_told_only_where_it_is_tried_again(state: str, row: str) -> None:
    world = make(state)
    before = world.condition("Ready")
    world.refusal = "The API server refuses the Job: exceeded quota."
    assert world.settle().row.name == row
    assert world.condition("Ready") == before


@pytest.mark.parametrize(("state", "role"), [("pending", "discovery"), ("running", "runner")])
@pytest.mark.parametrize("message", ["Access denied", "Access denied."])
def test_what_is_said_after_a_runners_message_is_a_sentence_of_its_own(state: str, role: str, message: str) -> None:
    world = make(state)
    world.end(78, f'{{"reason":"AccessDenied","message":"{message}"}}', role=role)
    world.settle()
    assert world.condition("Ready")["message"].startswith("Access denied. Tried again at ")


def test_a_refused_job_is_a_warning() -> None:
    world = make("ready")
    world.refusal = "The API server refuses the Job: exceeded quota."
    world.patch(status="running")
    told = world.step(crash_after_status=True).announcement
    assert told is not None
    assert (told.reason, told.is_warning) == ("JobRefused", True)


def test_a_pod_that_cannot_start_is_a_warning() -> None:
    world = make("starting")
    change_pods(world, phase="Pending", unschedulable="0/1 nodes are available")
    world.pass_time(31)
    told = world.step().announcement
    assert told is not None
    assert (told.reason, told.is_warning) == ("Unschedulable", True)


def test_a_running_connector_without_its_dataset_names_no_table() -> None:
    world = make("running")
    world.datasets = {}
    world.settle()
    message = world.condition("Ready")["message"]
    assert "its Dataset can't be used any more" in message
    assert "table" not in message


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (500, "failed to create typed patch object (a/b; v1): .status.x: field not declared in schema", True),
        (422, "status.x: Invalid value", True),
        (400, "bad request", True),
        (500, "etcdserver: leader changed", False),
        (500, "Internal error occurred: failed calling webhook", False),
        (503, "the server is overloaded", False),
    ],
)
def test_a_status_is_malformed_only_where_the_server_says_so(status: int, message: str, expected: bool) -> None:
    assert is_malformed(ApiError(status, "", message)) is expected


def test_a_deadline_keeps_why_no_pod_could_be_made() -> None:
    """The deadline takes the Job's pods and their events away: what was said before is all that is left."""
    world = World()
    world.settle()
    job = world.live("discovery")[0]
    world.pods.clear()
    world.warnings = ((job.name, "exceeded quota: pods, requested: 1, used: 2, limited: 2"),)
    world.pass_time(6)
    world.settle()
    assert world.condition("Discovered")["reason"] == "PodRefused"
    assert world.flags == "S"
    world.jobs[job.name] = replace(job, finished=False, reason="DeadlineExceeded", ended=world.now)
    world.warnings = ()
    world.settle()
    said = world.condition("Discovered")
    assert said["reason"] == "DiscoveryTimedOut"
    assert f"Last seen: No pod could be created for {job.name}: exceeded quota" in said["message"]
