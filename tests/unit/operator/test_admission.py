"""What admission, queues and sidecars do to Jobs and pods: asked before anything is taken away, and never in a loop."""

from datetime import timedelta

import pytest

from connector_operator.cluster.client import ApiError
from connector_operator.cluster.dry_run import is_unknown
from connector_operator.decide.actions import DeleteJob
from connector_operator.decide.observation import DryRun
from connector_operator.resources import names
from connector_runner.schemas.catalogue import CatalogueSummary, StreamSummary
from tests.unit.operator.test_states import make
from tests.unit.operator.world import World, replace


def refuse(world: World) -> None:
    world.dry_run = DryRun("The API server would refuse the Job: no.", world.now + timedelta(seconds=30))


def test_a_change_is_tried_once_before_the_old_execution_is_told_to_leave() -> None:
    world = make("running")
    world.patch(restartedAt="now")
    decision = world.step()
    assert (world.dry_runs, decision.row.name) == (1, "replace")
    assert [type(act) for act in decision.actions] == [DeleteJob]


def test_a_refused_change_takes_nothing_away_and_is_asked_again() -> None:
    world = make("running")
    refuse(world)
    world.patch(restartedAt="now")
    decision = world.settle()
    assert (decision.row.name, decision.actions, world.flags) == ("barred", (), "S")
    assert decision.wake == world.dry_run.again
    assert world.condition("RunnerHealthy")["status"] == "True"
    world.patch(status="stopped")
    assert world.step().row.name == "stop"


def test_events_do_not_change_with_the_clock() -> None:
    world = make("running")
    refuse(world)
    world.patch(restartedAt="now")
    told = world.step().announcement
    assert told is not None
    assert "Tried again" in world.condition("Ready")["message"]
    assert "Tried again" not in told.message


@pytest.mark.parametrize("state", ["backoff", "failing", "mend"])
def test_no_event_tells_when_the_next_try_is(state: str) -> None:
    world = make("running")
    for _ in range(5 if state == "failing" else 1):
        world.end(78 if state == "mend" else 1, '{"reason":"Broken","message":"It broke."}')
        world.settle()
        world.pass_time(700)
        if state == "failing" and len(world.live()) == 0:
            world.settle()
    told = [d.announcement.message for d in world.history if d.announcement is not None]
    assert any("It broke" in message for message in told)
    assert not [message for message in told if "ried again at" in message]


def test_a_refused_job_needs_a_person() -> None:
    world = make("ready")
    world.refusal = "The API server refuses the Job: exceeded quota."
    world.patch(status="running")
    world.step(crash_after_status=True)
    assert world.flags == "S"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"phase": "Pending", "unschedulable": "0/1 nodes"}, "Unschedulable"),
        ({"phase": "Pending", "container_reason": "ImagePullBackOff", "waiting": "no"}, "ImageNotPulled"),
    ],
)
@pytest.mark.parametrize("state", ["starting", "pending"])
def test_a_pod_that_cannot_start_needs_a_person(state: str, change: dict[str, str], reason: str) -> None:
    world = make(state)
    world.pods = {name: replace(pod, **change) for name, pod in world.pods.items()}
    world.pass_time(31)
    world.settle()
    assert (world.condition("Ready")["reason"], world.flags) == (reason, "S")


def suspend(world: World) -> None:
    world.jobs = {name: replace(job, is_suspended=True, ready=0) for name, job in world.jobs.items()}


def test_a_job_that_is_suspended_before_it_ran_waits() -> None:
    world = make("starting")
    suspend(world)
    world.pods.clear()
    decision = world.settle()
    assert (decision.row.name, decision.actions, decision.looks) == ("admission", (), frozenset())
    assert (world.condition("Ready")["reason"], world.flags) == ("AwaitingAdmission", "P")
    world.pass_time(86400)
    assert (world.settle().row.name, world.status["run"]) == ("admission", 1)


def test_a_suspended_discovery_waits_for_ever_and_holds_no_deadline() -> None:
    world = make("pending")
    suspend(world)
    world.pods.clear()
    world.pass_time(86400)
    world.settle()
    assert world.condition("Ready")["reason"] == "AwaitingAdmission"
    assert len(world.live(names.ROLE_DISCOVERY)) == 1


def test_a_job_that_is_suspended_after_it_ran_makes_way_with_growing_delays() -> None:
    world = make("running")
    for _ in range(60):
        if world.live():
            world.ready()
            world.settle()
            suspend(world)
        world.settle()
        world.leave()
        world.settle()
        world.pass_time(1)
    assert world.status["lastExecution"]["reason"] == "JobSuspended"
    assert 2 <= world.status["run"] < 10


def test_jobs_that_are_deleted_at_once_make_no_loop() -> None:
    world = make("running")
    starts = 0
    for _ in range(60):
        for job in world.live():
            world.vanish(job.name)
            world.pods.clear()
            starts += 1
        world.settle()
        world.pass_time(1)
    assert starts < 10


