"""A changed image of the runner over running connectors: one after the other, stopped by one that does not work, continued with a fixed image."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_operator.decide.image_rollout import ImageTurns, Name, decide_image_rollout
from connector_operator.decide.observation import Policy
from connector_operator.resources.reasons import Reason
from tests.unit.operator.world import World

A, B, BAD, FIXED = "runner:a", "runner:b", "runner:bad", "runner:fixed"
CONDITION = "RunnerUpToDate"


def policy_of(image: str, **settings: Any) -> Policy:
    """The installation's part of a decision, as the operator of an image has it."""
    return Policy(image=image, installation=f"with {image}", **settings)


def make_running(image: str = A, **spec: Any) -> World:
    world = World(selectedStream="ticker", status="running", **spec)
    world.policy = policy_of(image)
    world.discover()
    world.ready()
    world.settle()
    assert world.state == "running"
    return world


RUNNING = make_running()


class Fleet:
    """Some connectors of one operator, whose cluster runs what an image stands for: a pod gets ready, or it crashes."""

    def __init__(self, count: int, pace: int = 1) -> None:
        self.worlds: dict[Name, World] = {("default", f"c{n}"): copy.deepcopy(RUNNING) for n in range(count)}
        self.pace = pace
        self.turns = ImageTurns()
        self.stops: list[tuple[Name, str]] = []

    def standings(self) -> dict[Name, str]:
        return {name: str(world.condition(CONDITION)["reason"]) for name, world in self.worlds.items()}

    def restart(self, image: str) -> None:
        """Another operator process: what was in memory is gone."""
        self.turns = ImageTurns()
        for world in self.worlds.values():
            world.policy = policy_of(image)

    def visit(self, name: Name) -> None:
        """One visit of a connector."""
        world = self.worlds[name]
        world.has_image_turn = self.turns.has_turn(name)
        world.update_blocker = self.turns.blocker_for(name)
        decision = world.step()
        if decision.row.name == "replace":
            self.stops.append((name, world.policy.image))

    def give_turns(self) -> None:
        self.turns = decide_image_rollout(self.standings(), self.pace)

    def cluster(self, name: Name) -> None:
        """What Kubernetes does to its Jobs meanwhile."""
        world = self.worlds[name]
        world.leave()
        for job in world.live():
            if job.image == BAD:
                world.end(1, '{"reason":"Crashed","message":"It can not start."}')
            else:
                world.ready()

    def turn_over(self, seconds: float = 5) -> None:
        """A round of everything."""
        for name, world in self.worlds.items():
            self.visit(name)
            self.cluster(name)
            self.visit(name)
            world.pass_time(seconds)
        self.give_turns()

    def images(self) -> list[str]:
        return [world.live()[-1].image if world.live() else "-" for world in self.worlds.values()]

    def away(self) -> int:
        """How many carry nothing at this moment."""
        return sum(not any(j.ready and j.deleting is None for j in world.live()) for world in self.worlds.values())


def rounds(fleet: Fleet, most: int = 40) -> Iterator[int]:
    """Rounds until nothing changes any more."""
    for number in range(most):
        before = [(world.writes, world.live()) for world in fleet.worlds.values()]
        yield number
        fleet.turn_over()
        after = [(world.writes, world.live()) for world in fleet.worlds.values()]
        if before == after and not any("update" in world.status for world in fleet.worlds.values()):
            return


def test_the_same_image_changes_nothing() -> None:
    fleet = Fleet(2)
    writes = [world.writes for world in fleet.worlds.values()]
    fleet.restart(A)
    for _ in rounds(fleet, 5):
        pass
    assert [world.writes for world in fleet.worlds.values()] == writes
    assert fleet.stops == []


def test_they_follow_one_after_the_other_in_order() -> None:
    fleet = Fleet(4)
    fleet.restart(B)
    for _ in rounds(fleet):
        assert fleet.away() <= 1
        assert len([r for r in fleet.standings().values() if r == Reason.UPDATING]) <= 1
    assert fleet.images() == [B] * 4
    assert fleet.stops == [(name, B) for name in fleet.worlds]
    assert set(fleet.standings().values()) == {Reason.UP_TO_DATE}
    assert all("update" not in world.status for world in fleet.worlds.values())
    assert all(world.status["runnerVersion"] == "b" for world in fleet.worlds.values())


