"""A changed image of the runner over three running connectors, on a cluster whose operator is restarted with one image after the other."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.local_operator import operator, start_bare
from tests.kit.cluster import Kit, null_runner_image
from tests.localkube.cluster import LocalKube, eventually

NAMES = ("a", "b", "c")
BROKEN = [sys.executable, "-c", "import sys; sys.exit(3)"]


@pytest.fixture
def bare(local_only: None, tmp_path: Path) -> Iterator[LocalKube]:
    cluster = start_bare(tmp_path / "cluster")
    good = null_runner_image()
    cluster.map_images({f"null-runner:{tag}": good for tag in ("1", "2", "4")} | {"null-runner:3": BROKEN})
    yield cluster
    cluster.stop()


def flags_of(tag: str) -> list[str]:
    return [f"--runner-image=null-runner:{tag}", "--update-min-ready=1", "--runner-grace=5"]


def standing(kit: Kit, name: str) -> str:
    return str(kit.condition(name, "RunnerUpToDate").get("reason", ""))


def wait_all(kit: Kit, version: str) -> list[dict[str, Any]]:
    """Waits until all run from an image and none must follow any more; returns their statuses."""

    def check() -> list[dict[str, Any]] | None:
        statuses = [kit.status(name) for name in NAMES]
        said = [
            (status.get("runnerVersion"), standing(kit, name)) for status, name in zip(statuses, NAMES, strict=True)
        ]
        if said != [(version, "UpToDate")] * len(NAMES):
            raise LookupError(f"{said}")
        return statuses

    return list(eventually(check, timeout=120, what=f"all run from {version}"))


def healthy_since(status: dict[str, Any]) -> str:
    return str(next(c["lastTransitionTime"] for c in status["conditions"] if c["type"] == "RunnerHealthy"))


def images(kit: Kit, name: str) -> list[str]:
    live = [job for job in kit.jobs(name) if not job["status"].get("conditions")]
    return [job["spec"]["template"]["spec"]["containers"][0]["image"] for job in live]


@pytest.mark.fault
@pytest.mark.timeout(600)
def test_a_changed_image_follows_one_by_one_stops_where_it_is_broken_and_goes_on_when_it_is_fixed(
    bare: LocalKube, tmp_path: Path
) -> None:
    kit = Kit(bare, "default")
    kit.dataset()
    with operator(bare.kubeconfig, tmp_path, *flags_of("1")):
        kit.wait_dataset()
        for name in NAMES:
            kit.apply(name, selectedStream="ticker", status="running")
        assert [status["run"] for status in wait_all(kit, "1")] == [1, 1, 1]

    with operator(bare.kubeconfig, tmp_path, *flags_of("2")) as log:
        statuses = wait_all(kit, "2")
        assert [status["run"] for status in statuses] == [2, 2, 2]
        in_order = sorted(statuses, key=healthy_since)
        for before, after in pairwise(in_order):
            assert healthy_since(before) <= after["lastExecution"]["finishedAt"], (
                "the next when the one before was ready"
            )
        eventually(lambda: "all running connectors" in log.read_text(), what="the operator tells that it is done")

    with operator(bare.kubeconfig, tmp_path, *flags_of("3")) as log:
        failed = wait_failed(kit)
        others = [name for name in NAMES if name != failed]
        for name in others:
            eventually(lambda name=name: is_told(kit, name, failed), timeout=60, what=f"{name} is told who stopped it")
        eventually(lambda: f"not working with it: default/{failed}" in log.read_text(), what="the operator names it")
        shown = bare.kubectl("get", "connectors", "-o", "wide").splitlines()
        assert sum(" UpdateFailed " in line for line in shown) == 1
    before = {name: kit.get(name)["metadata"]["resourceVersion"] for name in others}

    with operator(bare.kubeconfig, tmp_path, *flags_of("3")) as log:  # restarted in the middle: nothing else begins
        eventually(lambda: "not working with it" in log.read_text(), timeout=60, what="it has not forgotten who failed")
    assert {name: kit.get(name)["metadata"]["resourceVersion"] for name in others} == before

    with operator(bare.kubeconfig, tmp_path, *flags_of("4")):
        wait_all(kit, "4")
        assert [kit.status(name)["run"] for name in others] == [3, 3], "none of them ever ran the broken one"
        assert [images(kit, name) for name in NAMES] == [["null-runner:4"]] * 3
        assert json.loads(bare.kubectl("get", "connector", failed, "-o", "json"))["status"].get("update") is None


def wait_failed(kit: Kit) -> str:
    """Which connector has stopped the roll-out."""

    def check() -> str | None:
        said = {name: standing(kit, name) for name in NAMES}
        found = [name for name, reason in said.items() if reason == "UpdateFailed"]
        if len(found) != 1:
            raise LookupError(f"{said}")
        return found[0]

    return str(eventually(check, timeout=120, what="one has failed"))


def is_told(kit: Kit, name: str, failed: str) -> bool:
    said = kit.condition(name, "RunnerUpToDate")
    if f"connector {failed} does not work with it" not in said.get("message", ""):
        raise LookupError(f"{name}: {said}")
    return images(kit, name) == ["null-runner:2"] and kit.condition(name)["status"] == "True"
