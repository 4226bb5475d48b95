"""What a runner reports of itself, in the status: figures, words, the condition StreamsHealthy, events."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from connector_operator.crds.files import build_crd_files
from connector_operator.decide.observation import Heard, Policy
from connector_operator.decide.progress import build_run_progress, describe, say_time
from connector_runner.schemas.kinds.connector_status import RunProgress
from connector_runner.schemas.progress import (
    FailedStream,
    Progress,
    StreamLag,
    within_limits,
)
from tests.kit.progress import RECORDS
from tests.unit.operator.world import World

BROKEN = FailedStream("shop.t7", "SchemaConflict", "its table lost a column", "2026-01-01T00:00:00Z")
WELL = Progress(selected=60, following=60, rows=5, lag_seconds=3)
ILL = Progress(selected=60, following=58, copying=1, failed=1, done=43, total=100, unit="rows", failures=(BROKEN,))
MOST_BYTES_OF_A_CRD = 200_000


def run_one(**spec: Any) -> World:
    """A connector whose first execution is ready."""
    world = World(selectedStream="ticker", status="running", **spec)
    world.discover()
    world.ready()
    world.settle()
    assert world.state == "running"
    return world


def healthy(world: World) -> tuple[str, str]:
    condition = world.condition("StreamsHealthy")
    return condition["status"], condition["reason"]


def test_progress_becomes_status_and_goes_with_its_execution() -> None:
    world = run_one()
    assert healthy(world) == ("Unknown", "ProgressUnknown")
    assert "progress" not in world.status
    writes = world.writes
    world.heard = Heard(1, WELL)
    assert world.step().announcement is None
    assert (world.writes, healthy(world), world.flags) == (writes + 1, ("True", "NoStreamFailed"), "R")
    assert world.status["progress"] | {} == {
        "selected": 60, "following": 60, "rows": 5, "lagSeconds": 3, "run": 1, "text": "60 following", "lag": "3s",
    }  # fmt: skip
    world.step()
    assert world.writes == writes + 1, "nothing has changed"
    world.heard = None  # the operator was restarted
    world.settle()
    assert world.writes == writes + 1
    world.patch(status="stopped")
    world.settle()
    world.leave()
    world.settle()
    assert (world.state, healthy(world)) == ("stopped", ("Unknown", "NoExecution"))
    assert "progress" not in world.status


@pytest.mark.parametrize("heard", [None, WELL, ILL])
def test_a_change_and_a_stop_cost_no_write_for_it(heard: Progress | None) -> None:
    world = run_one()
    for change, writes in (({"restartedAt": "now"}, 3), ({"status": "stopped"}, 2), ({"status": "running"}, 2)):
        if world.live():
            world.heard = None if heard is None else Heard(world.live()[-1].run, heard)
        world.settle()
        before = world.writes
        world.patch(**change)
        for _ in range(3):
            world.settle()
            world.leave()
        world.settle()
        world.ready()
        world.settle()
        assert world.writes - before == writes, change


def test_a_failed_stream_is_named_the_connector_stays_ready_and_people_are_told_once() -> None:
    world = run_one()
    world.heard = Heard(1, WELL)
    world.settle()
    world.heard = Heard(1, ILL)
    news = world.step().announcement
    assert news is not None
    assert (news.reason, news.is_warning) == ("StreamsFailed", True)
    assert (
        news.message
        == "1 of 60 streams has failed; the others continue: shop.t7 (SchemaConflict: its table lost a column)."
    )
    assert (world.flags, world.condition("Ready")["reason"], healthy(world)) == (
        "R",
        "Running",
        ("False", "StreamsFailed"),
    )
    assert world.status["progress"]["text"] == "58 following, 1 copying 43%, 1 failed"
    assert world.status["progress"]["failures"] == [json.loads(msgspec.json.encode(BROKEN))]
    world.heard = Heard(1, msgspec.structs.replace(ILL, rows=9))
    assert world.step().announcement is None
    world.heard = Heard(1, WELL)
    news = world.step().announcement
    assert news is not None
    assert (news.reason, news.is_warning, healthy(world)) == ("NoStreamFailed", False, ("True", "NoStreamFailed"))
    assert "failures" not in world.status["progress"]


def test_what_an_earlier_execution_reported_says_nothing_of_the_next() -> None:
    world = run_one()
    world.heard = Heard(1, ILL)
    world.settle()
    world.patch(restartedAt="now")
    world.settle()
    world.leave()
    world.settle()
    assert world.status["run"] == 2
    assert "progress" not in world.status
    world.ready()
    world.settle()
    assert healthy(world) == ("Unknown", "ProgressUnknown")


def test_a_log_that_can_not_be_read_is_told_until_it_can() -> None:
    world = run_one()
    world.heard = Heard(1, WELL)
    world.settle()
    world.heard = Heard(1, problem="The runner's log can't be read: 403 Forbidden.")
    world.settle()
    assert healthy(world) == ("Unknown", "ProgressUnknown")
    assert world.condition("StreamsHealthy")["message"].endswith("403 Forbidden.")
    assert world.status["progress"].keys() == {"run", "unread"}
    writes, world.heard = world.writes, None  # the operator was restarted
    world.settle()
    assert world.writes == writes
    world.heard = Heard(1, WELL)
    world.settle()
    assert healthy(world) == ("True", "NoStreamFailed")


def test_off_leaves_nothing_behind() -> None:
    world = run_one()
    world.heard = Heard(1, WELL)
    world.settle()
    world.policy, world.heard = Policy(asks_progress=False), None
    world.settle()
    assert "progress" not in world.status
    assert "--progress-seconds is 0" in world.condition("StreamsHealthy")["message"]


@given(RECORDS)
def test_whatever_a_runner_reports_is_one_write_and_a_status_of_bounded_size(record: Progress) -> None:
    world = run_one()
    writes = world.writes
    world.heard = Heard(1, within_limits(record))
    world.settle()
    assert world.writes <= writes + 1
    assert len(json.dumps(world.status.get("progress", {}), ensure_ascii=False)) < 20_000
    assert len(world.condition("StreamsHealthy")["message"]) < 4_000


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(selected=1, following=1), "following"),
        (Progress(selected=1, copying=1, done=5, unit="rows"), "copying 5 rows"),
        (Progress(selected=1, copying=1, done=999, total=1000, unit="rows", seconds_left=130), "copying 99% (2m left)"),
        (Progress(selected=3, copying=3), "3 copying"),
        (Progress(selected=3, following=2, failed=1, problem="the dataset is away"), "2 following, 1 failed; the dataset is away"),
        (Progress(selected=1, following=1, problem="x" * 300), f"following; {'x' * 108}…"),
        (Progress(), ""),
    ],
)  # fmt: skip
def test_words(progress: Progress, text: str) -> None:
    assert describe(progress) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (200_000, "2d")])
def test_times(seconds: int, text: str) -> None:
    assert say_time(seconds) == text


def test_figures_are_taken_over() -> None:
    progress = msgspec.structs.replace(ILL, slowest=(StreamLag("shop.t1", 9),))
    found = build_run_progress(4, progress)
    assert isinstance(found, RunProgress)
    assert (found.run, found.slowest, found.failures, found.total) == (4, progress.slowest, (BROKEN,), 100)


def test_definitions_stay_small_enough_for_a_client_side_apply() -> None:
    assert all(len(text.encode()) < MOST_BYTES_OF_A_CRD for text in build_crd_files().values())
