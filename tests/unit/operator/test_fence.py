"""A status that went back in time, and copies of one connector in two clusters: they settle, over the real claims."""

from __future__ import annotations

import json
from dataclasses import replace as changed

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector_operator.decide.actions import CreateRunner
from connector_operator.decide.backoff import STILL
from connector_runner.datasets.fencing import Holder, explain_refused_commit, next_epoch
from connector_runner.protocols.errors import ClaimRefusedError, TakenOverError
from connector_runner.schemas.outcome import Termination, encode_termination
from tests.unit.operator.test_states import make
from tests.unit.operator.world import World


class Ledger:
    """One row of a checkpoint table."""

    def __init__(self, run: int = 0) -> None:
        self.holder: Holder | None = None
        if run:
            self.holder = Holder("ns/c", "ticker", "t", 9, 100, "uid-1", run, "", "", None, "upsert")

    def claim(self, uid: str, run: int, unmoved: str) -> int:
        epoch = next_epoch(self.holder, uid, run, unmoved=unmoved)
        number = self.holder.number if self.holder else 0
        self.holder = Holder("ns/c", "ticker", "t", epoch, number, uid, run, "", "", None, "upsert")
        return epoch

    def beat(self, uid: str, run: int, epoch: int) -> None:
        holder = self.holder
        if holder is None or holder.epoch != epoch:
            raise explain_refused_commit(holder, uid, run, epoch, 0)
        self.holder = changed(holder, number=holder.number + 1)


class Cluster:
    """A connector's operator, and its runner as far as the ledger goes."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self.world = world
        self.ledger = ledger
        self.epochs: dict[str, int] = {}
        self.unmoved: dict[int, str] = {}
        self.is_cut_off = False

    def turn(self) -> None:
        """The operator looks, then its runner does what it would have done by then."""
        decision = self.world.step()
        self.unmoved |= {act.run: act.unmoved for act in decision.actions if isinstance(act, CreateRunner)}
        self.world.leave()
        for job in self.world.live():
            try:
                if job.name not in self.epochs:
                    self.epochs[job.name] = self.ledger.claim(self.world.uid, job.run, self.unmoved.get(job.run, ""))
                    self.world.ready()
                elif not self.is_cut_off:
                    self.ledger.beat(self.world.uid, job.run, self.epochs[job.name])
            except ClaimRefusedError as error:
                self._end(Termination("FenceLost", str(error), held_by_run=error.run, held_mark=error.mark))
            except TakenOverError as error:
                self._end(Termination("FenceLost", str(error), is_taken_over=True))

    def _end(self, said: Termination) -> None:
        self.world.end(78, encode_termination(said).decode())

    def go(self, seconds: int, step: int = 2) -> None:
        for _ in range(seconds // step):
            self.turn()
            self.world.pass_time(step)

    @property
    def is_writing(self) -> bool:
        epochs = [self.epochs.get(job.name) for job in self.world.live()]
        return self.ledger.holder is not None and self.ledger.holder.epoch in epochs


@pytest.mark.parametrize("held", [1, 5, 900])
def test_a_status_that_went_back_in_time_recovers_once_the_checkpoint_stands_still(held: int) -> None:
    cluster = Cluster(make("ready"), Ledger(run=held))
    cluster.world.patch(status="running")
    cluster.go(20)
    assert cluster.world.condition("Ready")["reason"] == "FenceLost"
    assert "Tried again at" in cluster.world.condition("Ready")["message"]
    cluster.go(int(STILL.total_seconds()) + 10)
    assert cluster.is_writing
    assert cluster.world.state == "running"
    assert cluster.world.status["run"] == held + 1
    assert "held" not in cluster.world.status


def test_nothing_is_taken_from_a_runner_that_lives() -> None:
    ledger = Ledger(run=7)
    cluster = Cluster(make("ready"), ledger)
    cluster.world.patch(status="running")
    for _ in range(120):
        assert ledger.holder is not None
        ledger.beat("uid-1", 7, 9)
        cluster.go(10, step=10)
    assert ledger.holder is not None
    assert ledger.holder.run == 7
    assert cluster.world.status["run"] < 20
    assert "somebody else runs" in cluster.world.condition("Ready")["message"]


def test_a_runner_that_is_taken_over_does_not_come_back_by_itself() -> None:
    cluster = Cluster(make("ready"), Ledger())
    cluster.world.patch(status="running")
    cluster.go(20)
    assert cluster.is_writing
    cluster.ledger.claim("uid-1", 99, "")
    cluster.go(3600, step=20)
    assert not cluster.is_writing
    assert cluster.world.history[-1].row.name == "fenced"
    assert "End the other one" in cluster.world.condition("Ready")["message"]
    run = cluster.world.status["run"]
    cluster.world.patch(restartedAt="now")
    cluster.go(20)
    assert cluster.world.status["run"] > run


@pytest.mark.parametrize("leaves_pod", [False, True], ids=["deleted", "unlabelled"])
def test_a_run_that_ended_while_nobody_looked_is_not_given_to_another_pod(leaves_pod: bool) -> None:
    """Its number is in the dataset: the next runner of the same run would be refused there."""
    world = make("running")
    world.jobs.clear()
    if not leaves_pod:
        world.pods.clear()
    world.settle()
    if leaves_pod:
        world.pass_time(31)
        world.settle()
        world.pods.clear()
        world.settle()
    assert [job.run for job in world.live()] == [2]
    assert (world.status["lastExecution"]["run"], world.status["lastExecution"]["reason"]) == (1, "JobDeleted")


@settings(max_examples=20, deadline=None)
@given(
    first=st.integers(0, 8),
    second=st.integers(0, 8),
    turns=st.lists(st.tuples(st.booleans(), st.integers(2, 90)), max_size=12),
)
@example(
    first=5,
    second=0,
    turns=[(True, 92), (False, 2), (True, 88), (False, 118), (True, 2), (False, 86), (True, 14)],
)
def test_copies_of_one_connector_settle(first: int, second: int, turns: list[tuple[bool, int]]) -> None:
    """Two operators with copies of one object, each with its own run number, on one dataset."""
    ledger = Ledger()
    clusters = []
    for run in (first, second):
        world = make("ready")
        world.status["run"] = run
        world.patch(status="running")
        clusters.append(Cluster(world, ledger))
    for is_first, seconds in turns:
        clusters[0 if is_first else 1].go(seconds)
    for _ in range(100):  # in step
        for cluster in clusters:
            cluster.go(10, step=10)
    assert ledger.holder is not None
    settled = ledger.holder.epoch
    for _ in range(100):
        for cluster in clusters:
            cluster.go(10, step=10)
    assert ledger.holder.epoch == settled, "they fence each other for ever"
    assert [c.is_writing for c in clusters].count(True) == 1
    other = next(c for c in clusters if not c.is_writing)
    if other.world.condition("Ready")["reason"] == "Starting":  # its next attempt was made in the very last turn
        other.turn()
    assert other.world.condition("Ready")["reason"] == "FenceLost"
    assert other.world.flags == "S"
    json.dumps(other.world.status)
