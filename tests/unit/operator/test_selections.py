"""Connectors with many streams: how a selection is asked for, answered, explained and shown. What one stream does stays as it is."""

from __future__ import annotations

from typing import Any

import pytest

from connector_operator.decide.actions import CreateDiscovery, CreateRunner
from connector_operator.resources import names
from connector_operator.resources.connector import parse_spec
from connector_operator.resources.dataset import Resolution, resolve_dataset
from connector_operator.workloads.jobs import RunnerSettings, Subject, build_discovery_job, build_runner_job
from connector_runner.schemas.catalogue import CatalogueSummary, SelectionSummary, StreamSummary
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.manifest import RunnerManifest, parse_manifest, read_variables
from tests.unit.operator.world import DATASET, World

SHOP: dict[str, Any] = {"include": ["shop.*"]}
CRM: dict[str, Any] = {"include": ["crm.*"], "exclude": ["crm.old_*"]}
SHOP_KEY, CRM_KEY = (StreamsSpec(tuple(one["include"]), tuple(one.get("exclude", ()))).key for one in (SHOP, CRM))
STREAMS = (StreamSummary("shop.orders"), StreamSummary("shop.users"))


def answer(*selections: SelectionSummary, total: int = 2) -> CatalogueSummary:
    return CatalogueSummary(STREAMS, total, selections=selections)


def world_with(*selections: SelectionSummary, total: int = 2, **spec: Any) -> World:
    world = World(streams=SHOP, **spec)
    world.catalogue = answer(*selections, total=total)
    world.discover()
    return world


def test_a_selection_that_takes_something_is_ready_and_runs() -> None:
    world = world_with(SelectionSummary(SHOP_KEY, 200), total=900)
    assert (world.state, world.flags) == ("ready", "R")
    message = world.condition("Ready")["message"]
    assert (
        message
        == "Ready to run 200 streams into tables {stream} of Dataset 'your-dataset'; set spec.status to running."
    )
    assert world.status["selection"] == {"text": "200 streams", "selected": 200, "key": SHOP_KEY}
    world.patch(status="running")
    world.settle()
    world.ready()
    decision = world.settle()
    assert world.state == "running"
    assert world.condition("Ready")["message"] == "200 streams run into tables {stream} of Dataset 'your-dataset'."
    assert decision.looks == frozenset()
    assert len([act for one in world.history for act in one.actions if isinstance(act, CreateDiscovery)]) == 1


def test_a_selection_of_one_is_said_so() -> None:
    world = world_with(SelectionSummary(SHOP_KEY, 1), status="running")
    world.ready()
    world.settle()
    assert world.condition("Ready")["message"].startswith("1 stream runs into tables ")
    assert world.status["selection"]["text"] == "1 stream"


def test_before_the_answer_the_patterns_are_shown() -> None:
    world = World(streams={"include": ["shop.*", "crm.customers"]})
    world.settle()
    assert (world.state, world.status["selection"]) == ("pending", {"text": "shop.*, crm.customers"})
    long = World(streams={"include": [f"database_{number}.*" for number in range(9)]})
    long.settle()
    assert len(long.status["selection"]["text"]) == 60


@pytest.mark.parametrize("status", [None, "running"])
def test_a_selection_that_takes_nothing_is_explained_with_the_nearest_names(status: str | None) -> None:
    told = SelectionSummary(SHOP_KEY, 0, {"shop.*": ("shp.orders", "shp.users")})
    fields: dict[str, Any] = {"status": status} if status else {}
    world = world_with(told, **fields)
    assert (world.state, world.flags) == ("errored", "S")
    ready = world.condition("Ready")
    assert ready["reason"] == "UnknownStream"
    assert "'shop.*' in spec.streams matches nothing" in ready["message"]
    assert "the nearest names are shp.orders, shp.users" in ready["message"]
    assert "The source has 2 streams: shop.orders, shop.users." in ready["message"]
    assert world.status["selection"]["text"] == "0 streams"
    assert not world.live()


def test_what_excludes_all_says_so() -> None:
    world = world_with(SelectionSummary(SHOP_KEY, 0))
    assert "exclude leaves out all that include matches" in world.condition("Ready")["message"]


def test_a_selection_that_takes_nothing_is_asked_again_while_running_is_requested() -> None:
    world = world_with(SelectionSummary(SHOP_KEY, 0, {"shop.*": ()}), status="running")
    assert world.status["discovery"]["misses"] == 1
    world.catalogue = answer(SelectionSummary(SHOP_KEY, 2))
    world.pass_time(700)
    world.discover()
    assert world.live(), "it starts by itself when a table is there"
    assert "misses" not in world.status["discovery"]


def test_what_a_person_should_know_stands_in_discovered() -> None:
    told = SelectionSummary(SHOP_KEY, 2, {"shop.oders": ("shop.orders",)}, ("shop._orders_gho",), ("something is odd",))
    message = world_with(told).condition("Discovered")["message"]
    assert (
        "'shop.oders' in spec.streams matches nothing that the source has; the nearest names are shop.orders."
        in message
    )
    assert "Selected only by their exact names: shop._orders_gho." in message
    assert "something is odd." in message


