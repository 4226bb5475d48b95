"""One connector and a changed image of the runner: when it is replaced, when that counts as failed, and what is said."""

from __future__ import annotations

from datetime import timedelta

from connector_operator.decide.image import PATIENCE
from connector_operator.decide.observation import DryRun
from connector_operator.resources.reasons import Reason
from tests.unit.operator.test_image_rollout import BAD, CONDITION, A, B, make_running, policy_of
from tests.unit.operator.world import World, replace


def test_one_that_is_never_ready_counts_as_failed_after_a_while() -> None:
    world = make_running()
    world.policy = policy_of(B)
    world.has_image_turn = True
    world.step()
    world.leave()
    world.settle()
    assert world.condition(CONDITION)["reason"] == Reason.UPDATING
    world.pass_time(PATIENCE.total_seconds() + 1)
    world.step()
    assert world.condition(CONDITION)["reason"] == Reason.UPDATE_FAILED
    world.ready()
    world.step()
    assert world.condition(CONDITION)["reason"] == Reason.UPDATING
    world.pass_time(world.policy.min_ready.total_seconds() - 1)
    assert world.step().wake == world.now + timedelta(seconds=1)
    assert world.condition(CONDITION)["reason"] == Reason.UPDATING
    world.pass_time(1)
    world.step()
    assert world.condition(CONDITION)["reason"] == Reason.UP_TO_DATE


def update(world: World, image: str) -> None:
    """It has the turn, is replaced, and its next execution has started."""
    world.policy, world.has_image_turn = policy_of(image), True
    world.settle()
    world.leave()
    world.settle()


def test_one_that_has_failed_once_must_run_until_failures_are_forgotten() -> None:
    world = make_running()
    update(world, B)
    world.end(1, '{"reason":"Crashed","message":"No."}')
    world.settle()
    world.pass_time(600)
    world.settle()
    world.ready()
    world.settle()
    world.pass_time(world.policy.stable_after.total_seconds() - 1)
    world.settle()
    assert world.condition(CONDITION)["reason"] == Reason.UPDATE_FAILED
    world.pass_time(1)
    world.settle()
    assert world.condition(CONDITION)["reason"] == Reason.UP_TO_DATE


def test_one_that_is_stopped_stops_the_roll_out_no_longer() -> None:
    world = make_running()
    update(world, BAD)
    world.end(1, '{"reason":"Crashed","message":"No."}')
    world.settle()
    assert world.condition(CONDITION)["reason"] == Reason.UPDATE_FAILED
    world.patch(status="stopped")
    world.settle()
    assert world.condition(CONDITION)["reason"] == Reason.NO_EXECUTION
    world.patch(status="running")
    world.settle()
    assert world.condition(CONDITION)["reason"] == Reason.UP_TO_DATE, "whoever starts it knows that it failed"


def test_one_that_was_not_ready_before_is_replaced_and_stops_nothing() -> None:
    world = make_running()
    for job in world.live():
        world.jobs[job.name] = replace(job, ready=0)
    world.settle()
    update(world, B)
    assert (world.live()[-1].image, "update" in world.status) == (B, False)


def test_an_image_that_a_policy_rewrote_is_the_one_that_was_asked_for() -> None:
    world = make_running()
    job = world.live()[-1]
    world.jobs[job.name] = replace(job, image=f"mirror.example/{A}")
    writes = world.writes
    world.settle()
    assert world.writes == writes
    world.status["ordered"].pop("image")  # as an earlier operator left it
    world.settle()
    assert world.condition(CONDITION)["reason"] == Reason.UP_TO_DATE


def test_a_stream_that_comes_to_its_end_stops_nothing() -> None:
    world = make_running()
    update(world, B)
    world.end(0)
    world.settle()
    assert world.condition(CONDITION)["reason"] == Reason.NO_EXECUTION
    assert "update" not in world.status


def test_on_restart_leaves_it_alone_until_it_is_restarted() -> None:
    world = make_running()
    world.policy, world.has_image_turn, world.follows_image = policy_of(B), True, False
    world.settle()
    assert (world.condition(CONDITION)["reason"], world.live()[-1].image) == (Reason.ON_RESTART, A)
    world.patch(restartedAt="now")
    world.settle()
    world.leave()
    world.settle()
    assert world.live()[-1].image == B
    assert "update" not in world.status, "somebody asked for it: it is no part of the roll-out"


def test_what_is_said_of_the_image_costs_no_write_of_its_own_when_nothing_is_rolled_out() -> None:
    world = make_running()
    for change, states in (({"restartedAt": "now"}, 3), ({"status": "stopped"}, 2), ({"status": "running"}, 2)):
        writes = world.writes
        world.patch(**change)
        for _ in range(3):
            world.settle()
            world.leave()
        world.settle()
        world.ready()
        world.settle()
        assert world.writes - writes == states, change


def test_changing_the_policy_restarts_nothing() -> None:
    world = make_running()
    job = world.live()
    for policy in ("OnRestart", "Rolling", None):
        world.patch(runner={"updatePolicy": policy} if policy else {})
        world.settle()
        assert world.live() == job


def test_one_that_would_be_refused_stops_it_and_keeps_running() -> None:
    world = make_running()
    world.policy, world.has_image_turn = policy_of(B), True
    world.dry_run = DryRun("The API server would refuse the Job: no such registry.", world.now + timedelta(seconds=30))
    world.settle()
    assert world.live()[-1].image == A
    assert world.condition(CONDITION)["reason"] == Reason.UPDATE_FAILED
    assert "no such registry" in world.condition(CONDITION)["message"]


def test_where_something_prevents_a_start_it_keeps_its_image_and_its_state() -> None:
    world = make_running()
    world.policy, world.has_image_turn = policy_of(B), True
    world.datasets = {}
    world.settle()
    assert (world.state, world.flags, world.live()[-1].image) == ("running", "R", A)
    assert world.condition(CONDITION)["reason"] == Reason.UPDATE_HELD


def test_changed_defaults_replace_nothing_and_are_told() -> None:
    world = make_running()
    world.policy = policy_of(A, defaults="one")
    world.patch(restartedAt="1")
    world.settle()
    world.leave()
    world.settle()
    world.ready()
    world.settle()
    job = world.live()
    world.policy = policy_of(A, defaults="other")
    world.settle()
    assert world.live() == job
    assert world.condition(CONDITION)["status"] == "True"
    assert "the next execution has them" in world.condition(CONDITION)["message"]
