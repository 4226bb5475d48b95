"""The known faults can still be put back, and gambits are dealt so that each is played."""

from typing import Any

import pytest

from tests.e2e.gambits import DEALT, GAMBITS, deal
from tests.e2e.mutating import ROOT, read_faults


@pytest.mark.parametrize("fault", read_faults(), ids=lambda fault: fault["name"])
def test_what_a_fault_replaces_stands_in_the_source_once(fault: dict[str, Any]) -> None:
    for edit in fault["edits"]:
        assert (ROOT / edit["file"]).read_text().count(edit["find"]) == 1, edit


def test_every_gambit_is_dealt_to_at_least_three_of_thirty_seeds() -> None:
    dealt = [name for seed in range(1, 31, 2) for name in deal(seed)]
    assert {name for name in GAMBITS if dealt.count(name) >= 3} == set(GAMBITS)
    assert all(len(set(deal(seed))) == DEALT for seed in range(1, 31, 2))
