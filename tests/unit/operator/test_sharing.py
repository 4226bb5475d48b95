"""One discovery for several connectors: which answer, failure or Job serves whom; and a fleet of them, in any order."""

from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_operator.cluster.cache import trim
from connector_operator.cluster.peers import gather_peers
from connector_operator.decide.actions import CreateDiscovery
from connector_operator.decide.facts import gather_facts
from connector_operator.engine.askers import Askers
from connector_operator.engine.fair_queue import Key
from connector_operator.resources import names
from connector_operator.resources.times import format_time
from connector_runner.schemas.catalogue import CatalogueSummary, StreamSummary
from tests.unit.operator.fleet import Fleet
from tests.unit.operator.world import START, World, replace

OTHER = {"url": "wss://other.example", "productId": ["BTC-USD"]}
FAILED = '{"reason":"Unavailable","message":"The server does not answer."}'


def test_one_discovery_serves_all_that_wait_and_those_that_come_while_it_runs_or_soon_after() -> None:
    fleet = Fleet(5)
    fleet.visit_all()
    fleet.pass_time(2)
    fleet.add("late")
    fleet.visit_all()
    assert fleet.listing() == ["c0"]
    waiting = fleet.worlds["c1"]
    assert (waiting.state, waiting.flags) == ("pending", "P")
    assert "Connector c0 lists the streams" in waiting.condition("Ready")["message"]
    fleet.end(0)
    fleet.visit_all()
    fleet.pass_time(50)
    fleet.add("later")
    fleet.visit_all()
    assert {world.state for world in fleet.worlds.values()} == {"received"}
    assert {world.status["discovery"]["at"] for world in fleet.worlds.values()} == {
        format_time(START + timedelta(seconds=2))
    }
    assert fleet.made == ["c0"]


def test_an_answer_that_is_no_longer_fresh_serves_nobody() -> None:
    fleet = Fleet(1)
    fleet.visit_all()
    fleet.end(0)
    fleet.visit_all()
    fleet.pass_time(61)
    fleet.add("late")
    fleet.visit_all()
    assert fleet.made == ["c0", "late"]


@pytest.mark.parametrize(
    "difference",
    [
        {"config": OTHER},
        {"configFrom": [{"secretRef": {"name": "key"}}]},
        {"runner": {"serviceAccountName": "reader"}},
        {"runner": {"nodeSelector": {"zone": "a"}}},
        {"runner": {"podLabels": {"team": "a"}}},
        {"rediscoverAt": "now"},
    ],
    ids=["config", "secret", "account", "node", "labels", "rediscoverAt"],
)
def test_whatever_differs_gets_its_own(difference: dict[str, Any]) -> None:
    fleet = Fleet(1)
    fleet.visit_all()
    fleet.end(0)
    fleet.visit_all()
    world = fleet.add("other", **difference)
    world.policy = replace(world.policy, service_accounts=("*",))
    fleet.visit_all()
    assert fleet.made == ["c0", "other"]


def test_another_image_or_default_of_the_installation_gets_its_own() -> None:
    fleet = Fleet(1)
    fleet.visit_all()
    fleet.end(0)
    fleet.visit_all()
    world = fleet.add("other")
    world.policy = replace(world.policy, installation="another image")
    fleet.visit_all()
    assert fleet.made == ["c0", "other"]


def test_who_may_not_use_the_account_is_told_nothing() -> None:
    fleet = Fleet(0)
    allowed = fleet.add("allowed", runner={"serviceAccountName": "reader"})
    allowed.policy = replace(allowed.policy, service_accounts=("reader",))
    fleet.visit_all()
    fleet.end(0)
    fleet.visit_all()
    fleet.add("forbidden", runner={"serviceAccountName": "reader"})
    fleet.visit_all()
    assert fleet.worlds["forbidden"].state == "errored"
    assert fleet.worlds["forbidden"].status["streams"] == []


@pytest.mark.parametrize(("after", "own"), [(-1, False), (0, True), (1, True)], ids=["before", "same-second", "after"])
def test_a_discovery_that_began_before_a_change_says_nothing_about_it(after: int, own: bool) -> None:
    """What began in the same second may have begun before."""
    fleet = Fleet(2)
    fleet.visit("c0")
    fleet.pass_time(3)
    fleet.end(0)
    fleet.visit("c0")
    fleet.worlds["c1"].changed = START + timedelta(seconds=after)
    fleet.visit_all(1)
    assert fleet.made == (["c0", "c1"] if own else ["c0"])


