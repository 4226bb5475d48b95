"""Whatever people and the cluster do, in whatever order, with crashes in between: what must always hold, holds."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_operator.decide.actions import CreateRunner, SendOrders
from connector_operator.resources import names
from connector_runner.schemas.catalogue import SelectionSummary
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.orders import OrdersAnswer
from tests.unit.operator.world import CATALOGUE, DATASET, World, replace

PATCHES = st.sampled_from(
    [
        {"status": "running"},
        {"status": "stopped"},
        {"status": None},
        {"selectedStream": "ticker"},
        {"selectedStream": "matches"},
        {"selectedStream": "nonsense"},
        {"selectedStream": None, "streams": {"include": ["*"]}},
        {"selectedStream": None, "streams": {"include": ["nonsense.*"]}},
        {"selectedStream": None, "streams": {"include": ["never.asked"]}},
        {"selectedStream": None, "streams": {"include": ["*"], "exclude": ["a.*"]}},
        {"selectedStream": None, "streams": {"include": ["*"], "added": "ignore"}},
        {"streams": None},
        {"streams": {"include": ["a."]}},
        {"restartedAt": "1"},
        {"restartedAt": "2"},
        {"rediscoverAt": "1"},
        {"config": {"url": "wss://other.example", "productId": ["BTC-USD"]}},
        {"config": {"url": "wss://feed.example", "productId": ["BTC-USD"]}},
        {"config": {"url": "wss://feed.example", "productId": []}},
    ]
)
EVENTS = st.one_of(
    st.tuples(st.just("patch"), PATCHES),
    st.tuples(st.just("discovered"), st.sampled_from([0, 1, 78])),
    st.tuples(st.just("exit"), st.sampled_from([0, 1, 78, 143])),
    st.tuples(
        st.sampled_from(
            ["ready", "leave", "delete-job", "orphan", "sweep", "node-lost", "wipe", "no-dataset", "dataset", "crash"]
        ),
        st.none(),
    ),
    st.tuples(st.just("time"), st.sampled_from([1, 30, 700])),
    st.tuples(st.just("answer"), st.sampled_from(["", "SchemaConflict"])),
)


ANSWERED = replace(
    CATALOGUE,
    selections=(
        SelectionSummary(StreamsSpec(("*",)).key, 2),
        SelectionSummary(StreamsSpec(("*",), ("a.*",)).key, 1),
        SelectionSummary(StreamsSpec(("nonsense.*",)).key, 0, {"nonsense.*": ()}),
    ),
)


def happen(world: World, event: tuple[str, object]) -> None:
    kind, value = event
    match kind, value:
        case "patch", dict():
            world.patch(**value)
        case "discovered", int():
            world.end(value, role=names.ROLE_DISCOVERY)
        case "exit", int():
            world.end(value)
        case "time", int():
            world.pass_time(value)
        case "answer", str():
            world.answer = OrdersAnswer(world.sent[-1].streams.whole_key if world.sent else "x", value, value)
        case "ready", _:
            world.ready()
        case "leave", _:
            world.leave()
        case "delete-job", _:
            for job in world.live():
                world.vanish(job.name)
                for pod in [p for p in world.pods.values() if p.job == job.name]:
                    # The garbage collector's work; a deletionTimestamp that is set never moves to a later time.
                    world.pods[pod.name] = replace(pod, deleting=pod.deleting or world.now)
        case "orphan", _:
            for job in world.live():
                world.orphan(job.name)
        case "sweep", _:
            world.sweep()
        case "node-lost", _:
            world.pods = {n: replace(p, deleting=p.deleting or world.now) for n, p in world.pods.items()}
        case "wipe", _:
            world.status = {}
        case "no-dataset", _:
            world.datasets = {}
        case "dataset", _:
            world.datasets = {"your-dataset": DATASET}
        case "crash", _:
            world.step(crash_after_status=True)


def begin(is_running: bool) -> World:
    """A new connector, or one that runs: else most stories would never come so far."""
    world = World(**({"selectedStream": "ticker", "status": "running"} if is_running else {}))
    world.catalogue = ANSWERED
    if is_running:
        world.discover()
        world.ready()
        world.settle()
    return world


def check(world: World, runs: list[int]) -> None:
    """At most one execution whose process may run (a lost node's apart, which the dataset's fence keeps harmless);
    run numbers only grow, but for a Job that was never made.
    """
    late = world.policy.node_lost_after
    pods = [p for p in world.pods.values() if p.deleting is None or world.now <= p.deleting + late]
    alive = {p.job for p in pods if p.role == names.ROLE_RUNNER and p.is_alive}
    assert len(alive) <= 1
    for decision in world.history[-1:]:
        for act in decision.actions:
            if isinstance(act, CreateRunner):
                assert not runs or act.run >= runs[-1]
                assert decision.status is None or decision.status["run"] == act.run
                runs.append(act.run)
    assert world.status.get("run", 0) >= 0
    for act in [act for decision in world.history[-1:] for act in decision.actions if isinstance(act, SendOrders)]:
        assert [job.name for job in world.live()] == [act.job], "only who lives is sent them"
        assert decision.facts.seen.spec is not None
        assert act.streams == decision.facts.seen.spec.streams, "what the spec asks for at that moment"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.booleans(), st.lists(st.tuples(EVENTS, st.integers(0, 2)), max_size=30))
def test_never_two_executions_and_runs_only_grow(is_running: bool, story: list[tuple[tuple[str, object], int]]) -> None:
    world, runs = begin(is_running), list[int]()
    for event, steps in story:
        happen(world, event)
        for _ in range(steps):
            world.step()
            check(world, runs)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.booleans(), st.lists(st.tuples(EVENTS, st.integers(0, 2)), max_size=20))
def test_stop_always_reaches_stopped_and_then_nothing_is_written(
    is_running: bool, story: list[tuple[tuple[str, object], int]]
) -> None:
    world = begin(is_running)
    for event, steps in story:
        happen(world, event)
        for _ in range(steps):
            world.step()
    world.patch(status="stopped")
    for _ in range(4):
        world.settle()
        world.leave()
        world.sweep()
        world.end(0, role=names.ROLE_DISCOVERY)
        world.end(143)
    world.settle()
    assert world.state == "stopped"
    assert not world.live()
    again = world.look()
    assert (again.status, again.actions) == (None, ())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.booleans(), st.booleans(), st.lists(st.tuples(EVENTS, st.integers(0, 2)), max_size=20))
def test_run_always_reaches_running_when_nothing_speaks_against_it(
    is_running: bool, is_many: bool, story: list[tuple[tuple[str, object], int]]
) -> None:
    world = begin(is_running)
    for event, steps in story:
        happen(world, event)
        for _ in range(steps):
            world.step()
    world.datasets = {"your-dataset": DATASET}
    world.catalogue = ANSWERED
    config = {"url": "wss://third.example", "productId": ["BTC-USD"]}
    one = None if is_many else "ticker"
    many = {"include": ["*"]} if is_many else None
    world.patch(status="running", selectedStream=one, streams=many, config=config, restartedAt="at last")
    for _ in range(6):
        world.settle()
        world.leave()
        world.sweep()
        world.end(0, role=names.ROLE_DISCOVERY)
        world.pass_time(700)
    world.ready()
    world.settle()
    assert (world.state, world.flags) == ("running", "R")
    assert len(world.live()) == 1


def test_a_reserved_run_is_used_and_not_skipped_after_a_crash() -> None:
    world = World(selectedStream="ticker", status="running")
    world.discover()
    job = world.live()[0]
    world.jobs.pop(job.name)  # as if the operator had died before it made the Job
    world.pods.clear()
    decision = world.step()
    assert [act.run for act in decision.actions if isinstance(act, CreateRunner)] == [1]
    assert world.status["run"] == 1


def test_a_job_that_was_seen_to_go_is_not_made_again() -> None:
    world = World(selectedStream="ticker", status="running")
    world.discover()
    first = world.live()[0].name
    world.vanish(first)
    world.pods.clear()
    world.settle()
    assert world.live()[0].name != first
    assert world.status["run"] == 2


def test_a_second_live_job_is_told_to_leave() -> None:
    world = World(selectedStream="ticker", status="running")
    world.discover()
    world.ready()
    job = world.live()[0]
    world.jobs["copy"] = replace(job, name="copy", uid="copy", run=0)
    world.step()
    assert world.jobs["copy"].deleting is not None
    assert world.jobs[job.name].deleting is None
