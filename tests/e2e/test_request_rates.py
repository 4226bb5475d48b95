"""Whatever others do to our objects and leave so: few requests a minute, counted from the audit log over five minutes."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime

import pytest

from tests.e2e import policies
from tests.e2e.test_policies import MOST_A_MINUTE, RUNNING
from tests.kit.cluster import Audit, Kit
from tests.localkube.cluster import LocalKube, eventually

SECONDS = 300.0


def refused_change(kit: Kit, stack: ExitStack) -> None:
    kit.run("c")
    kit.patch("c", runner={"podLabels": {"a": "b c"}})
    kit.wait("c", "running", reason="JobRefused")


def refused_jobs(kit: Kit, stack: ExitStack) -> None:
    stack.enter_context(policies.refuse(kit, "jobs", "no jobs here"))
    kit.apply("c", **RUNNING)
    kit.wait("c", "pending", reason="JobRefused")


def refused_pods(kit: Kit, stack: ExitStack) -> None:
    kit.run("c")
    stack.enter_context(policies.refuse(kit, "pods", "no pods here"))
    kit.patch("c", restartedAt="now")
    kit.wait("c", "running", reason="PodRefused")


def no_room(kit: Kit, stack: ExitStack) -> None:
    kit.run("c")
    kit.patch("c", runner={"nodeSelector": {"no": "such"}})
    kit.wait("c", "running", reason="Unschedulable")


def gated_pods(kit: Kit, stack: ExitStack) -> None:
    kit.run("c")
    stack.enter_context(policies.mutate(kit, "pods", policies.GATE))
    kit.patch("c", restartedAt="now")
    kit.wait("c", "running", reason="AwaitingAdmission")


def gated_discovery(kit: Kit, stack: ExitStack) -> None:
    """The five minutes begin at once: the first attempts are the quickest."""
    stack.enter_context(policies.mutate(kit, "pods", policies.GATE))
    kit.apply("c", **RUNNING)


def no_room_for_a_discovery(kit: Kit, stack: ExitStack) -> None:
    kit.apply("c", runner={"nodeSelector": {"no": "such"}}, **RUNNING)


def no_secret(kit: Kit, stack: ExitStack) -> None:
    kit.apply("c", configFrom=[{"secretRef": {"name": "none"}}], **RUNNING)


def mutated(resource: str, patch: str, state: str, reason: str) -> Callable[[Kit, ExitStack], None]:
    def disturb(kit: Kit, stack: ExitStack) -> None:
        stack.enter_context(policies.mutate(kit, resource, patch))
        kit.apply("c", **RUNNING)
        kit.wait("c", state, reason=reason)

    return disturb


DISTURBANCES: dict[str, Callable[[Kit, ExitStack], None]] = {
    "refused-change": refused_change,
    "refused-jobs": refused_jobs,
    "refused-pods": refused_pods,
    "no-room": no_room,
    "suspended-jobs": mutated("jobs", policies.SUSPEND, "pending", "AwaitingAdmission"),
    "jobs-without-labels": mutated("jobs", policies.STRIP_LABELS, "pending", "JobRefused"),
    "pods-without-labels": mutated("pods", policies.STRIP_LABELS, "pending", "CatalogueLost"),
    "gated-pods": gated_pods,
    "gated-discovery": gated_discovery,
    "no-room-for-a-discovery": no_room_for_a_discovery,
    "no-secret": no_secret,
    "sidecar": mutated("pods", policies.SIDECAR, "running", "Running"),
}
"""What is done in a namespace of its own, until the operator has said what it makes of it."""


@pytest.fixture
def disturbed(kit: Kit, localkube: LocalKube) -> Iterator[dict[str, Kit]]:
    """A namespace a disturbance, each with one connector; all is taken away afterwards."""
    made: dict[str, Kit] = {}
    with ExitStack() as stack:
        for name, disturb in DISTURBANCES.items():
            namespace = f"{name}-{secrets.token_hex(3)}"
            localkube.kubectl("create", "namespace", namespace)
            stack.callback(localkube.kubectl, "delete", "namespace", namespace, "--wait=false")
            made[name] = Kit(localkube, namespace)
            made[name].dataset()
            made[name].wait_dataset()
            disturb(made[name], stack)
        yield made


@pytest.mark.fault
@pytest.mark.timeout(SECONDS + 900)
def test_five_minutes_of_every_disturbance_cost_few_requests(disturbed: dict[str, Kit], localkube: LocalKube) -> None:
    audit, begun = Audit(localkube), time.monotonic()
    eventually(lambda: time.monotonic() - begun >= SECONDS, timeout=SECONDS + 60, what="five minutes are over")
    counted = {name: count_minutes(audit, kit.namespace) for name, kit in disturbed.items()}
    print({name: (sum(minutes.values()), max(minutes.values(), default=0)) for name, minutes in counted.items()})
    for name, minutes in counted.items():
        told = {minute: count for minute, count in minutes.items() if count > MOST_A_MINUTE}
        assert not told, f"{name}: {dict(minutes)} {audit.count(disturbed[name].namespace)}"


def count_minutes(audit: Audit, namespace: str) -> Counter[int]:
    """The operator's requests about a namespace, by minute of the clock."""
    times = [datetime.fromisoformat(e["requestReceivedTimestamp"]) for e in audit.events(namespace=namespace)]
    return Counter(int(moment.timestamp()) // 60 for moment in times)
