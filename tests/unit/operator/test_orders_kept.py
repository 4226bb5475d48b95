"""Live orders when something comes between: changed twice, a new operator, a refusal, a runner that says nothing."""

from __future__ import annotations

from connector_operator.decide.decision import Look
from connector_operator.resources import names
from connector_runner.schemas.orders import OrdersAnswer
from tests.unit.operator.changing import (
    ANSWERS,
    CRM,
    MOVED,
    SHOP,
    applied,
    change,
    executions,
    of,
    reply,
    running,
)
from tests.unit.operator.world import World


def test_changed_twice_quickly_the_last_one_counts() -> None:
    world = running()
    change(world, CRM)
    reply(world)
    first = world.sent[-1].streams.whole_key
    change(world, MOVED)
    assert "answer" not in world.status["ordered"], "the API server refuses an empty one"
    world.answer = OrdersAnswer(first, "SchemaConflict", "of the one before")
    world.pass_time(10)
    world.settle()
    assert applied(world) == ("False", "SelectionChanging"), "an answer to an earlier one does not count"
    assert world.sent[-1].streams == of(MOVED)
    reply(world)
    assert applied(world) == ("True", "SelectionApplied")


def test_changed_while_nothing_runs_the_next_execution_has_it() -> None:
    world = running()
    world.patch(status="stopped")
    world.settle()
    world.leave()
    world.settle()
    change(world, CRM)
    assert applied(world) == ("Unknown", "NoExecution")
    world.patch(status="running")
    world.settle()
    world.ready()
    world.settle()
    assert (executions(world), world.sent) == ([1, 2], [])
    assert applied(world) == ("True", "SelectionApplied")


def test_an_operator_that_dies_before_it_has_written_writes_later() -> None:
    world = running()
    world.patch(streams=CRM)
    world.settle()
    world.end(0, role=names.ROLE_DISCOVERY)
    decision = world.step(crash_after_status=True)
    while decision.row.name != "send":
        decision = world.step(crash_after_status=True)
    world.settle()
    assert [act.streams for act in world.sent] == [of(CRM)]


def test_a_new_operator_writes_once_what_was_told() -> None:
    world = running()
    change(world, CRM)
    reply(world)
    world.delivery = None
    writes = world.writes
    world.settle()
    assert [act.streams for act in world.sent] == [of(CRM), of(CRM)]
    assert (world.writes, applied(world)) == (writes, ("True", "SelectionApplied"))


def test_what_was_told_is_written_again_from_time_to_time_but_not_in_a_loop() -> None:
    world = running()
    change(world, CRM)
    reply(world)
    for _ in range(5):
        world.settle()
    assert len(world.sent) == 1
    wake = world.look().wake
    assert wake is not None
    assert (wake - world.now).total_seconds() > 40
    world.pass_time(60)
    world.settle()
    assert len(world.sent) == 2, "somebody may have changed or deleted it"


def test_a_refused_configmap_needs_a_person_and_is_tried_again() -> None:
    world = running()
    world.orders_refusal = "The API server refuses ConfigMap x: exceeded quota."
    change(world, CRM)
    assert (world.state, world.flags, applied(world)) == ("running", "S", ("False", "OrdersRefused"))
    assert "The earlier selection goes on. The API server refuses ConfigMap x" in world.condition("Ready")["message"]
    assert len(world.sent) == 1
    world.pass_time(300)
    world.settle()
    assert (world.flags, len(world.sent)) == ("S", 2)
    world.orders_refusal = ""
    world.pass_time(60)
    world.settle()
    reply(world)
    world.pass_time(60)
    world.settle()
    assert (world.flags, applied(world)) == ("R", ("True", "SelectionApplied"))


def test_a_runner_that_says_nothing_is_unconfirmed_and_asked_less_often() -> None:
    world = running()
    change(world, CRM)
    world.pass_time(121)
    world.settle()
    assert (world.flags, applied(world)) == ("R", ("Unknown", "SelectionUnconfirmed"))
    assert world.look().looks == frozenset()
    reply(world)
    world.pass_time(60)
    world.settle()
    assert applied(world) == ("True", "SelectionApplied")


def test_an_execution_that_is_not_ready_yet_is_told_too() -> None:
    world = World(streams=SHOP, status="running")
    world.catalogue = ANSWERS
    world.discover()
    change(world, CRM)
    assert [act.streams for act in world.sent] == [of(CRM)]
    assert (world.live()[0].run, world.condition("Ready")["reason"]) == (1, "Starting")
    world.ready()
    reply(world)
    assert (world.flags, applied(world)) == ("R", ("True", "SelectionApplied"))


def test_a_status_that_somebody_has_wiped_does_no_harm() -> None:
    world = running()
    world.status = {}
    world.discover()
    assert (executions(world), world.sent) == ([1], []), "the Job says what it was made from"
    change(world, CRM)
    reply(world)
    assert (executions(world), applied(world)) == ([1], ("True", "SelectionApplied"))


def test_a_refused_execution_is_tried_again_at_once_with_another_selection() -> None:
    world = World(streams=SHOP, status="running")
    world.catalogue = ANSWERS
    world.discover()
    world.end(78, '{"reason": "SchemaConflict", "message": "streams meet"}')
    world.settle()
    assert world.flags == "S"
    change(world, CRM)
    assert executions(world) == [1, 2]


def test_the_answer_is_looked_for_only_while_it_is_awaited() -> None:
    world = running()
    change(world, CRM)
    assert Look.ANSWER not in world.history[-1].looks
    world.pass_time(9)
    before = world.delivery
    world.settle()
    assert world.delivery == before
    world.pass_time(1)
    world.settle()
    assert world.delivery is not None
    assert world.delivery.looked == world.now
