"""Pods that no node takes, where nodes are made on demand, room is made, or a queue holds the pod back."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from connector_operator.resources.events import NodeSign, read_event, read_events
from connector_operator.resources.workload import read_pod
from tests.unit.operator.test_states import make
from tests.unit.operator.world import START, World, replace

CALL = "0/3 nodes are available: 3 Insufficient cpu."
UP = "pod triggered scale-up: [{pool 1->2 (max: 3)}]"
DOWN = "pod didn't trigger scale-up: 1 max node group size reached"


def stick(state: str, **pod: Any) -> World:
    """A connector whose pod no node takes."""
    world = make(state)
    fields = {"unschedulable": CALL, **pod}
    world.pods = {n: replace(p, phase="Pending", started=None, **fields) for n, p in world.pods.items()}
    return world


def say(world: World, is_coming: bool, message: str, first: float = 0, last: float | None = None) -> None:
    """Whoever makes nodes says so, `first` and `last` seconds after now."""
    (pod,) = world.pods
    begun = world.now + timedelta(seconds=first)
    ended = begun if last is None else world.now + timedelta(seconds=last)
    signs = (*world.node_signs, NodeSign(pod, is_coming, message, begun, ended))
    world.node_signs = tuple(sorted(signs, key=lambda sign: sign.last))


def look(world: World, seconds: float) -> tuple[str, str]:
    """Reason of Ready (of Discovered, for a discovery the same) and the flags, some time later."""
    world.pass_time(seconds)
    world.settle()
    return (world.condition("Ready")["reason"], world.flags)


@pytest.mark.parametrize("state", ["starting", "pending"])
def test_it_is_told_at_once_and_needs_a_person_only_when_no_node_is_on_its_way(state: str) -> None:
    world = stick(state)
    assert look(world, 6) == ("Unschedulable", "P")
    assert CALL in world.condition("Ready")["message"]
    assert look(world, 23) == ("Unschedulable", "P")
    assert look(world, 2) == ("Unschedulable", "S")
    told = world.history[-2].announcement  # the last one changed nothing
    assert told is not None
    assert (told.reason, told.is_warning, CALL in told.message) == ("Unschedulable", True, True)


@pytest.mark.parametrize("state", ["starting", "pending"])
def test_a_node_that_is_being_made_is_waited_for(state: str) -> None:
    world = stick(state)
    say(world, True, UP, 12)
    assert look(world, 40) == ("Unschedulable", "P")
    assert UP in world.condition("Ready")["message"]
    assert look(world, 800) == ("Unschedulable", "P")
    assert look(world, 100) == ("Unschedulable", "S")
    assert "not come within 15 minutes" in world.condition("Ready")["message"]


def test_a_node_that_is_promised_again_and_again_is_not_waited_for_for_ever() -> None:
    world = stick("starting")
    for number in range(20):
        say(world, True, f"Pod should schedule on: nodeclaim/{number}", 1)
        told = look(world, 60)
    assert told == ("Unschedulable", "S")


def test_whoever_makes_nodes_may_change_its_mind() -> None:
    world = stick("starting")
    say(world, False, DOWN, 1, 35)
    assert look(world, 10) == ("Unschedulable", "P"), "not before its time"
    assert look(world, 30) == ("Unschedulable", "S")
    assert DOWN in world.condition("Ready")["message"]
    say(world, True, UP, -39, 1)
    assert look(world, 1) == ("Unschedulable", "P")
    assert look(world, 880) == ("Unschedulable", "P"), "a promise counts from the last refusal on"
    say(world, False, DOWN)
    assert look(world, 1) == ("Unschedulable", "S")


def test_what_is_said_of_another_pod_means_nothing() -> None:
    world = stick("starting")
    world.node_signs = (NodeSign("other", True, UP, START, START),)
    assert look(world, 31) == ("Unschedulable", "S")


def test_room_that_the_scheduler_makes_is_waited_for() -> None:
    world = stick("starting", nominated="node-7")
    assert look(world, 86400) == ("Unschedulable", "P")
    assert "Room is being made for it on node node-7." in world.condition("Ready")["message"]


def test_an_installation_may_wait_longer_or_not_at_all() -> None:
    for seconds, flags in ((0, "S"), (900, "P")):
        world = stick("starting")
        world.policy = replace(world.policy, unschedulable_after=timedelta(seconds=seconds))
        assert look(world, 600 if seconds else 6) == ("Unschedulable", flags)


@pytest.mark.parametrize("state", ["starting", "pending"])
def test_a_pod_that_a_queue_holds_back_waits_to_be_admitted(state: str) -> None:
    world = stick(state, unschedulable="", gates=("kueue.x-k8s.io/admission",))
    assert look(world, 6) == ("AwaitingAdmission", "P")
    message = world.condition("Ready")["message"]
    assert "held back from the scheduler by kueue.x-k8s.io/admission" in message
    assert f"kubectl patch pod {next(iter(world.pods))} -n default --type=json -p" in message
    assert look(world, 86400) == ("AwaitingAdmission", "P")
    if state == "pending":
        world.end(1, role="discovery")
        world.jobs = {n: replace(j, finished=False, reason="DeadlineExceeded") for n, j in world.jobs.items()}
        world.pods.clear()
        world.settle()
        assert "Last seen: Pod" in world.condition("Ready")["message"]


@pytest.mark.parametrize("state", ["starting", "pending"])
def test_a_pod_that_no_scheduler_looks_at_is_told_with_the_schedulers_name(state: str) -> None:
    world = stick(state, unschedulable="", accepted=None, scheduler="misspelt")
    reason = "Starting" if state == "starting" else "Discovering"
    assert look(world, 119) == (reason, "P")
    assert look(world, 2) == ("Unschedulable", "S")
    assert "is one named 'misspelt' running?" in world.condition("Ready")["message"]


def test_a_node_that_does_not_begin_with_a_pod_is_named() -> None:
    world = stick("starting", unschedulable="", accepted=None, node="node-7")
    assert look(world, 121) == ("PodNotStarted", "P")
    assert "Node node-7 has not begun with pod" in world.condition("Ready")["message"]


def test_raw_pods_tell_gates_and_nominations() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "blocked"}
    gated = read_pod({"spec": {"schedulingGates": [{"name": "a"}]}, "status": {"conditions": [scheduled]}})
    assert (gated.gates, gated.unschedulable) == (("a",), "")
    told = read_pod({"spec": {"nodeName": "n", "schedulerName": "s"}})
    assert (told.node, told.scheduler, told.accepted) == ("n", "s", None)
    waiting = read_pod({"spec": {}, "status": {"conditions": [scheduled], "nominatedNodeName": "n"}})
    assert (waiting.gates, waiting.unschedulable, waiting.nominated) == ((), "blocked", "n")


OLD = {"involvedObject": {"name": "p"}, "type": "Normal", "message": "m"} | {
    "firstTimestamp": "2026-01-01T00:00:00Z",
    "lastTimestamp": "2026-01-01T00:00:09Z",
}
NEW = {"involvedObject": {"name": "p"}, "type": "Normal", "message": "m", "firstTimestamp": None} | {
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:09.000000Z"},
}


@pytest.mark.parametrize("raw", [OLD, NEW], ids=["old-recorder", "new-recorder"])
@pytest.mark.parametrize(
    ("reason", "reporter", "is_coming"),
    [
        ("TriggeredScaleUp", "cluster-autoscaler", True),
        ("TriggeredScaleUp", "gke-autoscaler", True),
        ("NotTriggerScaleUp", "cluster-autoscaler", False),
        ("Nominated", "karpenter", True),
        ("FailedScheduling", "karpenter", False),
        ("Nominated", "a-scheduler", None),
        ("FailedScheduling", "default-scheduler", None),
        ("Pulled", "kubelet", None),
    ],
)
def test_events_of_those_that_make_nodes(
    raw: dict[str, Any], reason: str, reporter: str, is_coming: bool | None
) -> None:
    who = {"source": {"component": reporter}} if raw is OLD else {"reportingComponent": reporter, "source": {}}
    sign = read_event({**raw, **who, "reason": reason}).sign
    expected = None if is_coming is None else NodeSign("p", is_coming, "m", START, START + timedelta(seconds=9))
    assert sign == expected


def test_raw_events_are_read_whatever_is_missing() -> None:
    assert (read_event({}).sign, read_event({}).names_cause) == (None, False)
    assert read_event({"reason": "TriggeredScaleUp", "involvedObject": None, "source": None}).sign is None
    late, bare = {**OLD, "reason": "late"}, {"reason": "bare"}
    assert [event.reason for event in read_events([late, bare])] == ["bare", "late"]
    assert read_event({"type": "Warning", "reason": "BackoffLimitExceeded"}).names_cause is False
    assert read_event({"type": "Warning", "reason": "FailedCreate"}).names_cause is True
    assert isinstance(read_event(NEW).last, datetime)
