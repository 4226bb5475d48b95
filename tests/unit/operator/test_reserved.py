"""A number that was reserved for one thing is never given to another: its Job may exist although nobody has seen it yet."""

import pytest

from connector_operator.decide.actions import CreateDiscovery, CreateRunner
from connector_operator.resources import names
from connector_operator.resources.connector import config_hash, parse_spec, spec_hash
from tests.unit.operator.test_states import CHANGES, make
from tests.unit.operator.world import World


def hide(world: World) -> World:
    """Takes away what was just made: the answer to its creation was lost, and the watch lags behind."""
    hidden = World()
    hidden.jobs, world.jobs = world.jobs, {}
    hidden.pods, world.pods = world.pods, {}
    return hidden


def show(world: World, hidden: World) -> None:
    world.jobs = {**hidden.jobs, **world.jobs}
    world.pods = {**hidden.pods, **world.pods}


@pytest.mark.parametrize("change", ["stream", "dataset", "restart", ""])
def test_a_run_that_was_reserved_for_something_else_is_not_used(change: str) -> None:
    world = make("ready")
    world.patch(status="running")
    first = world.step()
    hidden = hide(world)
    if change:
        CHANGES[change](world)
    second = world.step()
    runs = [act.run for decision in (first, second) for act in decision.actions if isinstance(act, CreateRunner)]
    assert runs == ([1, 2] if change else [1, 1])
    show(world, hidden)
    world.settle()
    world.leave()
    world.settle()
    spec, _ = parse_spec(world.spec)
    assert spec is not None
    assert [(job.run, job.spec_hash) for job in world.live()] == [(runs[-1], spec_hash(spec))]


@pytest.mark.parametrize("change", ["config", "stream", ""])
def test_a_discovery_that_was_made_for_something_else_is_not_read(change: str) -> None:
    world = make("new")
    first = world.step()
    hidden = hide(world)
    if change:
        CHANGES[change](world)
    second = world.step()
    attempts = [act.attempt for one in (first, second) for act in one.actions if isinstance(act, CreateDiscovery)]
    assert attempts == ([1, 2] if change else [1, 1])
    show(world, hidden)
    world.settle()
    world.leave()
    world.settle()
    spec, _ = parse_spec(world.spec)
    assert spec is not None
    assert {job.config_hash for job in world.live(names.ROLE_DISCOVERY)} <= {config_hash(spec)}
    if world.live(names.ROLE_DISCOVERY):
        world.discover()
    assert world.status["discovery"]["configHash"] == config_hash(spec)