def test_the_first_that_does_not_work_stops_it_and_is_named_to_the_others() -> None:
    fleet = Fleet(4)
    fleet.restart(BAD)
    for _ in rounds(fleet):
        pass
    assert [name for name, _ in fleet.stops] == [("default", "c0")], "nobody else was stopped"
    assert fleet.images()[1:] == [A] * 3
    standings = list(fleet.standings().values())
    assert standings == [Reason.UPDATE_FAILED] + [Reason.AWAITING_TURN] * 3
    for world in list(fleet.worlds.values())[1:]:
        assert "connector c0 does not work with it" in world.condition(CONDITION)["message"]
        assert world.flags == "R", "those that wait do what is asked of them"


@pytest.mark.parametrize("fixed", [FIXED, A])
def test_a_fixed_image_or_the_earlier_one_is_tried_at_once_where_it_stopped_and_then_everywhere(fixed: str) -> None:
    fleet = Fleet(3)
    fleet.restart(BAD)
    for _ in rounds(fleet, 30):
        pass
    first = fleet.worlds["default", "c0"]
    assert first.status["retry"]["failures"] >= 5
    first.pass_time(-first.policy.stable_after.total_seconds())  # not due for long: its delays have grown to minutes
    fleet.restart(fixed)
    fleet.visit(("default", "c0"))
    assert first.live()[-1].image == fixed, "at once, not after its delay"
    for _ in rounds(fleet):
        assert fleet.away() <= 1
    assert fleet.images() == [fixed] * 3
    assert set(fleet.standings().values()) == {Reason.UP_TO_DATE}


def test_one_that_was_failing_before_delays_nobody_and_takes_the_image_by_itself() -> None:
    fleet = Fleet(3)
    bad = fleet.worlds["default", "c0"]
    bad.end(1, '{"reason":"Crashed","message":"No."}')
    bad.settle()
    fleet.restart(B)
    for _ in rounds(fleet):
        pass
    assert fleet.images() == [B] * 3
    assert ("default", "c0") not in [name for name, _ in fleet.stops]


def test_one_that_gets_ready_only_to_crash_stops_it_as_well() -> None:
    fleet = Fleet(2)
    fleet.restart(B)
    first = fleet.worlds["default", "c0"]
    for _ in range(40):
        fleet.turn_over(seconds=2)
        if first.live() and first.live()[-1].image == B and first.live()[-1].ready:
            first.end(1, '{"reason":"Crashed","message":"After a second."}')
            fleet.visit(("default", "c0"))
    assert fleet.images()[1] == A
    assert fleet.standings()["default", "c0"] == Reason.UPDATE_FAILED


ACTS = st.lists(
    st.one_of(
        st.sampled_from([A, B, BAD, FIXED]),
        st.tuples(st.sampled_from(["visit", "cluster", "time"]), st.integers(0, 3)),
        st.sampled_from(["turns", "restart"]),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=25)
@given(ACTS, st.integers(1, 3))
def test_whatever_happens_few_are_away_at_a_time_and_a_good_image_reaches_all(acts: list[Any], pace: int) -> None:
    fleet = Fleet(4, pace)
    names, image = list(fleet.worlds), A
    for act in [*acts, FIXED]:
        if act == "turns":
            fleet.give_turns()
        elif isinstance(act, tuple):
            what, number = act
            if what == "visit":
                fleet.visit(names[number])
            elif what == "cluster":
                fleet.cluster(names[number])
            else:
                for world in fleet.worlds.values():
                    world.pass_time(7)
        else:
            image = image if act == "restart" else act
            fleet.restart(image)
        assert fleet.away() <= pace
    for _ in rounds(fleet, 60):
        assert fleet.away() <= pace
    assert fleet.images() == [FIXED] * 4
    assert set(fleet.standings().values()) == {Reason.UP_TO_DATE}
