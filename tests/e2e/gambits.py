"""Gambits: sequences that the adversary plays when all runs and nobody else acts, each aimed at one kind of fault.

What must hold is stated in the gambit itself; it leaves the connector running. Every seed that heals is dealt a few of them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from tests.e2e import policies
from tests.e2e.acts import BARE, NOWHERE, PLAIN
from tests.kit.cluster import OPERATOR_NAMESPACE, operator_pods, wait_operator
from tests.localkube.cluster import eventually

if TYPE_CHECKING:
    from tests.e2e.adversary import Adversary

DEALT = 3
"""How many a seed plays."""
DEADLINE = 20.0
"""Of discoveries, in tests/e2e/manifests, in seconds."""
LARGEST = 2**62
Gambit = Callable[["Adversary", str], None]


def rest(seconds: float) -> None:
    """What must not happen needs time not to."""
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= end, timeout=seconds + 30, what="the time is over")


def stamp() -> str:
    return secrets.token_hex(4)


def _run(a: Adversary, c: str) -> int:
    return int(a.kit.status(c)["run"])


def _pod(a: Adversary, c: str) -> str:
    return str(a.live_pod(c)["metadata"]["uid"])


def _open_jobs(a: Adversary, c: str, role: str) -> list[dict[str, Any]]:
    """The operator's own Jobs that have not ended."""
    jobs = [j for j in a.kit.jobs(c, role) if not j["metadata"]["name"].startswith("foreign")]
    over = {"Complete", "Failed"}
    return [
        j
        for j in jobs
        if over.isdisjoint(x["type"] for x in j["status"].get("conditions", []) if x["status"] == "True")
    ]


def _open_job(a: Adversary, c: str, role: str) -> dict[str, Any]:
    """The only one of them."""
    return dict(eventually(lambda: _open_jobs(a, c, role), what=f"{c} has a Job ({role})")[0])


def _edit(a: Adversary, job: dict[str, Any], body: dict[str, Any]) -> None:
    a.kit.api.merge(f"/apis/batch/v1/namespaces/{a.kit.namespace}/jobs/{job['metadata']['name']}", body)


def _wait_listed(a: Adversary, c: str, asked: str) -> None:
    """The streams are listed for this `spec.rediscoverAt`."""

    def check() -> bool:
        told = a.kit.status(c)["discovery"]
        if told.get("rediscoverAt") != asked:
            raise LookupError(f"{c} does not list its streams: {told}")
        return True

    eventually(check, timeout=60, what=f"{c} lists its streams")


def mesh(a: Adversary, c: str) -> None:
    """A classic sidecar beside discovery and runner, and then the runner dies."""
    asked, run = stamp(), _run(a, c)
    with policies.mutate(a.kit, "pods", policies.SIDECAR):
        a.patch(c, rediscoverAt=asked, restartedAt=asked)
        a.kit.wait_next_run(c, run)
        _wait_listed(a, c, asked)
        assert "mesh" in {x["name"] for x in a.live_pod(c)["spec"]["containers"]}
        a.kill(c)
        a.kit.wait_next_run(c, run + 1)


def suspended(a: Adversary, c: str) -> None:
    """A queue suspends Jobs at creation, and admits one later."""
    run = _run(a, c)
    with policies.mutate(a.kit, "jobs", policies.SUSPEND):
        a.patch(c, restartedAt=stamp())
        a.kit.wait(c, "running", reason="AwaitingAdmission")
        rest(8)
        assert _run(a, c) == run + 1, f"{c}: run {_run(a, c)} while its Job waits to be admitted"
        _edit(a, _open_job(a, c, "runner"), {"spec": {"suspend": False}})
        a.kit.wait_next_run(c, run)


def gated(a: Adversary, c: str) -> None:
    """A queue holds the pod of a discovery back for longer than its deadline."""
    asked = stamp()
    with policies.mutate(a.kit, "pods", policies.GATE):
        a.patch(c, rediscoverAt=asked)
        job = _open_job(a, c, "discovery")["metadata"]["uid"]
        rest(DEADLINE + 5)
        left = [j["metadata"]["uid"] for j in _open_jobs(a, c, "discovery")]
        assert left == [job], f"{c}: its discovery has lost its place in the queue"
    (pod,) = [p["metadata"]["name"] for p in a.kit.pods(c, "discovery") if p["spec"].get("schedulingGates")]
    a.kit.kubectl("patch", "pod", pod, "--type=json", "-p", '[{"op":"remove","path":"/spec/schedulingGates"}]')
    _wait_listed(a, c, asked)