def test_a_failure_is_told_to_all_that_waited_and_tried_again_once_for_all() -> None:
    fleet = Fleet(8)
    for failures in (1, 2, 3):
        fleet.visit_all()
        assert len(fleet.listing()) == 1
        fleet.pass_time(2)
        fleet.end(1, FAILED)
        fleet.visit_all()
        told = [world.status["discovery"] for world in fleet.worlds.values()]
        assert {(d["failures"], d["reason"], d["retryAt"]) for d in told} == {
            (failures, "Unavailable", told[0]["retryAt"])
        }
        assert len(fleet.made) == failures
        fleet.visit_all()
        assert fleet.listing() == []
        fleet.pass_time(400)
    fleet.visit_all()
    fleet.pass_time(2)
    fleet.end(0)
    fleet.visit_all()
    assert {world.state for world in fleet.worlds.values()} == {"received"}
    assert len(fleet.made) == 4


def test_who_comes_after_a_failure_asks_at_once_and_who_failed_takes_nothing_older_than_its_wait() -> None:
    fleet = Fleet(1)
    fleet.visit_all()
    fleet.end(78, FAILED)
    fleet.visit_all()
    assert fleet.worlds["c0"].state == "errored"
    fleet.pass_time(1)
    fleet.add("new")
    fleet.visit_all()
    assert fleet.made == ["c0", "new"]
    fleet.end(0)
    fleet.visit_all()
    assert (fleet.worlds["new"].state, fleet.worlds["c0"].state) == ("received", "errored")
    fleet.pass_time(40)
    fleet.visit_all()
    assert fleet.made == ["c0", "new", "c0"]


def test_a_failure_for_one_stream_says_nothing_of_others() -> None:
    fleet = Fleet(1, selectedStream="traces")
    fleet.add("other", selectedStream="ticker")
    fleet.add("same", selectedStream="traces")
    fleet.visit_all()
    fleet.pass_time(1)
    fleet.end(78, '{"reason":"MethodMissing","message":"No traces.","isOfStream":true}')
    fleet.visit_all()
    assert fleet.worlds["same"].condition("Ready")["reason"] == "MethodMissing"
    assert fleet.worlds["other"].state == "pending"
    assert fleet.made == ["c0", "other"]


def catalogue(*streams: str, total: int, missing: tuple[str, ...] = ()) -> CatalogueSummary:
    return CatalogueSummary(tuple(map(StreamSummary, streams)), total, missing=missing)


@pytest.mark.parametrize(
    ("selected", "total", "missing", "asks"),
    [
        ("", 900, (), False),
        ("ticker", 900, (), False),
        ("beyond", 900, (), True),
        ("beyond", 1, (), True),
        ("nonsense", 900, ("nonsense",), False),
    ],
)
def test_whose_selection_the_answer_does_not_settle_asks_again(
    selected: str, total: int, missing: tuple[str, ...], asks: bool
) -> None:
    fleet = Fleet(1)
    fleet.worlds["c0"].catalogue = catalogue("ticker", total=total, missing=missing)
    fleet.visit_all()
    fleet.end(0)
    fleet.visit_all()
    fleet.add("other", **({"selectedStream": selected} if selected else {}))
    fleet.visit_all()
    assert fleet.made == (["c0", "other"] if asks else ["c0"])


def test_the_discovery_is_told_what_all_have_selected() -> None:
    fleet = Fleet(1)
    fleet.add("a", selectedStream="one")
    fleet.add("b", selectedStream="two")
    fleet.visit("c0")
    [act] = [a for a in fleet.worlds["c0"].history[-1].actions if isinstance(a, CreateDiscovery)]
    assert act.also == ("one", "two")


@pytest.mark.parametrize("how", ["deleted", "edited", "job-deleted"])
def test_when_the_owner_is_gone_or_wants_something_else_the_next_makes_its_own(how: str) -> None:
    fleet = Fleet(3)
    fleet.visit_all()
    owner = fleet.worlds["c0"]
    if how == "deleted":
        del fleet.worlds["c0"]
    elif how == "edited":
        owner.patch(config=OTHER)
    else:
        for job in owner.live(names.ROLE_DISCOVERY):
            owner.vanish(job.name)
    order = ["c1", "c2", *(["c0"] if "c0" in fleet.worlds else [])]
    for name in ["c0", *order] if how == "edited" else order:
        fleet.visit(name)
    assert fleet.made == ["c0", "c1"]


