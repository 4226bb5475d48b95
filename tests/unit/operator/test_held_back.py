"""A discovery whose pod something holds back: it waits as long as that takes, asks for little, and is in nobody's way."""

import json
from datetime import timedelta
from typing import Any

import pytest

from connector_operator.decide.facts import is_held_back
from connector_operator.resources.events import read_events
from connector_operator.resources.times import parse_time
from connector_operator.resources.workload import read_job, read_pod
from connector_operator.workloads.jobs import RunnerSettings, build_discovery_job
from tests.unit.operator.fleet import Fleet
from tests.unit.operator.test_states import make
from tests.unit.operator.test_workloads import subject
from tests.unit.operator.world import World, replace

DEADLINE = timedelta(seconds=120)
HOLDS: dict[str, dict[str, Any]] = {
    "gate": {"gates": ("queue.example/gate",)},
    "no-node": {"unschedulable": "0/3 nodes are available: 3 Insufficient cpu."},
    "room": {"unschedulable": "0/3 nodes are available.", "nominated": "node-7"},
}


def hold(world: World, **pod: Any) -> None:
    """The discovery's pod is made, and no node accepts it."""
    for job in world.live("discovery"):
        world.jobs[job.name] = replace(job, pod_deadline=DEADLINE)
    fields = {"phase": "Pending", "accepted": None, "started": None, **pod}
    world.pods = {name: replace(p, **fields) for name, p in world.pods.items()}


def pass_deadline(world: World, **pod: Any) -> None:
    """The kubelet ends the pod when its deadline has passed, and the Job fails; both stay."""
    for job in world.live("discovery"):
        world.jobs[job.name] = replace(job, finished=False, reason="BackoffLimitExceeded", ended=world.now)
    ended = {"phase": "Failed", "reason": "DeadlineExceeded", "exit_code": 137, "ended": world.now, **pod}
    world.pods = {name: replace(p, **ended) for name, p in world.pods.items()}
    world.settle()


def delay(world: World) -> float:
    """Seconds until the next attempt."""
    retry_at = parse_time(world.status["discovery"]["retryAt"])
    assert retry_at is not None
    return (retry_at - world.now).total_seconds()


@pytest.mark.parametrize("what", HOLDS)
def test_it_waits_for_as_long_as_that_takes_and_keeps_its_place_in_the_queue(what: str) -> None:
    world = make("pending")
    hold(world, **HOLDS[what])
    (job,), visits = list(world.jobs), 0
    while world.now < parse_time("2026-01-02T00:00:00Z"):  # type: ignore[operator]  # the time can be read
        again = world.settle().wake
        assert again is not None, "its pod is looked at now and then"
        world.pass_time((again - world.now).total_seconds())
        visits += 1
    assert list(world.jobs) == [job]
    assert visits < 1500, "about one a minute"
    assert world.condition("Discovered")["reason"] in {"AwaitingAdmission", "Unschedulable"}


def test_one_that_no_pod_could_be_made_for_waits_too() -> None:
    world = make("pending")
    hold(world)
    (job,) = world.jobs
    world.pods.clear()
    world.warnings = ((job, "exceeded quota: pods"),)
    world.pass_time(86400)
    world.settle()
    assert (list(world.jobs), world.condition("Discovered")["reason"]) == ([job], "PodRefused")


def test_it_counts_as_lost_only_from_the_moment_it_runs() -> None:
    """A kubelet that waits for a Secret's volume does not look at the deadline for two minutes: its node is well."""
    world = make("pending")
    hold(world, **HOLDS["gate"])
    world.pass_time(86400)
    world.settle()
    world.pods = {n: replace(p, gates=(), accepted=world.now) for n, p in world.pods.items()}
    assert world.look().facts.discoveries[0].overdue_at is None
    world.pods = {n: replace(p, started=world.now) for n, p in world.pods.items()}
    assert world.look().facts.discoveries[0].overdue_at == world.now + DEADLINE + timedelta(seconds=120)


@pytest.mark.parametrize("runs", [True, False], ids=["runs", "does-not-start"])
def test_a_node_that_is_lost_is_noticed_without_a_deadline_of_the_job(runs: bool) -> None:
    world = make("pending")
    hold(world, accepted=world.now, started=world.now if runs else None)
    if not runs:  # the pod is taken away from its node, which does not answer
        world.pods = {n: replace(p, deleting=world.now + DEADLINE) for n, p in world.pods.items()}
    (first,) = world.jobs
    world.pass_time(230)
    world.settle()
    assert list(world.jobs) == [first]
    world.pass_time(11)
    world.settle()
    assert world.condition("Discovered")["reason"] == "NodeLost"
    assert first not in world.jobs


