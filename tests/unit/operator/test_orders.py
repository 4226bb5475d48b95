"""Live orders: a changed `spec.streams` is sent to the live execution, which goes on; what its runner answers is shown."""

from __future__ import annotations

from typing import Any

import pytest

from connector_operator.resources import names
from connector_operator.resources.connector import spec_hash
from connector_operator.workloads.jobs import RunnerSettings, build_runner_job
from connector_runner.schemas.catalogue import SelectionSummary
from connector_runner.schemas.manifest import ORDERS_DIRECTORY
from connector_runner.schemas.orders import OrdersAnswer
from tests.unit.operator.changing import (
    ANSWERS,
    CRM,
    MOVED,
    NOTHING,
    SHOP,
    applied,
    change,
    executions,
    of,
    parse,
    reply,
    running,
    subject,
    view,
)
from tests.unit.operator.world import World, replace


@pytest.mark.parametrize("streams", [CRM, MOVED, {**SHOP, "added": "ignore"}, {**SHOP, "exclude": ["shop.a"]}])
def test_a_changed_selection_is_told_and_makes_no_new_execution(streams: dict[str, Any]) -> None:
    world = running()
    world.catalogue = replace(ANSWERS, selections=(SelectionSummary(parse(streams).key, 7),))
    job, sent = world.live(), parse(streams)
    change(world, streams)
    assert (world.live(), executions(world)) == (job, [1])
    assert [(act.job, act.uid, act.streams) for act in world.sent] == [(job[0].name, job[0].uid, sent)]
    assert (world.state, world.flags, applied(world)) == ("running", "RP", ("False", "SelectionChanging"))
    assert world.condition("Ready")["reason"] == "SelectionChanging"
    assert world.condition("RunnerHealthy")["status"] == "True", "it runs all the time"
    reply(world)
    assert (world.flags, applied(world)) == ("R", ("True", "SelectionApplied"))
    assert world.condition("Ready")["reason"] == "Running"
    assert (world.live(), executions(world), len(world.sent)) == (job, [1], 1)


def test_nothing_is_told_where_nothing_changes() -> None:
    world = running()
    world.pass_time(3600)
    world.settle()
    assert (world.sent, world.look().wake) == ([], None)
    assert applied(world) == ("True", "SelectionApplied")
    world.patch(rediscoverAt="1")
    world.discover()
    assert world.sent == []


def test_one_stream_has_nothing_of_it() -> None:
    world = World(selectedStream="ticker", status="running")
    world.discover()
    world.ready()
    world.settle()
    assert not any(one["type"] == "SelectionApplied" for one in world.status["conditions"])
    assert "selection" not in world.status["ordered"]
    job = build_runner_job(subject(selectedStream="a"), "j", 1, view(), RunnerSettings(image="a"))
    assert "orders" not in str(job)
    assert names.ANNOTATION_SELECTION not in job["metadata"]["annotations"]


def test_between_one_stream_and_many_an_execution_is_replaced() -> None:
    world = running()
    world.patch(streams=None, selectedStream="shop.orders")
    world.settle()
    world.leave()
    world.settle()
    assert executions(world) == [1, 2]
    assert world.sent == []
    world.patch(streams=SHOP, selectedStream=None)
    world.discover()
    world.leave()
    world.settle()
    assert executions(world) == [1, 2, 3]
    assert world.sent == []


def test_a_runner_that_refuses_is_told_with_its_reason_while_the_earlier_selection_goes_on() -> None:
    world = running()
    change(world, CRM)
    reply(world, "SchemaConflict", "streams meet in one table")
    assert (world.state, world.flags, applied(world)) == ("running", "S", ("False", "SchemaConflict"))
    for kind in ("Ready", "Stalled"):
        said = world.condition(kind)
        assert (said["reason"], said["message"]) == (
            "SchemaConflict",
            "The earlier selection goes on. streams meet in one table.",
        )
    assert executions(world) == [1]
    change(world, SHOP)  # back to what it was started with
    assert [act.streams.include for act in world.sent] == [("crm.*",), ("shop.*",)]
    reply(world)
    assert (world.flags, applied(world)) == ("R", ("True", "SelectionApplied"))


def test_a_refusal_that_ends_by_itself_is_noticed() -> None:
    world = running()
    change(world, CRM)
    reply(world, "UnknownStream", "nothing matches")
    world.answer = OrdersAnswer(of(CRM).whole_key)
    wake = world.look().wake
    assert wake is not None
    assert (wake - world.now).total_seconds() <= 60
    world.pass_time(60)
    world.settle()
    assert (world.flags, applied(world)) == ("R", ("True", "SelectionApplied"))


def test_what_is_left_out_is_said() -> None:
    world = running()
    change(world, CRM)
    reply(world, problems=("crm.a is left out: it has no key",))
    assert "crm.a is left out: it has no key." in world.condition("SelectionApplied")["message"]


def test_what_takes_nothing_is_not_told() -> None:
    world = running()
    change(world, NOTHING)
    assert (world.state, world.flags, applied(world)) == ("running", "S", ("False", "SelectionChanging"))
    assert world.condition("Ready")["reason"] == "UnknownStream"
    assert "The execution of the earlier spec continues." in world.condition("Ready")["message"]
    assert world.sent == []
    change(world, SHOP)
    assert (world.flags, applied(world)) == ("R", ("True", "SelectionApplied"))
    assert (world.sent, executions(world)) == ([], [1])


def test_the_pod_of_a_selection_mounts_what_may_be_told_later() -> None:
    job = build_runner_job(subject(streams=SHOP), "j", 1, view(), RunnerSettings(image="a"))
    pod = job["spec"]["template"]["spec"]
    assert {"name": "orders", "configMap": {"name": "j-orders", "optional": True}} in pod["volumes"]
    mount = {"name": "orders", "mountPath": ORDERS_DIRECTORY, "readOnly": True}
    assert mount in pod["containers"][0]["volumeMounts"]
    assert job["metadata"]["annotations"][names.ANNOTATION_SELECTION] == of(SHOP).whole_key


def test_which_changes_make_a_new_execution() -> None:
    def made(**fields: Any) -> str:
        return spec_hash(subject(**fields).spec)

    many = made(streams=SHOP)
    for streams in (CRM, MOVED, {**SHOP, "added": "ignore"}):
        assert made(streams=streams) == many
    assert len({many, made(selectedStream="shop.*"), made(), made(streams=SHOP, onStreamFailure="stop")}) == 4
