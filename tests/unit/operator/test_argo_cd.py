"""The health script for Argo CD over every row of the table, in the Lua that Argo CD has (5.1, only the base library)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from lupa import lua51  # type: ignore[import-untyped]

from connector_operator.decide.table import ROWS, Row
from generate.gitops_files import HEALTH, build_argo_cd
from tests.unit.operator.test_states import make

LIBRARIES = ("string", "table", "math", "io", "os", "debug", "package", "require", "dofile", "loadfile", "python")
GENERATION = 3


def health_of(status: dict[str, Any] | None) -> tuple[str, str]:
    """The health and its message of an object with this status."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)
    for library in LIBRARIES:
        lua.globals()[library] = None
    body: dict[str, Any] = {"metadata": {"name": "c", "generation": GENERATION}}
    if status is not None:
        body["status"] = status
    lua.globals().obj = lua.table_from(body, recursive=True)
    found = lua.execute(HEALTH.read_text())
    return found.status, found.message


def status_of(
    *, ready: bool, reconciling: bool, stalled: bool, state: str, generation: int = GENERATION
) -> dict[str, Any]:
    holds = {"Ready": ready, "Reconciling": reconciling, "Stalled": stalled}
    conditions = [
        {"type": kind, "status": "True" if held else "False", "reason": f"{kind}Reason", "message": f"{kind} said."}
        for kind, held in holds.items()
    ]
    return {"observedGeneration": generation, "state": {"status": state}, "conditions": conditions}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("has_stuck_pod", [False, True])
def test_every_row_has_a_health(row: Row, has_stuck_pod: bool) -> None:
    stalled = row.stalled or has_stuck_pod
    status = status_of(ready=row.ready, reconciling=row.reconciling, stalled=stalled, state=row.state)
    if stalled or row.state == "errored":
        expected = "Degraded"
    elif row.ready and not row.reconciling:
        expected = "Healthy"
    else:
        expected = "Progressing"
    assert health_of(status) == (expected, "ReadyReason: Ready said.")


HEALTH_BY_STATE = {
    "new": "Progressing", "pending": "Progressing", "refused": "Degraded", "received": "Healthy", "ready": "Healthy",
    "starting": "Progressing", "running": "Healthy", "stopping": "Progressing", "stopped": "Healthy", "completed": "Healthy",
    "backoff": "Progressing", "failing": "Degraded", "mend": "Degraded",
}  # fmt: skip


@pytest.mark.parametrize("state", HEALTH_BY_STATE)
def test_a_connector_that_came_to_a_state_by_itself_has_its_health(state: str) -> None:
    world = make(state)
    if state == "new":
        assert health_of(None)[0] == HEALTH_BY_STATE[state]
        return
    assert health_of({**world.status, "observedGeneration": GENERATION})[0] == HEALTH_BY_STATE[state]


def test_an_errored_connector_is_never_healthy_nor_progressing() -> None:
    errored = [row for row in ROWS if row.state == "errored"]
    assert errored
    for row in errored:
        status = status_of(ready=row.ready, reconciling=row.reconciling, stalled=row.stalled, state=row.state)
        assert health_of(status)[0] == "Degraded", row.name


@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": -1}])
def test_what_the_operator_has_not_visited_is_progressing(status: dict[str, Any] | None) -> None:
    assert health_of(status) == ("Progressing", "The operator has not visited it yet.")


def test_a_status_of_an_older_spec_says_nothing() -> None:
    old = status_of(ready=True, reconciling=False, stalled=False, state="running", generation=GENERATION - 1)
    assert health_of(old) == ("Progressing", "The operator has not seen the newest spec yet.")


def test_a_dataset_without_a_state_is_judged_by_its_conditions() -> None:
    status = status_of(ready=True, reconciling=False, stalled=False, state="")
    del status["state"]
    assert health_of(status)[0] == "Healthy"
    status["conditions"] = []
    assert health_of(status)[0] == "Progressing"


def test_the_config_map_holds_the_script_for_both_kinds() -> None:
    data = yaml.safe_load(build_argo_cd())["data"]
    assert set(data) == {f"resource.customizations.health.apperate.io_{kind}" for kind in ("Connector", "Dataset")}
    assert set(data.values()) == {HEALTH.read_text()}
