"""A changed image of the runner while the running execution was given a changed selection: what its runner says of it comes first."""

from __future__ import annotations

import pytest

from connector_operator.decide.image_rollout import decide_image_rollout
from connector_operator.decide.orders import PATIENCE
from connector_operator.resources import names
from connector_operator.resources.reasons import Reason
from tests.unit.operator.changing import ANSWERS, CRM, SHOP, change, executions, reply
from tests.unit.operator.test_image_rollout import CONDITION, FIXED, A, B, policy_of
from tests.unit.operator.world import World


def running() -> World:
    world = World(streams=SHOP, status="running")
    world.policy, world.catalogue = policy_of(A), ANSWERS
    world.discover()
    world.ready()
    world.settle()
    return world


def roll_out(world: World, image: str = B) -> None:
    """The installation has another image, and the connector gets its turn whenever it asks for one."""
    world.policy = policy_of(image)
    for _ in range(3):
        name = ("default", "c")
        turns = decide_image_rollout({name: str(world.condition(CONDITION)["reason"])}, 1)
        world.has_image_turn = turns.has_turn(name)
        world.settle()
        world.leave()
        world.settle()


@pytest.mark.parametrize("has_turn", [False, True], ids=["before its turn", "in its turn"])
def test_one_whose_runner_refuses_a_changed_selection_keeps_its_execution(has_turn: bool) -> None:
    world = running()
    change(world, CRM)
    reply(world, "SchemaConflict", "streams meet in one table")
    world.policy, world.has_image_turn = policy_of(B), has_turn
    world.settle()
    said = world.condition(CONDITION)
    assert (executions(world), world.live()[-1].image) == ([1], A)
    assert (said["status"], said["reason"]) == ("False", Reason.UPDATE_HELD)
    assert "refuses the selection of spec.streams" in said["message"]
    assert "SelectionApplied" in said["message"]
    assert world.condition("Ready")["reason"] == "SchemaConflict"


def test_one_that_is_held_delays_no_others_and_follows_once_its_selection_is_carried() -> None:
    world = running()
    change(world, CRM)
    reply(world, "SchemaConflict", "streams meet in one table")
    roll_out(world)
    standings = {("default", "c"): str(world.condition(CONDITION)["reason"]), ("default", "d"): "AwaitingTurn"}
    assert decide_image_rollout(standings, 1).has_turn(("default", "d"))
    change(world, SHOP)
    reply(world)
    assert executions(world) == [1]
    roll_out(world)
    assert (executions(world), world.live()[-1].image) == ([1, 2], B)


def test_one_that_has_failed_with_the_image_before_is_held_too() -> None:
    world = running()
    roll_out(world)
    world.end(1, '{"reason":"Crashed","message":"No."}')
    world.settle()
    world.pass_time(600)
    world.settle()
    world.ready()
    world.settle()
    assert world.condition(CONDITION)["reason"] == Reason.UPDATE_FAILED
    change(world, CRM)
    reply(world, "SchemaConflict", "streams meet in one table")
    before = executions(world)
    world.policy, world.has_image_turn = policy_of(FIXED), True
    world.settle()
    assert executions(world) == before
    assert world.condition(CONDITION)["reason"] == Reason.UPDATE_HELD
    change(world, SHOP)
    reply(world)
    roll_out(world, FIXED)
    assert world.live()[-1].image == FIXED


def test_the_answer_to_a_changed_selection_is_awaited() -> None:
    world = running()
    world.policy, world.has_image_turn = policy_of(B), True
    change(world, CRM)
    assert (executions(world), len(world.sent), world.condition(CONDITION)["reason"]) == ([1], 1, Reason.UPDATE_HELD)
    assert world.condition("Ready")["reason"] == "SelectionChanging"
    reply(world)
    assert world.condition(CONDITION)["reason"] != Reason.UPDATE_HELD
    roll_out(world)
    assert (executions(world), world.live()[-1].image) == ([1, 2], B)


def test_a_runner_that_never_answers_follows_the_image() -> None:
    world = running()
    change(world, CRM)
    world.answer = None
    world.pass_time(PATIENCE.total_seconds() + 1)
    world.settle()
    assert world.condition("SelectionApplied")["reason"] == "SelectionUnconfirmed"
    roll_out(world)
    assert (executions(world), world.live()[-1].image) == ([1, 2], B)


def test_one_that_ends_by_itself_starts_with_what_the_spec_says_and_is_explained() -> None:
    world = running()
    change(world, CRM)
    reply(world, "SchemaConflict", "streams meet in one table")
    world.end(1, '{"reason":"Crashed","message":"No memory."}')
    world.settle()
    world.pass_time(600)
    world.settle()
    assert executions(world) == [1, 2]
    assert world.live(names.ROLE_RUNNER)[-1].selection == world.sent[-1].streams.whole_key
    world.end(78, '{"reason":"SchemaConflict","message":"streams meet in one table"}')
    world.settle()
    assert (world.state, world.flags, world.condition("Ready")["reason"]) == ("errored", "S", "SchemaConflict")
    assert "streams meet in one table" in world.condition("Ready")["message"]
    change(world, SHOP)
    world.settle()
    assert executions(world) == [1, 2, 3], "a mended selection starts at once"