def stripped(a: Adversary, c: str) -> None:
    """A policy lets only labels of its own list through."""
    a.patch(c, status="stopped")
    a.kit.wait(c, "stopped", ready=True)
    with policies.mutate(a.kit, "jobs", policies.STRIP_LABELS):
        a.patch(c, status="running")
        a.kit.wait(c, "running", reason="JobRefused")
        assert "label apperate.io/connector" in a.kit.condition(c)["message"], a.kit.condition(c)["message"]
        found = a.kit.api.get(f"/apis/batch/v1/namespaces/{a.kit.namespace}/jobs")["items"]
        left = [j["metadata"]["name"] for j in found if "apperate.io/connector" not in j["metadata"].get("labels", {})]
        assert not left, f"Jobs that nobody watches are left: {left}"
    a.patch(c, restartedAt=stamp())
    a.kit.wait(c, "running", ready=True)


def unlabelled(a: Adversary, c: str) -> None:
    """A Job loses its label while the operator is down."""
    run, deployment = _run(a, c), ("-n", OPERATOR_NAMESPACE, "scale", "deployment", "connector-operator")
    a.cluster.kubectl(*deployment, "--replicas=0")
    try:
        eventually(lambda: not operator_pods(a.cluster), what="the operator is down")
        _edit(a, _open_job(a, c, "runner"), {"metadata": {"labels": {"apperate.io/connector": None}}})
    finally:
        a.cluster.kubectl(*deployment, "--replicas=1")
        wait_operator(a.cluster)
    a.kit.wait_next_run(c, run)


def hunt(a: Adversary, c: str) -> None:
    """Somebody deletes every Job as soon as it is there."""
    run, end = _run(a, c), time.monotonic() + 60
    while time.monotonic() < end and _run(a, c) < run + 4:
        for job in _open_jobs(a, c, "runner"):
            a.kit.kubectl("delete", "job", job["metadata"]["name"], "--wait=false", "--ignore-not-found")
        time.sleep(0.2)  # the pace of whoever deletes
    made, counted = _run(a, c) - run, a.kit.status(c).get("retry", {}).get("failures", 0)
    assert made < 4 or counted, f"{c}: {made} executions were deleted at once, and no delay is kept for the next"
    a.patch(c, restartedAt=stamp())
    a.kit.wait(c, "running", ready=True)


def complaint(a: Adversary, c: str) -> None:
    """A discovery that no node takes, and then the spec is right."""
    run = _run(a, c)
    a.patch(c, runner=NOWHERE, config={"productId": [f"{stamp()}-USD"]})
    a.kit.wait_condition(c, "Discovered", "Unschedulable")
    a.patch(c, runner=PLAIN)
    a.kit.wait_next_run(c, run)


def absurd(a: Adversary, c: str) -> None:
    """A run number that nothing can follow."""
    a.exaggerate(c)
    a.patch(c, restartedAt=stamp())

    def check() -> bool:
        if _run(a, c) >= LARGEST:
            raise LookupError(f"run {_run(a, c)} is believed")
        return True

    eventually(check, timeout=60, what=f"{c} has a sane run number")
    a.kit.wait(c, "running", ready=True)


def bare(a: Adversary, c: str) -> None:
    """Our annotations are taken from a Job whose execution runs well."""
    pod = _pod(a, c)
    _edit(a, _open_job(a, c, "runner"), BARE)
    rest(5)
    a.kit.wait(c, "running", ready=True)
    assert _pod(a, c) == pod, f"{c} was replaced for annotations"


def cleared(a: Adversary, c: str) -> None:
    """A Job is deleted in the background, and its runner takes its time to leave."""
    run = _run(a, c)
    a.kit.kubectl("delete", "job", _open_job(a, c, "runner")["metadata"]["name"], "--wait=false")
    a.kit.wait_next_run(c, run)


def nowhere(a: Adversary, c: str) -> None:
    """The Dataset gets a URL that no runner can use, and then its own again."""
    pod, path = _pod(a, c), f"/apis/apperate.io/v1/namespaces/{a.kit.namespace}/datasets/rows"
    a.kit.api.merge(path, {"spec": {"url": "postgresql://nowhere:port/market", "volumeClaim": None}})
    a.kit.wait_condition(c, "DatasetResolved", "DatasetInvalid")
    rest(5)
    a.kit.api.merge(path, {"spec": {"url": "sqlite:///rows.db", "volumeClaim": "rows"}})
    a.kit.wait(c, "running", ready=True)
    assert _pod(a, c) == pod, f"{c} was replaced for a Dataset that no runner can use"


GAMBITS: dict[str, Gambit] = {
    g.__name__: g
    for g in (mesh, suspended, gated, stripped, unlabelled, hunt, complaint, absurd, bare, cleared, nowhere)
}


def deal(seed: int) -> list[str]:
    """Which of them an odd seed plays: dealt from one shuffled deck, so that each comes up in every fourth of these seeds."""
    deck = Random("gambits").sample(sorted(GAMBITS), len(GAMBITS))
    return [deck[(seed // 2 * DEALT + number) % len(deck)] for number in range(DEALT)]
