"""Every state against every request: which row holds, and where it ends."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.operator.world import DATASET, World

Change = Callable[[World], None]


def make(state: str) -> World:
    """A connector that has come to a state by itself."""
    world = World()
    if state == "new":
        return world
    world.settle()
    if state == "pending":
        return world
    if state == "refused":
        world.end(78, '{"reason":"BadCredentials","message":"The key is unknown."}', role="discovery")
        world.settle()
        return world
    world.discover()
    if state == "received":
        return world
    world.patch(selectedStream="ticker")
    world.settle()
    if state == "ready":
        return world
    world.patch(status="running")
    world.settle()
    if state == "starting":
        return world
    world.ready()
    world.settle()
    return make_after_running(world, state)


def make_after_running(world: World, state: str) -> World:
    if state == "running":
        return world
    if state in {"backoff", "failing"}:
        for _ in range({"backoff": 1, "failing": 5}[state]):
            world.pass_time(400)
            world.settle()
            world.pass_time(1)
            world.end(1, '{"reason":"Broken","message":"It broke."}')
            world.settle()
        return world
    if state in {"mend", "completed"}:
        world.end(78 if state == "mend" else 0, '{"reason":"TableMissing","message":"No table."}')
        world.settle()
        return world
    world.patch(status="stopped")
    world.settle()
    if state == "stopping":
        return world
    world.leave()
    world.settle()
    assert state == "stopped"
    return world


def running(world: World) -> None:
    world.patch(status="running", selectedStream="ticker")


def stopped(world: World) -> None:
    world.patch(status="stopped")


def absent(world: World) -> None:
    world.patch(status=None)


def config(world: World) -> None:
    world.patch(config={"url": "wss://other.example", "productId": ["BTC-USD"]})


def bad_config(world: World) -> None:
    world.patch(config={"url": "wss://other.example", "productId": []})


def stream(world: World) -> None:
    world.patch(selectedStream="matches")


def unknown_stream(world: World) -> None:
    world.patch(selectedStream="nonsense")


def dataset(world: World) -> None:
    world.datasets = {"your-dataset": {"spec": {"url": "postgresql://db/other"}, "status": {}}}


def no_dataset(world: World) -> None:
    world.datasets = {}


def restart(world: World) -> None:
    world.patch(restartedAt="now")


def deleted(world: World) -> None:
    world.is_deleting = True


CHANGES: dict[str, Change] = {
    change.__name__: change
    for change in (
        running,
        stopped,
        absent,
        config,
        bad_config,
        stream,
        unknown_stream,
        dataset,
        no_dataset,
        restart,
        deleted,
    )
}
# fmt: off
GRID: dict[str, dict[str, str]] = {
    #             running      stopped      absent      config      bad_config  stream      unknown_stream  dataset    no_dataset    restart
    "new":       {"running": "pending", "stopped": "stopped", "absent": "pending", "config": "pending", "bad_config": "invalid", "stream": "pending", "unknown_stream": "pending", "dataset": "pending", "no_dataset": "pending", "restart": "pending"},
    "pending":   {"running": "pending", "stopped": "stopped", "absent": "pending", "config": "pending", "bad_config": "invalid", "stream": "pending", "unknown_stream": "pending", "dataset": "pending", "no_dataset": "pending", "restart": "pending"},
    "refused":   {"running": "refused", "stopped": "stopped", "absent": "refused", "config": "pending", "bad_config": "invalid", "stream": "refused", "unknown_stream": "refused", "dataset": "refused", "no_dataset": "refused", "restart": "refused"},
    "received":  {"running": "start", "stopped": "stopped", "absent": "received", "config": "pending", "bad_config": "invalid", "stream": "ready", "unknown_stream": "unknown", "dataset": "received", "no_dataset": "received", "restart": "received"},
    "ready":     {"running": "start", "stopped": "stopped", "absent": "ready", "config": "pending", "bad_config": "invalid", "stream": "ready", "unknown_stream": "unknown", "dataset": "ready", "no_dataset": "homeless", "restart": "ready"},
    "starting":  {"running": "starting", "stopped": "stop", "absent": "stop", "config": "held", "bad_config": "stuck", "stream": "replace", "unknown_stream": "stuck", "dataset": "replace", "no_dataset": "starting", "restart": "replace"},
    "running":   {"running": "running", "stopped": "stop", "absent": "stop", "config": "held", "bad_config": "stuck", "stream": "replace", "unknown_stream": "stuck", "dataset": "replace", "no_dataset": "running", "restart": "replace"},
    "stopping":  {"running": "leaving", "stopped": "stopping", "absent": "stopping", "config": "stopping", "bad_config": "stopping", "stream": "stopping", "unknown_stream": "stopping", "dataset": "stopping", "no_dataset": "stopping", "restart": "stopping"},
    "stopped":   {"running": "start", "stopped": "stopped", "absent": "ready", "config": "stopped", "bad_config": "stopped", "stream": "stopped", "unknown_stream": "stopped", "dataset": "stopped", "no_dataset": "stopped", "restart": "stopped"},
    "completed": {"running": "completed", "stopped": "stopped", "absent": "ready", "config": "pending", "bad_config": "invalid", "stream": "start", "unknown_stream": "unknown", "dataset": "start", "no_dataset": "completed", "restart": "start"},
    "backoff":   {"running": "backoff", "stopped": "stopped", "absent": "ready", "config": "pending", "bad_config": "invalid", "stream": "start", "unknown_stream": "unknown", "dataset": "start", "no_dataset": "homeless", "restart": "start"},
    "failing":   {"running": "failing", "stopped": "stopped", "absent": "ready", "config": "pending", "bad_config": "invalid", "stream": "start", "unknown_stream": "unknown", "dataset": "start", "no_dataset": "homeless", "restart": "start"},
    "mend":      {"running": "mend", "stopped": "stopped", "absent": "ready", "config": "pending", "bad_config": "invalid", "stream": "start", "unknown_stream": "unknown", "dataset": "start", "no_dataset": "homeless", "restart": "start"},
}
# fmt: on
STATES = {
    "new": "",
    "refused": "errored",
    "starting": "running",
    "stopping": "running",
    "completed": "stopped",
    "backoff": "running",
    "failing": "errored",
    "mend": "errored",
}


@pytest.mark.parametrize("state", GRID)
def test_states_are_what_they_are_called(state: str) -> None:
    assert make(state).state == STATES.get(state, state)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("state", GRID)
def test_each_request_in_each_state_finds_its_row(state: str, change: str) -> None:
    world = make(state)
    CHANGES[change](world)
    assert world.look().row.name == ("deleted" if change == "deleted" else GRID[state][change])


@pytest.mark.parametrize("state", GRID)
def test_stop_works_from_every_state(state: str) -> None:
    world = make(state)
    world.patch(status="stopped")
    world.settle()
    world.leave()
    world.settle()
    assert world.state == "stopped"
    assert "R" in world.flags
    assert not world.live()
    assert world.status["state"]["execId"] == ""


@pytest.mark.parametrize("state", GRID)
def test_restart_works_from_every_state(state: str) -> None:
    world = make(state)
    before = world.status.get("run", 0)
    world.patch(status="running", selectedStream="ticker", restartedAt="again")
    for _ in range(4):
        world.settle()
        world.leave()
        world.pass_time(700)
        world.settle()
        world.end(0, role="discovery")
        world.settle()
    world.ready()
    world.settle()
    assert world.state == "running"
    assert world.flags == "R"
    assert len(world.live()) == 1
    assert world.status["run"] > before


@pytest.mark.parametrize("state", GRID)
def test_a_look_without_a_change_writes_and_does_nothing(state: str) -> None:
    world = make(state)
    world.settle()
    for _ in range(3):
        decision = world.look()
        assert decision.status is None
        assert decision.actions == ()


@pytest.mark.parametrize("state", [state for state in GRID if state != "new"])
def test_a_deleted_connector_is_left_alone(state: str) -> None:
    world = make(state)
    world.is_deleting = True
    decision = world.look()
    assert (decision.actions, decision.status, decision.wake) == ((), None, None)


@pytest.mark.parametrize("state", GRID)
def test_each_status_has_every_condition_with_the_generation(state: str) -> None:
    world = make(state)
    if state == "new":
        world.settle()
    kinds = [c["type"] for c in world.status["conditions"]]
    assert kinds == [
        "Ready",
        "Reconciling",
        "Stalled",
        "ConfigValid",
        "Discovered",
        "DatasetResolved",
        "RunnerHealthy",
        "RunnerUpToDate",
        "StreamsHealthy",
    ]
    for condition in world.status["conditions"]:
        assert condition["observedGeneration"] == world.generation
        assert condition["reason"].isalnum()
        assert condition["message"].endswith("."), condition


def test_a_wiped_status_disturbs_nobody() -> None:
    world = make("running")
    job, run = world.live()[0], world.status["run"]
    world.status = {}
    world.discover()
    assert world.live() == [job]
    assert world.status["run"] == run
    assert world.state == "running"
    assert world.status["state"]["execId"].endswith(job.name)


def test_garbage_in_the_status_counts_as_absent() -> None:
    world = make("running")
    job = world.live()[0]
    world.status = {**world.status, "run": "seven", "conditions": 3, "retry": []}
    world.settle()
    assert world.live() == [job]
    assert world.status["run"] == 1


def test_running_is_remembered_until_it_can() -> None:
    world = World(selectedStream="ticker", status="running")
    world.datasets = {}
    world.settle()
    assert world.state == "pending"
    world.discover()
    assert (world.state, world.flags) == ("received", "P")
    assert world.condition("DatasetResolved")["reason"] == "DatasetNotFound"
    world.datasets = {"your-dataset": DATASET}
    world.settle()
    assert len(world.live()) == 1


def test_an_unknown_stream_lists_those_that_are_there() -> None:
    world = World(selectedStream="nonsense")
    world.discover()
    assert (world.state, world.flags) == ("errored", "S")
    assert "ticker, matches" in world.condition("Ready")["message"]


def test_no_write_without_a_change_even_when_time_passes() -> None:
    world = make("running")
    writes = world.writes
    for _ in range(50):
        world.pass_time(3600)
        world.step()
    assert world.writes == writes


def test_defaults_written_out_are_no_change() -> None:
    world = make("running")
    spec: dict[str, Any] = {**world.spec["config"], "restUrl": "https://api.exchange.coinbase.com"}
    world.patch(config=spec, wait=True, runner={}, configFrom=[])
    assert world.look().row.name == "running"