@pytest.mark.parametrize(
    ("started", "first", "fifth"), [(True, (1.8, 3), (28, 36)), (False, (27, 33), (270, 331))], ids=["ran", "never-ran"]
)
def test_the_deadline_of_the_pod_is_told_and_delays_grow(
    started: bool, first: tuple[float, float], fifth: tuple[float, float]
) -> None:
    """A pod that never ran (no image, no Secret) is not made anew within seconds; a source that hangs is asked as before."""
    world, seen = make("pending"), []
    for _ in range(5):
        hold(world, accepted=world.now, started=world.now if started else None)
        world.pass_time(DEADLINE.total_seconds())
        world.settle()
        pass_deadline(world)
        assert world.condition("Discovered")["reason"] == "DiscoveryTimedOut"
        seen.append(delay(world))
        world.pods.clear()
        world.pass_time(seen[-1])
        world.settle()
    assert first[0] <= seen[0] <= first[1], seen
    assert fifth[0] <= seen[4] <= fifth[1], seen


def test_the_deadline_of_the_pod_counts_whatever_its_process_said_when_it_was_ended() -> None:
    for said in ({"exit_code": 143}, {"exit_code": 1, "message": json.dumps({"reason": "Unavailable"})}, {}):
        world = make("pending")
        hold(world, accepted=world.now, started=world.now)
        pass_deadline(world, **said)
        assert world.condition("Discovered")["reason"] == "DiscoveryTimedOut"


def test_a_deadline_that_a_policy_gives_to_every_job_delays_as_long() -> None:
    """Then the pod is gone with what it waited for, and nothing shows that it ever ran."""
    world = make("pending")
    hold(world, **HOLDS["gate"])
    job = world.live("discovery")[0]
    world.pods.clear()
    world.pass_time(20)
    world.settle()
    world.jobs[job.name] = replace(job, finished=False, reason="DeadlineExceeded", ended=world.now)
    world.settle()
    assert world.condition("Discovered")["reason"] == "DiscoveryTimedOut"
    assert delay(world) >= 27


def test_all_that_waited_for_it_wait_for_the_next_one_alike() -> None:
    fleet = Fleet(3)
    fleet.visit_all()
    hold(fleet.worlds["c0"], accepted=fleet.worlds["c0"].now)
    pass_deadline(fleet.worlds["c0"])
    fleet.visit_all()
    assert len({world.status["discovery"]["retryAt"] for world in fleet.worlds.values()}) == 1
    assert delay(fleet.worlds["c2"]) >= 27


@pytest.mark.parametrize("what", HOLDS)
def test_one_that_is_held_back_takes_no_slot_and_one_that_runs_or_may_run_does(what: str) -> None:
    world = make("pending")
    hold(world, **HOLDS[what])
    (job,) = world.jobs.values()
    young = replace(world.observe(), pods=tuple(world.pods.values()))
    old = replace(young, now=world.now + timedelta(seconds=6))
    assert not is_held_back(job, young), "its pod may only be new"
    assert not is_held_back(job, replace(old, pods=None)), "not known"
    assert is_held_back(job, old)
    assert is_held_back(job, replace(old, pods=())), "there is no pod"
    assert not is_held_back(replace(job, deleting=world.now), old)
    assert not is_held_back(replace(job, ready=1), old)
    accepted = tuple(replace(p, accepted=world.now) for p in world.pods.values())
    assert not is_held_back(job, replace(old, pods=accepted))


def test_raw_jobs_and_pods_tell_their_deadlines() -> None:
    job = read_job(build_discovery_job(subject(), "job-1", 1, RunnerSettings(image="runner:1")))
    assert (job.deadline, job.pod_deadline) == (None, DEADLINE)
    pod = read_pod({"status": {"startTime": "2026-01-01T00:00:00Z", "reason": "DeadlineExceeded"}})
    assert (pod.accepted, pod.reason) == (parse_time("2026-01-01T00:00:00Z"), "DeadlineExceeded")


@pytest.mark.parametrize("reason", ["DeadlineExceeded", "BackoffLimitExceeded"])
def test_what_is_said_of_a_job_that_a_deadline_ends_is_not_taken_for_a_pod_that_was_refused(reason: str) -> None:
    """Its pod is gone, and the only warning about the Job is that it has failed."""
    world = make("pending")
    (job,) = world.jobs
    raw = {"type": "Warning", "reason": reason, "message": "Job was active longer than specified deadline"}
    events = read_events([{**raw, "involvedObject": {"name": job}}])
    world.pods.clear()
    world.warnings = tuple((event.subject, event.message) for event in events if event.names_cause)
    world.pass_time(6)
    world.settle()
    assert (world.condition("Discovered")["reason"], world.flags) == ("Discovering", "P")
