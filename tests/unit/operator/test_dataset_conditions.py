"""What a Dataset's conditions say of its spec."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connector_operator.decide.rollout import decide_dataset
from connector_operator.resources.dataset import parse_dataset_status
from connector_runner.schemas.kinds.conditions import Condition
from connector_runner.schemas.kinds.dataset import DatasetStatus
from tests.unit.operator.world import START


def find_conditions(status: Any) -> dict[str, Condition]:
    return {condition.type: condition for condition in parse_dataset_status(status).conditions}


@pytest.mark.parametrize("spec", [{"url": "sqlite:///x"}, {"url": "nonsense://"}, {}, 3])
def test_one_with_an_invalid_spec_needs_a_person_until_it_is_mended(spec: Any) -> None:
    """Else tools that wait for it (Flux, Argo CD) show for ever that it is on its way."""
    first = decide_dataset("rows", 1, spec, DatasetStatus(), [], START)
    said = find_conditions(first.status)
    assert (said["Ready"].status, said["Stalled"].status) == ("False", "True")
    assert (said["Stalled"].reason, said["Stalled"].message) == (said["Ready"].reason, said["Ready"].message)
    before, later = parse_dataset_status(first.status), START + timedelta(hours=1)
    mended = decide_dataset("rows", 2, {"url": "postgresql://db/market"}, before, [], later)
    said = find_conditions(mended.status)
    assert (said["Ready"].status, said["Stalled"].status, said["Stalled"].reason) == ("True", "False", "NotStalled")
