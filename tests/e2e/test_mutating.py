"""The net itself: known faults can still be put back, gambits are dealt so that each is played, a needless restart is noticed."""

from typing import Any, cast

import pytest

from tests.e2e.adversary import Act
from tests.e2e.gambits import DEALT, GAMBITS, deal
from tests.e2e.mutating import ROOT, read_faults
from tests.e2e.restarts import Restarts
from tests.kit.cluster import Kit


@pytest.mark.parametrize("fault", read_faults(), ids=lambda fault: fault["name"])
def test_what_a_fault_replaces_stands_in_the_source_once(fault: dict[str, Any]) -> None:
    for edit in fault["edits"]:
        assert (ROOT / edit["file"]).read_text().count(edit["find"]) == 1, edit


def test_every_gambit_is_dealt_to_at_least_three_of_thirty_seeds() -> None:
    dealt = [name for seed in range(1, 31, 2) for name in deal(seed)]
    assert {name for name in GAMBITS if dealt.count(name) >= 3} == set(GAMBITS)
    assert all(len(set(deal(seed))) == DEALT for seed in range(1, 31, 2))


RUNNING: dict[str, Any] = {
    "metadata": {"name": "c", "generation": 3},
    "status": {
        "observedGeneration": 3,
        "state": {"execId": "namespaces/n/jobs/c/executions/c-1"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Running"}],
    },
}
JOB: dict[str, Any] = {"metadata": {"name": "c-1"}}
NOBODY = cast("Kit", None)
"""Nothing is read: the test says what there is."""


@pytest.mark.parametrize(
    ("acts", "deleted", "needless"),
    [
        ([], {"c-1"}, True),
        ([], set(), False),
        ([Act("job-bare", "c", 51, 52)], {"c-1"}, True),
        ([Act("restart", "c", 51, 52)], {"c-1"}, False),
        ([Act("restart", "d", 51, 52)], {"c-1"}, True),
        ([Act("restart", "c", 10, 11)], {"c-1"}, True),
        ([Act("restart", "c", 61, 62)], {"c-1"}, True),
        ([Act("dataset", "d", 10, 11)], {"c-1"}, False),
    ],
)
def test_an_execution_that_ran_well_is_ended_for_a_reason_or_it_is_noticed(
    acts: list[Act], deleted: set[str], needless: bool
) -> None:
    restarts = Restarts(NOBODY)
    restarts.look([RUNNING], {"c-1": JOB}, 50, 50)
    restarts.look([RUNNING], {}, 60, 60)
    assert bool(restarts.needless(acts, deleted)) is needless


@pytest.mark.parametrize("change", [{"observedGeneration": 2}, {"conditions": []}, {"state": {}}])
def test_an_execution_that_is_not_known_to_run_well_may_be_ended(change: dict[str, Any]) -> None:
    restarts = Restarts(NOBODY)
    restarts.look([{**RUNNING, "status": {**RUNNING["status"], **change}}], {"c-1": JOB}, 50, 50)
    restarts.look([], {}, 60, 60)
    assert not restarts.needless([], {"c-1"})
