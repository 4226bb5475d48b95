"""Selections of several connectors that one discovery answers."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connector_operator.resources.connector import parse_spec
from connector_runner.schemas.catalogue import SelectionSummary
from connector_runner.schemas.kinds.streams import StreamsSpec
from tests.unit.operator.fleet import Fleet
from tests.unit.operator.test_selections import CRM, CRM_KEY, SHOP, SHOP_KEY, answer
from tests.unit.operator.test_sharing import FAILED

# Shared discoveries.


def test_one_discovery_answers_all_selections_that_wait() -> None:
    fleet = Fleet(0)
    for number in range(6):
        fleet.add(f"c{number}", **({"streams": SHOP} if number % 2 else {"streams": CRM}))
    fleet.add("one", selectedStream="shop.orders")
    told = answer(SelectionSummary(CRM_KEY, 3), SelectionSummary(SHOP_KEY, 2))
    for world in fleet.worlds.values():
        world.catalogue = told
    fleet.visit_all()
    (ordered,) = fleet.orders
    assert [streams.key for streams in ordered.selections] == [SHOP_KEY], "the others'; its own is in its spec"
    assert ordered.also == ("shop.orders",)
    fleet.end(0)
    fleet.visit_all()
    assert {world.state for world in fleet.worlds.values()} == {"ready"}
    texts = [fleet.worlds[name].status["selection"]["text"] for name in ("c0", "c1", "one")]
    assert texts == ["3 streams", "2 streams", "shop.orders"]
    assert fleet.made == ["c0"]


def test_who_comes_later_with_a_selection_that_was_not_asked_asks_itself() -> None:
    fleet = Fleet(2, streams=SHOP)
    for world in fleet.worlds.values():
        world.catalogue = answer(SelectionSummary(SHOP_KEY, 2))
    fleet.visit_all()
    fleet.end(0)
    fleet.visit_all()
    late, same = fleet.add("late", streams=CRM), fleet.add("same", streams=SHOP)
    late.catalogue = answer(SelectionSummary(CRM_KEY, 3))
    fleet.visit_all()
    assert fleet.made == ["c0", "late"]
    assert (same.state, late.state) == ("ready", "pending")
    fleet.end(0)
    fleet.visit_all()
    assert late.state == "ready"


def test_the_answer_for_many_is_found_among_those_who_took_it() -> None:
    """Each has another selection; only the one that asked knows what all of them take."""
    fleet = Fleet(0)
    wanted = [StreamsSpec((f"d{number}.*",)) for number in range(9)]
    told = answer(*(SelectionSummary(streams.key, number + 1) for number, streams in enumerate(wanted)))
    for number, streams in enumerate(wanted):
        fleet.add(f"c{number}", streams={"include": list(streams.include)}).catalogue = told
    fleet.visit_all()
    fleet.end(0)
    fleet.visit_all()
    assert [world.status["selection"]["selected"] for world in fleet.worlds.values()] == list(range(1, 10))
    assert fleet.made == ["c0"]


def test_others_that_do_not_fit_into_one_job_ask_themselves() -> None:
    fleet = Fleet(1, streams=SHOP)
    for number in range(4):
        fleet.add(f"n{number}", streams={"include": [f"{'long' * 60}{number}_{index}" for index in range(150)]})
    fleet.visit("c0")
    assert len(fleet.orders[0].selections) == 2, "100 kB"


def test_a_selection_that_was_made_unreadable_by_hand_stops_nobody() -> None:
    fleet = Fleet(1, streams=SHOP)
    for number, streams in enumerate(({"include": 5}, {"include": [5]}, {}, {"include": ["a."]}, {"include": []})):
        fleet.add(f"n{number}", streams=streams)
    fleet.add("list", streams=["a"])
    fleet.visit_all()
    assert fleet.orders[0].selections == ()
    assert {world.state for name, world in fleet.worlds.items() if name != "c0"} == {"errored"}


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["visit", "end", "fail", "time", "one", "shop", "crm", "none"]), st.integers(0, 3)),
        max_size=16,
    )
)
def test_whatever_is_selected_in_any_order_all_get_their_answer(story: list[tuple[str, int]]) -> None:
    fleet = Fleet(4, streams=SHOP)
    told = answer(SelectionSummary(SHOP_KEY, 2), SelectionSummary(CRM_KEY, 3))
    for world in fleet.worlds.values():
        world.catalogue = told
    choices: dict[str, Any] = {
        "one": ("shop.orders", None),
        "shop": (None, SHOP),
        "crm": (None, CRM),
        "none": (None, None),
    }
    for what, number in story:
        world = fleet.worlds[f"c{number}"]
        match what:
            case "visit":
                fleet.visit(f"c{number}")
            case "end" | "fail":
                fleet.end(0 if what == "end" else 1, FAILED)
            case "time":
                fleet.pass_time(number * 7)
            case _:
                world.patch(selectedStream=choices[what][0], streams=choices[what][1])
                world.changed = fleet.now
    for _ in range(4):
        fleet.pass_time(700)
        fleet.visit_all()
        fleet.pass_time(1)
        fleet.end(0)
        fleet.visit_all()
    for world in fleet.worlds.values():
        asked = parse_spec(world.spec)[0]
        assert asked is not None
        assert world.state == ("ready" if asked.asked else "received")
        text = {SHOP_KEY: "2 streams", CRM_KEY: "3 streams"}.get(asked.asked, asked.asked)
        assert world.status.get("selection", {}).get("text", "") == text