def test_what_a_job_was_made_from_is_not_read_back() -> None:
    world = make("starting")
    world.jobs = {n: replace(j, spec_hash="", dataset_hash="other") for n, j in world.jobs.items()}
    assert world.settle().row.name == "starting"
    world.status.pop("ordered")  # an earlier operator's: as the Job says
    assert world.look().row.name == "replace"


def test_an_altered_job_makes_way_after_a_delay() -> None:
    world = make("starting")
    world.jobs = {n: replace(j, is_altered=True) for n, j in world.jobs.items()}
    assert world.settle().row.name == "leaving"
    world.leave()
    assert world.settle().row.name == "backoff"


@pytest.mark.parametrize(("code", "row"), [(0, "completed"), (1, "backoff"), (78, "mend"), (137, "backoff")])
def test_a_runner_that_ends_beside_a_sidecar_is_noticed(code: int, row: str) -> None:
    world = make("running")
    world.pass_time(6)
    world.jobs = {n: replace(j, ready=0) for n, j in world.jobs.items()}
    world.pods = {n: replace(p, exit_code=code, ended=world.now, others=("mesh",)) for n, p in world.pods.items()}
    world.settle()
    assert all(job.deleting is not None for job in world.jobs.values())
    world.leave()
    assert world.settle().row.name == row
    assert world.status["lastExecution"]["exitCode"] == code
    assert world.status["lastExecution"]["finishedAt"]


@pytest.mark.parametrize(("code", "state"), [(0, "received"), (1, "pending"), (78, "errored")])
def test_a_discovery_that_ends_beside_a_sidecar_is_read_and_taken_away(code: int, state: str) -> None:
    world = make("pending")
    message = '{"reason":"Broken","message":"It broke."}'
    world.pods = {n: replace(p, exit_code=code, message=message, others=("mesh",)) for n, p in world.pods.items()}
    world.pass_time(6)
    world.settle()
    assert all(job.deleting is not None for job in world.jobs.values())
    assert world.state == state


def test_a_sidecar_that_has_ended_is_told() -> None:
    world = make("starting")
    world.pods = {n: replace(p, is_up=True, ended_others=("mesh",)) for n, p in world.pods.items()}
    world.pass_time(6)
    world.settle()
    assert (world.condition("Ready")["reason"], world.flags) == ("SidecarEnded", "S")


@pytest.mark.parametrize("state", ["starting", "pending"])
@pytest.mark.parametrize("what", ["installation", "runner"])
def test_what_never_started_is_made_anew_when_its_form_changes(state: str, what: str) -> None:
    world = make(state)
    role = names.ROLE_RUNNER if state == "starting" else names.ROLE_DISCOVERY
    old = world.live(role)[0].name
    world.pods = {n: replace(p, phase="Pending", started=None, unschedulable="no") for n, p in world.pods.items()}
    world.pass_time(6)
    world.settle()
    if what == "installation":
        world.policy = replace(world.policy, installation="changed")
    else:
        world.patch(runner={"nodeSelector": {"a": "b"}})
    world.pass_time(1)
    for _ in range(3):
        world.settle()
        world.leave()
    assert old not in world.jobs
    assert len(world.live(role)) == 1


@pytest.mark.parametrize("state", ["starting", "running", "pending"])
def test_what_has_started_is_left_alone_when_the_installation_changes(state: str) -> None:
    world = make(state)
    jobs = dict(world.jobs)
    world.policy = replace(world.policy, installation="changed")
    world.pass_time(6)
    world.settle()
    assert world.jobs == jobs


def test_a_failed_discovery_is_tried_at_once_when_the_runners_pod_changes() -> None:
    world = make("pending")
    world.end(1, '{"reason":"Broken","message":"It broke."}', role=names.ROLE_DISCOVERY)
    world.settle()
    assert not world.live(names.ROLE_DISCOVERY)
    world.patch(runner={"nodeSelector": {"a": "b"}})
    world.settle()
    assert len(world.live(names.ROLE_DISCOVERY)) == 1


def test_a_catalogue_with_one_id_twice_is_taken_once_and_told() -> None:
    world = make("pending")
    world.catalogue = CatalogueSummary((StreamSummary("a"), StreamSummary("b", columns=2), StreamSummary("a")), 3)
    world.discover()
    assert [stream["id"] for stream in world.status["streams"]] == ["a", "b"]
    assert world.status["streamsTotal"] == 2
    assert "'a' (2 times)" in world.condition("Discovered")["message"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('admission webhook "a.b" does not support dry run', True),
        ("jobs is forbidden: exceeded quota: q, requested: a=1, used: a=1, limited: a=1", True),
        ("jobs is forbidden: exceeded quota: q, requested: a=1, used: a=1, limited: a=0", False),
        ("jobs is forbidden: exceeded quota: q, requested: a=1,b=1, used: a=1,b=9, limited: a=1,b=8", False),
        ("denied by a policy", False),
        ('failed calling webhook "a.b": connection refused', False),
    ],
)
def test_which_refused_dry_runs_say_nothing(message: str, expected: bool) -> None:
    assert is_unknown(ApiError(403, "Forbidden", message)) is expected
