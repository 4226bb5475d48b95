"""A connector with many streams that runs and whose selection changes, for tests of live orders."""

from __future__ import annotations

from typing import Any

from connector_operator.decide.actions import CreateRunner
from connector_operator.resources import names
from connector_operator.resources.connector import parse_spec
from connector_operator.resources.dataset import resolve_dataset
from connector_operator.workloads.jobs import Subject
from connector_runner.schemas.catalogue import CatalogueSummary, SelectionSummary, StreamSummary
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.orders import OrdersAnswer
from tests.unit.operator.world import DATASET, World

SHOP: dict[str, Any] = {"include": ["shop.*"]}
CRM: dict[str, Any] = {"include": ["crm.*"]}
MOVED: dict[str, Any] = {"include": ["shop.*"], "tables": {"shop.orders": "warehouse"}}
NOTHING: dict[str, Any] = {"include": ["nothing.*"]}


def of(streams: dict[str, Any]) -> StreamsSpec:
    return StreamsSpec(tuple(streams["include"]), tables=streams.get("tables", {}))


ANSWERS = CatalogueSummary(
    (StreamSummary("shop.orders"), StreamSummary("crm.users")),
    2,
    selections=(
        SelectionSummary(of(SHOP).key, 2),
        SelectionSummary(of(CRM).key, 7),
        SelectionSummary(of(NOTHING).key, 0, {"nothing.*": ()}),
    ),
)


def running(**spec: Any) -> World:
    world = World(streams=SHOP, status="running", **spec)
    world.catalogue = ANSWERS
    world.discover()
    world.ready()
    world.settle()
    assert (world.state, world.flags) == ("running", "R")
    return world


def change(world: World, streams: dict[str, Any]) -> None:
    """Changes the selection; the source is asked what it takes, where that is not known."""
    world.patch(streams=streams)
    world.settle()
    if world.live(names.ROLE_DISCOVERY):
        world.discover()


def reply(world: World, reason: str = "", message: str = "", problems: tuple[str, ...] = ()) -> None:
    """The runner has looked at what it was sent last, and the operator looks."""
    world.answer = OrdersAnswer(world.sent[-1].streams.whole_key, reason, message, problems)
    world.pass_time(10)
    world.settle()


def applied(world: World) -> tuple[str, str]:
    said = world.condition("SelectionApplied")
    return said["status"], said["reason"]


def executions(world: World) -> list[int]:
    return [act.run for one in world.history for act in one.actions if isinstance(act, CreateRunner)]


def parse(streams: dict[str, Any]) -> StreamsSpec:
    spec, problems = parse_spec({"connectorType": "COINBASE", "config": {"productId": ["a"]}, "streams": streams})
    assert spec is not None
    assert problems == ()
    assert spec.streams is not None
    return spec.streams


def subject(**fields: Any) -> Subject:
    spec, problems = parse_spec({"connectorType": "COINBASE", "config": {"productId": ["a"]}, **fields})
    assert spec is not None
    assert problems == ()
    return Subject("default", "c", "uid", spec)


def view() -> Any:
    return resolve_dataset("x", {"x": DATASET}, is_many=True)