def test_a_waiter_that_is_edited_leaves_the_others_alone() -> None:
    fleet = Fleet(3)
    fleet.visit_all()
    fleet.worlds["c1"].patch(config=OTHER)
    fleet.worlds["c1"].changed = fleet.now
    fleet.visit_all()
    assert fleet.made == ["c0", "c1"]
    fleet.end(0)
    fleet.visit_all()
    assert {world.state for world in fleet.worlds.values()} == {"received"}


def test_what_one_took_serves_another_when_the_first_is_gone() -> None:
    fleet = Fleet(2)
    fleet.visit_all()
    fleet.end(0)
    fleet.visit_all()
    del fleet.worlds["c0"]
    fleet.add("late")
    fleet.visit_all()
    assert fleet.made == ["c0"]


def is_cancelled(world: World) -> bool:
    return any(job.deleting is not None for job in world.live(names.ROLE_DISCOVERY))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["visit", "end", "fail", "refuse", "time", "edit", "again", "delete", "add"]),
            st.integers(0, 5),
        ),
        max_size=16,
    )
)
def test_whatever_happens_all_get_their_streams_and_no_two_ask_the_same_at_once(story: list[tuple[str, int]]) -> None:
    fleet = Fleet(4)
    for step, (what, number) in enumerate(story):
        name = list(fleet.worlds)[number % len(fleet.worlds)]
        world = fleet.worlds[name]
        match what:
            case "visit":
                fleet.visit(name)
            case "end" | "fail" | "refuse":
                fleet.end({"end": 0, "fail": 1, "refuse": 78}[what], FAILED)
            case "time":
                fleet.pass_time(number * 7)
            case "edit":
                world.patch(config=OTHER if number % 2 else World().spec["config"])
                world.changed = fleet.now
            case "again":
                world.patch(rediscoverAt=str(step))
                world.changed = fleet.now
            case "delete" if len(fleet.worlds) > 1:
                del fleet.worlds[name]
            case "add":
                fleet.add(f"n{step}")
    for _ in range(6):
        fleet.pass_time(700)
        fleet.visit_all()
        asked = {n: fleet.worlds[n].status["discovery"]["ordered"].get("rediscoverAt", "") for n in fleet.listing()}
        # One that is being cancelled lists nothing any more.
        plain = [n for n, again in asked.items() if not again and not is_cancelled(fleet.worlds[n])]
        assert len(plain) <= 2, "one for each configuration"
        fleet.pass_time(1)
        fleet.end(0)
        for world in fleet.worlds.values():
            world.now = fleet.now
            world.leave()
        fleet.visit_all()
    assert {world.state for world in fleet.worlds.values()} == {"received"}


def test_two_visits_at_once_make_one_discovery_and_who_waited_is_woken() -> None:
    woken: list[Key] = []
    askers = Askers(woken.append)
    first, second = Key("connector", "default", "c0"), Key("connector", "default", "c1")
    fleet = Fleet(2)
    askers.begin(first)  # decided, and neither its status nor its Job is written
    waiting = gather_peers(fleet.cache(), askers.is_about_to, gather_facts(fleet.worlds["c1"].observe()))
    assert [asker.name for asker in waiting.askers] == ["c0"]
    askers.wait(second, first)
    askers.end(first)
    askers.release(first)
    askers.release(first)
    assert woken == [second]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(("own", "status"), list(product(["", "2026-01-01T00:05:00Z"], ["", "2026-01-01T00:09:00Z"])))
def test_a_change_is_what_anybody_did_but_to_the_status(own: str, status: str) -> None:
    made = "2026-01-01T00:00:00Z"
    managed = [{"time": made, "manager": "kubectl"}]
    managed += [{"time": own, "manager": "argocd"}] if own else []
    managed += [{"time": status, "manager": "connector-operator", "subresource": "status"}] if status else []
    raw = {"metadata": {"name": "c", "uid": "u", "creationTimestamp": made, "managedFields": managed}}
    assert moment(trim(raw)["changed"]) == moment(own or made)
