"""Jobs and pods from which admission takes what the operator knows them by: told, and never made in a loop."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import pytest

from connector_operator.cluster.client import ApiError, KubeClient
from connector_operator.cluster.jobs import JobPoster
from connector_operator.resources import names
from tests.unit.operator.test_ownership import build
from tests.unit.operator.test_states import make
from tests.unit.operator.world import World, replace


def strip(*labels: str) -> Callable[[dict[str, Any]], None]:
    def change(meta: dict[str, Any]) -> None:
        meta["labels"] = {name: value for name, value in meta["labels"].items() if name not in labels}

    return change


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no-connector": (strip(names.LABEL_CONNECTOR), "label apperate.io/connector,"),
    "no-role": (strip(names.LABEL_ROLE), "label apperate.io/role,"),
    "other-run": (
        lambda meta: meta.update(labels={**meta["labels"], names.LABEL_RUN: "7"}),
        "label apperate.io/run,",
    ),
    "no-labels": (
        lambda meta: meta.pop("labels"),
        "label apperate.io/connector, label apperate.io/role, label apperate.io/run,",
    ),
    "no-owner": (lambda meta: meta.update(ownerReferences=[]), "owner reference,"),
    "other-name": (lambda meta: meta.update(name="other"), "name or owner,"),
}


class Mutating:
    """An API server with a policy that changes Jobs when they are made."""

    def __init__(self, change: Callable[[dict[str, Any]], Any] | None) -> None:
        self.change = change
        self.asked: list[str] = []

    async def request(
        self, method: str, path: str, *, body: dict[str, Any], query: dict[str, str] | None = None
    ) -> Any:
        self.asked.append(f"{method} dry run" if query else method)
        if method == "DELETE":
            assert body == {"propagationPolicy": "Foreground", "preconditions": {"uid": "job-uid"}}
            return {}
        made = copy.deepcopy(body)
        made["metadata"]["uid"] = "job-uid"
        if self.change is not None:
            self.change(made["metadata"])
        return made


@pytest.mark.parametrize(("change", "says"), CHANGES.values(), ids=CHANGES)
async def test_a_job_that_could_not_be_known_again_is_refused_with_what_is_missing(
    change: Callable[[dict[str, Any]], Any], says: str
) -> None:
    server = Mutating(change)
    poster = JobPoster(cast("KubeClient", server))
    with pytest.raises(ApiError, match=f"takes away or changes its {says}") as refused:
        await poster.post("default", build(), is_trial=True)
    assert (refused.value.is_transient, server.asked) == (False, ["POST dry run"])
    for _ in range(3):
        with pytest.raises(ApiError, match=says):
            await poster.post("default", build())
    assert server.asked[1:] == ["POST", "DELETE", "POST dry run", "POST dry run"], "it is made once only"
    server.change = None
    await poster.post("default", build())
    await poster.post("default", build())
    assert server.asked[5:] == ["POST dry run", "POST", "POST"], "and tried first only as long as it must be"


async def test_what_else_admission_changes_does_not_matter() -> None:
    server = Mutating(lambda meta: (meta.pop("annotations"), meta["labels"].update(team="x")))
    await JobPoster(cast("KubeClient", server)).post("default", build())
    assert server.asked == ["POST"]


def strip_pods(world: World) -> None:
    """Neither of its pods is found by its label."""
    world.pods.clear()
    world.jobs = {name: replace(job, active=1) for name, job in world.jobs.items()}


def test_a_list_that_stands_in_a_pod_which_is_not_found_is_told_so() -> None:
    world = make("pending")
    world.catalogue = None
    world.end(0, role="discovery")
    strip_pods(world)
    world.settle()
    told = world.condition("Discovered")
    assert told["reason"] == "CatalogueLost"
    assert "takes the label apperate.io/connector away from pods" in told["message"]


def test_an_execution_whose_pod_is_not_found_is_told_so_and_goes_on() -> None:
    world = make("starting")
    strip_pods(world)
    world.pass_time(6)
    decision = world.settle()
    assert "takes the label apperate.io/connector away from pods" in world.condition("Ready")["message"]
    assert (decision.actions, world.flags) == ((), "P")
    world.ready()
    world.settle()
    assert world.flags == "R"
