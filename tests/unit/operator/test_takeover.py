"""`spec.takeOver`: starts a connector that waits for a table, and restarts nothing; clocks and statuses that are off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime

import pytest

from connector_operator.cluster import clock
from connector_operator.cluster.clock import ServerClock
from connector_operator.decide.actions import CreateRunner
from connector_operator.decide.status import refused_status
from connector_operator.resources.connector import parse_spec, parse_status, spec_hash
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.manifest import TakeOver
from connector_runner.schemas.outcome import parse_termination
from tests.unit.operator.test_states import make
from tests.unit.operator.world import SPEC, START, World

NAMED = {"connector": "old", "epoch": 3}
CONFLICT = '{"reason":"SchemaConflict","message":"It is filled."}'


def parsed(**spec: object) -> ConnectorSpec:
    found, problems = parse_spec({**SPEC, **spec})
    assert found is not None
    assert not problems
    return found


def test_adding_or_removing_it_restarts_nothing() -> None:
    assert spec_hash(parsed(takeOver=NAMED)) == spec_hash(parsed())
    world = make("running")
    world.patch(takeOver=NAMED)
    world.take_over = TakeOver("default/old", 3)
    assert world.settle().row.name == "running"
    world.patch(takeOver=None)
    world.take_over = None
    assert (world.settle().row.name, world.status["run"]) == ("running", 1)


def test_a_connector_that_waits_for_a_table_starts_at_once_when_somebody_is_named() -> None:
    world = make("running")
    world.end(78, CONFLICT)
    assert world.settle().row.name == "mend"
    world.take_over = TakeOver("default/old", 3)
    decision = world.step()
    assert [act.take_over for act in decision.actions if isinstance(act, CreateRunner)] == [world.take_over]
    world.end(78, CONFLICT)  # the epoch was another one by then
    assert world.settle().row.name == "mend"
    world.take_over = TakeOver("default/old", 4)
    assert world.step().row.name == "start"


@pytest.mark.parametrize("ahead", [-300, -2, 0, 2, 180, 300, 86400])
def test_the_servers_time_counts(ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    server = datetime(2026, 1, 1, 12, tzinfo=UTC)
    local = server + timedelta(seconds=ahead)
    monkeypatch.setattr(clock, "local_now", lambda: local)
    followed = ServerClock()
    followed.note(format_datetime(server, usegmt=True), local, local)
    assert abs(followed.now() - server) <= timedelta(seconds=3)


@pytest.mark.parametrize("jump", [-86400, 3600])
def test_a_clock_that_is_set_while_the_operator_runs_changes_nothing(
    jump: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ServerClock().now()

    class Set(datetime):
        """The clock, after somebody has set it."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Set:
            return cls.fromtimestamp(before.timestamp() + jump, tz)

    monkeypatch.setattr(clock, "datetime", Set)
    assert timedelta(0) <= ServerClock().now() - before < timedelta(minutes=10)


@pytest.mark.parametrize("date", ["", "nonsense", "Thu, 01 Jan 2026 12:00:00"])
def test_a_date_that_says_nothing_changes_nothing(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "local_now", lambda: START)
    followed = ServerClock()
    followed.note(date, START, START)
    assert followed.now() == START


def test_an_answer_that_took_long_says_nothing_of_the_time() -> None:
    followed = ServerClock()
    before = followed.now()
    followed.note(format_datetime(START, usegmt=True), START, START + timedelta(seconds=9))
    assert followed.now() >= before


@pytest.mark.parametrize("part", ["run", "lastExecution", "discovery", "retry", "ordered", "held"])
@pytest.mark.parametrize("number", [2**63 - 1, -5])
def test_numbers_that_no_counting_leads_to_count_as_absent(part: str, number: int) -> None:
    world = make("running")
    fields = {"lastExecution": "run", "discovery": "attempts", "retry": "failures", "ordered": "run", "held": "run"}
    world.status[part] = number if part == "run" else {**world.status.get(part, {}), fields[part]: number}
    assert parse_status(world.status).run < 10**12
    world.settle()
    world.leave()
    for _ in range(3):
        world.pass_time(700)
        world.settle()
        world.end(0, role="discovery")
        world.ready()
        world.leave()
    world.settle()
    assert world.state == "running"
    assert 0 <= world.status["run"] < 100


def test_a_refused_status_is_said_in_the_one_that_was_taken_last() -> None:
    world = make("running")
    desired = {**world.status, "streams": "refused", "observedGeneration": 9}
    said = refused_status(world.status, desired, "The API server refuses the status: no.", START)
    assert said["streams"] == world.status["streams"]
    assert said["observedGeneration"] == 9
    found = {c["type"]: (c["status"], c["reason"]) for c in said["conditions"]}
    assert found["Ready"] == ("False", "StatusRefused")
    assert found["Stalled"] == ("True", "StatusRefused")
    assert found["Reconciling"][0] == "False"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Segmentation fault", "Segmentation fault"),
        ('{"time": "x", "level": "info", "message": "one"}\n{"level": "error", "message": "two"}', "one\ntwo"),
        ('t": "x", "level": "info"}\n{"message": "two"}\nTraceback', "two\nTraceback"),
        ('[1]\n{"a": 1}', '[1]\n{"a": 1}'),
        ("", ""),
    ],
)
def test_the_end_of_a_log_is_told_as_people_read_it(text: str, message: str) -> None:
    assert parse_termination(text).message == message


def test_a_world_has_no_takeover_by_itself() -> None:
    assert World().observe().take_over is None
