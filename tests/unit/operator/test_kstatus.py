"""What Flux makes of a Connector, over every row of the table and every state with every request; and that Argo CD agrees."""

from __future__ import annotations

from typing import Any

import pytest

from connector_operator.crds.definitions import build_connector_crd
from connector_operator.decide.rollout import decide_dataset
from connector_operator.decide.table import ROWS
from connector_runner.schemas.kinds.dataset import DatasetStatus
from tests.servers.kstatus_program import compute_statuses
from tests.unit.operator.test_argo_cd import GENERATION, health_of, status_of
from tests.unit.operator.test_states import CHANGES, GRID, make
from tests.unit.operator.world import START

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]  # the first run builds kstatus
AS_ARGO_CD = {"Current": "Healthy", "Failed": "Degraded", "InProgress": "Progressing"}
Status = dict[str, Any]


def object_of(status: Status, kind: str = "Connector", generation: int = GENERATION) -> dict[str, Any]:
    metadata = {"name": "c", "namespace": "n", "generation": generation}
    return {"apiVersion": "apperate.io/v1", "kind": kind, "metadata": metadata, "status": status}


def expect(status: Status, generation: int) -> str:
    """What the conditions say, in kstatus' words; at most one of Stalled and Reconciling is true."""
    holds = {one["type"]: one["status"] == "True" for one in status.get("conditions", ())}
    if status["observedGeneration"] != generation:
        return "InProgress"
    assert not (holds["Stalled"] and holds["Reconciling"])
    if holds["Stalled"]:
        return "Failed"
    return "Current" if holds["Ready"] and not holds["Reconciling"] else "InProgress"


def test_each_row_is_what_it_is_to_flux_and_to_argo_cd() -> None:
    cases = [(row, is_stuck) for row in ROWS for is_stuck in (False, True)]
    statuses = [
        status_of(
            ready=row.ready and not is_stuck,
            reconciling=row.reconciling and not is_stuck,
            stalled=row.stalled or is_stuck,
            state=row.state,
        )
        for row, is_stuck in cases
    ]
    found = compute_statuses([object_of(status) for status in statuses])
    for (row, is_stuck), status, word in zip(cases, statuses, found, strict=True):
        assert word == expect(status, GENERATION), (row.name, is_stuck)
        if row.state == "errored" and not (row.stalled or is_stuck):
            continue  # restarted by itself after crashes: not yet Failed to Flux, Degraded to Argo CD
        assert AS_ARGO_CD[word] == health_of(status)[0], (row.name, is_stuck)


def test_each_state_with_each_request_before_and_after_the_operator_has_looked() -> None:
    objects, expected = [], []
    for state in GRID:
        for name, change in CHANGES.items():
            world = make(state)
            change(world)
            for _ in range(2):
                # Copies: the operator's next look writes into the same status.
                status = {**world.status, "conditions": [dict(one) for one in world.status.get("conditions", ())]}
                objects.append(object_of(status, generation=world.generation))
                expected.append((state, name, expect(status, world.generation)))
                world.settle()
    words = compute_statuses(objects)
    for (state, name, word), found in zip(expected, words, strict=True):
        assert found == word, (state, name)
    assert set(words) == {"Current", "InProgress", "Failed"}


def test_what_nobody_has_looked_at_is_in_progress() -> None:
    schema = build_connector_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert compute_statuses([object_of(schema["properties"]["status"]["default"], generation=1)]) == ["InProgress"]


def test_a_dataset() -> None:
    specs: list[Status] = [{"url": "postgresql://db/market"}, {"url": "sqlite:///x"}, {"url": "nonsense://"}]
    statuses = [decide_dataset("d", GENERATION, spec, DatasetStatus(), [], START).status for spec in specs]
    assert all(status is not None for status in statuses)
    words = compute_statuses([object_of(status or {}, "Dataset") for status in statuses])
    assert words == ["Current", "Failed", "Failed"], "only a person can mend a spec"
    assert [health_of(status)[0] for status in statuses] == [AS_ARGO_CD[word] for word in words]
