"""Who gets a turn when the runner's image has changed, and what image and defaults are told apart by."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_operator.controllers.image_rollout import ImageRollout
from connector_operator.decide.image import image_version
from connector_operator.decide.image_rollout import Name, decide_image_rollout
from connector_operator.engine.fair_queue import Key
from connector_operator.engine.queue import WorkQueue
from connector_operator.metrics import REGISTRY
from connector_operator.resources.reasons import Reason
from connector_operator.workloads.jobs import RunnerSettings
from connector_operator.workloads.layers import Layer, follows_image
from connector_runner.schemas.kinds.runner import RunnerSpec
from tests.unit.operator.test_image_rollout import BAD, CONDITION, A, B

REASONS = [Reason.UP_TO_DATE, Reason.AWAITING_TURN, Reason.UPDATING, Reason.UPDATE_FAILED, Reason.ON_RESTART, ""]
NAMES = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y", "z"]))


def test_image_and_defaults_have_hashes_of_their_own() -> None:
    one = RunnerSettings(image=A)
    assert one.defaults() == RunnerSettings(image=B).defaults()
    assert one.form() != RunnerSettings(image=B).form()
    assert one.defaults() != RunnerSettings(image=A, grace_seconds=5).defaults()
    rolling = RunnerSettings(image=A, layers=lambda: ({"updatePolicy": "OnRestart"},))
    assert rolling.form() == RunnerSettings(image=A, layers=lambda: ({},)).form()


def test_the_policy_is_of_the_uppermost_layer_that_has_one() -> None:
    installation: tuple[Layer, ...] = ({"updatePolicy": "OnRestart"}, {"env": []})
    assert follows_image(RunnerSpec(), ())
    assert not follows_image(RunnerSpec(), installation)
    assert follows_image(RunnerSpec(update_policy="Rolling"), installation)
    assert not follows_image(RunnerSpec(update_policy="OnRestart"), ())


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("connector-runner:1.2", "1.2"),
        ("registry.example:5000/team/connector-runner:1.2", "1.2"),
        ("registry.example:5000/connector-runner", "latest"),
        ("connector-runner:1.2@sha256:0123456789abcdef", "1.2"),
        ("connector-runner@sha256:0123456789abcdef0", "sha256:0123456789ab"),
        ("", ""),
    ],
)
def test_the_version_in_an_images_name(image: str, version: str) -> None:
    assert image_version(image) == version


@given(st.dictionaries(NAMES, st.sampled_from(REASONS)), st.integers(1, 4))
def test_turns_never_exceed_the_pace_and_none_is_given_after_a_failure(standings: dict[Name, str], pace: int) -> None:
    turns = decide_image_rollout(standings, pace)
    new = sorted(n for n in turns.turns if standings[n] == Reason.AWAITING_TURN)
    going = [n for n, r in standings.items() if r == Reason.UPDATING]
    failed = [n for n, r in standings.items() if r == Reason.UPDATE_FAILED]
    asks = sorted(n for n, r in standings.items() if r == Reason.AWAITING_TURN)
    assert new == asks[: len(new)], "in order"
    assert len(new) == (0 if failed else min(len(asks), max(0, pace - len(going))))
    assert turns.turns.issuperset((*going, *failed)), "those that have begun go on"
    for name in asks:
        said = turns.blocker_for(name)
        assert bool(said) == bool(failed)
        assert not failed or (said == "a connector of another namespace") == (name[0] not in {f[0] for f in failed})


def test_an_operator_that_is_restarted_where_it_has_stopped_knows_it_before_its_first_visit() -> None:
    def raw(reason: str) -> dict[str, Any]:
        return {"status": {"conditions": [{"type": CONDITION, "reason": reason}]}}

    queue = WorkQueue()
    rollout = ImageRollout(queue, BAD, 2)
    keys = [Key("connector", "default", name) for name in ("x", "y", "z")]
    rollout.load(zip(keys, map(raw, ("AwaitingTurn", "UpdateFailed", "UpToDate")), strict=True))
    assert rollout.turns().blocker_for(("default", "x")) == "connector y"
    assert not rollout.turns().has_turn(("default", "x"))
    states = {
        state: REGISTRY.get_sample_value("connector_operator_runner_updates", {"state": state})
        for state in ("waiting", "failed", "current")
    }
    assert states == {"waiting": 1, "failed": 1, "current": 1}


@pytest.mark.parametrize("reason", ["AwaitingTurn", "Updating", "UpdateFailed"])
async def test_one_that_is_being_deleted_and_can_not_go_stops_nothing(reason: str) -> None:
    """Its status says the same until it is gone: a finalizer waits, or a node is lost."""
    rollout = ImageRollout(WorkQueue(), BAD, 1)
    stuck, waiting = Key("connector", "default", "a-stuck"), Key("connector", "default", "waiting")
    for key, said in ((stuck, reason), (waiting, "AwaitingTurn")):
        rollout.note(key, {"metadata": {}, "status": {"conditions": [{"type": CONDITION, "reason": said}]}})
    rollout.visit()
    assert not rollout.turns().has_turn(("default", "waiting"))
    leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    rollout.note(stuck, {"metadata": leaving, "status": {"conditions": [{"type": CONDITION, "reason": reason}]}})
    rollout.visit()
    assert rollout.turns().has_turn(("default", "waiting"))


async def test_who_gets_the_turn_is_visited_and_who_is_gone_stops_nothing() -> None:
    queue = WorkQueue()
    rollout = ImageRollout(queue, BAD, 1)
    failed, waiting = Key("connector", "default", "failed"), Key("connector", "default", "waiting")
    for key, reason in ((failed, "UpdateFailed"), (waiting, "AwaitingTurn")):
        rollout.note(key, {"status": {"conditions": [{"type": CONDITION, "reason": reason}]}})
    rollout.visit()
    assert {await queue.get(), await queue.get()} == {failed, waiting}, "one has its turn, the other is told"
    assert not rollout.turns().has_turn(("default", "waiting"))
    rollout.forget(failed)
    rollout.visit()
    queue.done(waiting)
    assert await queue.get() == waiting
    assert rollout.turns().has_turn(("default", "waiting"))