def test_a_changed_selection_is_asked_for_anew_while_what_runs_stays() -> None:
    world = world_with(SelectionSummary(SHOP_KEY, 2), status="running")
    world.ready()
    world.settle()
    first = world.live()
    world.patch(streams=CRM)
    world.settle()
    assert world.live() == first, "nothing is stopped before the source was asked"
    assert world.condition("Discovered")["status"] == "True"
    world.catalogue = answer(SelectionSummary(CRM_KEY, 7))
    world.discover()
    assert world.live() == first, "the live execution is told"
    assert [act.streams.include for act in world.sent] == [("crm.*",)]
    assert world.status["selection"] == {"text": "7 streams", "selected": 7, "key": CRM_KEY}


def test_a_change_to_what_takes_nothing_leaves_the_execution_alone() -> None:
    world = world_with(SelectionSummary(SHOP_KEY, 2), status="running")
    world.ready()
    world.settle()
    first = world.live()
    world.patch(streams=CRM)
    world.catalogue = answer(SelectionSummary(CRM_KEY, 0, {"crm.*": ()}))
    world.discover()
    assert world.live() == first
    assert (world.state, world.flags) == ("running", "S")
    assert "The execution of the earlier spec continues." in world.condition("Ready")["message"]


def test_a_selection_that_changes_while_it_is_asked_is_asked_again() -> None:
    world = World(streams=SHOP)
    world.settle()
    world.patch(streams=CRM)
    world.catalogue = answer(SelectionSummary(SHOP_KEY, 2))
    world.discover()
    assert world.state == "pending"
    world.catalogue = answer(SelectionSummary(CRM_KEY, 3))
    world.discover()
    assert (world.state, world.status["selection"]["selected"]) == ("ready", 3)


def test_from_one_stream_to_many_and_back() -> None:
    world = World(selectedStream="ticker")
    world.discover()
    assert world.status["selection"] == {"text": "ticker"}
    world.patch(selectedStream=None, streams=SHOP)
    world.catalogue = answer(SelectionSummary(SHOP_KEY, 2))
    world.discover()
    assert (world.state, world.status["selection"]["text"]) == ("ready", "2 streams")
    world.patch(selectedStream="shop.orders", streams=None)
    world.settle()
    assert (world.state, world.status["selection"]) == ("ready", {"text": "shop.orders"})


def test_an_image_that_does_not_know_selections_is_told_and_not_asked_in_a_loop() -> None:
    world = world_with()
    assert (world.state, world.flags) == ("errored", "S")
    assert "The runner's image does not know spec.streams" in world.condition("Ready")["message"]
    for _ in range(5):
        world.settle()
    assert world.status["discovery"]["attempts"] == 1


def test_both_at_once_are_a_problem_and_nothing_runs() -> None:
    world = World(selectedStream="ticker", streams=SHOP, status="running")
    world.settle()
    assert (world.state, world.flags) == ("errored", "S")
    assert "either selectedStream (one stream) or streams (many)" in world.condition("ConfigValid")["message"]
    assert world.jobs == {}


# Jobs.


def orders_of(job: dict[str, Any]) -> RunnerManifest:
    variables = {one["name"]: one.get("value", "") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    return parse_manifest(read_variables(variables))


def subject(**fields: Any) -> Subject:
    spec, problems = parse_spec({"connectorType": "COINBASE", "config": {"productId": ["BTC-USD"]}, **fields})
    assert spec is not None
    assert problems == ()
    return Subject("default", "c", "uid", spec)


def test_a_run_gets_the_selection_and_a_discovery_all_that_wait() -> None:
    many = subject(streams={**SHOP, "tables": {"shop.orders": "orders"}}, onStreamFailure="stop")
    settings = RunnerSettings(image="a")
    view = resolve_dataset("x", {"x": DATASET}, is_many=True)
    told = orders_of(build_runner_job(many, "j", 1, view, settings))
    assert told.streams == StreamsSpec(("shop.*",), tables={"shop.orders": "orders"})
    assert (told.on_stream_failure, told.stream) == ("stop", "")
    assert told.dataset is not None
    assert told.dataset.table == "{stream}"
    listing = build_discovery_job(many, "j", 1, settings, ("a",), (StreamsSpec(("crm.*",)),))
    asked = orders_of(listing)
    assert [streams.include for streams in asked.selections] == [("shop.*",), ("crm.*",)]
    assert (asked.streams, asked.also) == (None, ("a",))
    assert listing["metadata"]["annotations"][names.ANNOTATION_STREAM] == SHOP_KEY


def test_the_tables_of_a_selection_are_a_template() -> None:
    def view(table: str, *, is_many: bool) -> tuple[Resolution, str]:
        found = resolve_dataset(
            "X", {"x": {"spec": {**DATASET["spec"], "table": table}, "status": {}}}, is_many=is_many
        )
        return found.resolution, found.table or found.message

    assert view("", is_many=True) == (Resolution.RESOLVED, "{stream}")
    assert view("", is_many=False) == (Resolution.RESOLVED, "X")
    assert view('raw."{name}"', is_many=True) == (Resolution.RESOLVED, 'raw."{name}"')
    assert view("raw_{name", is_many=False) == (Resolution.RESOLVED, "raw_{name"), "as it was before templates"
    resolution, message = view("raw_{name", is_many=True)
    assert resolution is Resolution.INVALID
    assert "spec.table: 'raw_{name': a brace without its other" in message


def test_a_run_is_made_from_the_selection() -> None:
    world = world_with(SelectionSummary(SHOP_KEY, 2), status="running")
    starts = [act for one in world.history for act in one.actions if isinstance(act, CreateRunner)]
    assert len(starts) == 1
