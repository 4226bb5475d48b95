"""What the status remembers of failures to list the streams is of the present configuration."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.world import SPEC, World

FAILURE = '{"reason":"Unavailable","message":"No route."}'
OTHER = {**SPEC["config"], "url": "wss://nowhere.example"}
OF_FAILURES = {
    *("failures", "failedFor", "refused", "heldBack", "reason", "message"),
    *("retryAt", "failedBegun", "failedAt", "failedAlone"),
}


def fail(world: World, code: int = 75) -> None:
    """One more attempt to list the streams fails."""
    world.pass_time(400)
    world.settle()
    world.end(code, FAILURE, role="discovery")
    world.settle()


def failures(world: World) -> dict[str, Any]:
    return {name: value for name, value in world.status["discovery"].items() if name in OF_FAILURES}


def make_broken(code: int = 75) -> World:
    """Its streams are listed; then its configuration is changed, and they can't be listed with that."""
    world = World(selectedStream="ticker")
    world.discover()
    world.patch(config=OTHER)
    world.settle()
    for _ in range(3):
        fail(world, code)
    return world


@pytest.mark.parametrize("code", [75, 78])
def test_they_are_forgotten_with_the_configuration_that_they_are_of(code: int) -> None:
    world = make_broken(code)
    assert (failures(world)["failures"], failures(world)["message"]) == (3, "No route.")
    attempts = world.status["discovery"]["attempts"]
    world.patch(config=SPEC["config"])
    world.settle()
    assert failures(world) == {}
    assert world.condition("Discovered")["status"] == "True"
    assert world.status["discovery"]["attempts"] == attempts, "it is known what was listed with this one"


def test_each_configuration_is_counted_by_itself() -> None:
    world = make_broken()
    world.patch(config={**OTHER, "url": "wss://elsewhere.example"})
    world.settle()
    assert failures(world) == {}, "its first attempt runs"
    fail(world)
    assert failures(world)["failures"] == 1


def test_a_configuration_that_cannot_be_read_is_none_that_failed() -> None:
    world = make_broken()
    world.patch(config={**OTHER, "url": 7})
    world.settle()
    assert failures(world) == {}
    assert world.condition("ConfigValid")["status"] == "False"


def test_what_changes_nothing_of_the_listing_forgets_nothing() -> None:
    world = make_broken()
    before = failures(world)
    world.patch(description="another", status="running")
    world.settle()
    assert failures(world) == before
