"""Random tests: an adversary does random legal things to every object; what must never happen does not, and in the end each connector works or reports why not.

Replay one: `ADVERSARY_SEEDS=7 ADVERSARY_SECONDS=120 make test-faults FAULTS=tests/e2e/test_adversary.py`.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.acts import BAD_LABEL
from tests.e2e.adversary import FOREIGN, NAMES, PULL, Adversary
from tests.e2e.gambits import deal
from tests.e2e.restarts import Restarts, deleted_jobs
from tests.kit.cluster import READS, Audit, Kit, wait_operator
from tests.localkube.cluster import LocalKube, eventually

SEEDS = [int(seed) for seed in os.environ.get("ADVERSARY_SEEDS", "").split(",") if seed] or list(range(1, 31))
SECONDS = float(os.environ.get("ADVERSARY_SECONDS", "45"))
BUSY = {"Starting", "Stopping", "Replacing", "Discovering", "AwaitingSlot", "CatalogueLost", "StatusRefused"}
"""Reasons that say only that something is under way, or that something of ours is wrong: a minute later they must be over."""
MOST_IN_TEN_SECONDS = 300
"""Requests about a namespace of four connectors under attack; the hot loop of suspended Jobs made 320 with one."""
MOST_AT_REST = 40
SETTLES = 75.0
SET_UP = 300.0
"""Nothing has been done yet: this only bounds a slow machine."""


@pytest.fixture
def adversaries(kit: Kit, localkube: LocalKube) -> Iterator[list[Adversary]]:
    """Those that the test makes; whatever happens, the cluster is left as it was."""
    made: list[Adversary] = []
    yield made
    for one in made:
        one.close()
    wait_operator(localkube)


def run_seed(kit: Kit, cluster: LocalKube, made: list[Adversary], seed: int, seconds: float) -> None:
    adversary = Adversary(kit, cluster, seed)
    made.append(adversary)
    found, audit = "", Audit(cluster)  # a Job of somebody else's may be over, and gone, before the first act
    try:
        adversary.set_up()
        for name in NAMES:
            kit.wait(name, "running", ready=True, timeout=SET_UP)
        with Restarts(kit) as restarts:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                adversary.act()
                time.sleep(PULL * adversary.random.random())
            adversary.stop(heals=bool(seed % 2))
            wait_operator(cluster)
            for name in NAMES:
                check_settled(kit, name)
        check_overlaps(cluster, kit)
        check_audit(audit, kit.namespace)
        needless = restarts.needless(adversary.acts, deleted_jobs(audit, kit.namespace))
        assert not needless, f"replaced, though they ran well and nothing had been changed: {needless}"
        check_rest(cluster, kit)
        if seed % 2:
            check_cure(adversary, kit, deal(seed))
            check_overlaps(cluster, kit)
    except AssertionError as error:
        found = "\n".join((f"seed {seed}:", *adversary.log, str(error)))
        raise AssertionError(found) from error
    finally:
        report(seed, adversary, found)


def report(seed: int, adversary: Adversary, found: str) -> None:
    """How often each act was drawn and met its object; added up over seeds in the file that ADVERSARY_REPORT names."""
    line = json.dumps({"seed": seed, "drawn": adversary.drawn, "done": adversary.done, "found": found}, sort_keys=True)
    print(line.replace("\\n", "\n"))
    if path := os.environ.get("ADVERSARY_REPORT"):
        with Path(path).open("a") as file:
            file.write(f"{line}\n")


def check_settled(kit: Kit, name: str) -> None:
    """Where the spec wants it, or why not; nothing half."""

    def check() -> bool:
        found = kit.api.get(f"/apis/apperate.io/v1/namespaces/{kit.namespace}/connectors/{name}")
        live = [p["metadata"]["name"] for p in kit.pods(name) if p["status"].get("phase") == "Running"]
        live = [pod for pod in live if not pod.startswith("foreign")]
        if found is None or "deletionTimestamp" in found["metadata"]:
            return True  # with --cascade=orphan its pods stay, as asked
        status = found.get("status") or {}
        said: dict[str, Any] = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {})
        state = status.get("state", {}).get("status")
        wanted = found["spec"].get("status")
        if status.get("observedGeneration") != found["metadata"]["generation"] or said.get("reason") in BUSY:
            raise LookupError(f"{name}: {state}, {said}")
        if said.get("status") == "True":
            good = {"running": len(live) == 1 and state == "running", "stopped": not live and state == "stopped"}
            if said["reason"] != "Completed" and not good.get(wanted, not live):
                raise LookupError(f"{name} says {said['reason']} but {wanted} is asked for and {live} live")
            return True
        if not said.get("message") or said.get("reason") in {"", None}:
            raise LookupError(f"{name} does not say why it is {state}")
        return True

    eventually(check, timeout=SETTLES, what=f"{name} is where its spec wants it, or says why not")


def check_overlaps(cluster: LocalKube, kit: Kit) -> None:
    file = cluster.volume_path(kit.namespace, "rows") / "overlaps"
    assert not file.exists(), f"two runners at once: {file.read_text()}"


def check_audit(audit: Audit, namespace: str) -> None:
    """No hot loop, nothing of others written to."""
    buckets: Counter[int] = Counter()
    verbs: dict[int, Counter[str]] = {}
    for event in audit.events(namespace=namespace):
        reference = event["objectRef"]
        bucket = int(datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()) // 10
        buckets[bucket] += 1
        verbs.setdefault(bucket, Counter())[f"{event['verb']} {reference.get('resource')}"] += 1
        is_write = event["verb"] not in READS and reference.get("resource") != "events"
        assert not (is_write and reference.get("name", "").startswith(FOREIGN)), f"not its own: {event}"
    if buckets:
        worst, count = buckets.most_common(1)[0]
        assert count <= MOST_IN_TEN_SECONDS, f"{count} requests in ten seconds: {verbs[worst]}"


def check_rest(cluster: LocalKube, kit: Kit) -> None:
    """When nothing changes any more, the operator sends no requests."""
    audit = Audit(cluster)
    time.sleep(10)  # what is measured is a rate
    counted = audit.count(kit.namespace)
    assert sum(counted.values()) <= MOST_AT_REST, counted


def check_cure(adversary: Adversary, kit: Kit, gambits: list[str]) -> None:
    """Where nothing hinders any more, a good spec runs; a bad change takes nothing away; a deletion that waits waits for the runner.

    In between the adversary plays its gambits.
    """
    for name in NAMES:
        eventually(partial(adversary.mend, name), timeout=SETTLES, what=f"{name} is mended")
    for name in NAMES:
        kit.wait(name, "running", ready=True)
    for gambit in gambits:
        adversary.play(gambit)
    first, second = NAMES[:2]
    pod = adversary.live_pod(first)["metadata"]["uid"]
    adversary.patch(first, runner=BAD_LABEL)
    kit.wait(first, "running", reason="JobRefused", ready=False)
    assert adversary.live_pod(first)["metadata"]["uid"] == pod, "a change that is refused has ended the execution"
    kit.kubectl("delete", "connector", second, "--cascade=foreground", "--timeout=60s")
    left = [p["metadata"]["name"] for p in kit.pods(second, "") if p["status"].get("phase") == "Running"]
    assert not left, f"the deletion did not wait for {left}"


def test_an_adversary_for_a_short_while(kit: Kit, localkube: LocalKube, adversaries: list[Adversary]) -> None:
    run_seed(kit, localkube, adversaries, 0, 15)


@pytest.mark.fault
@pytest.mark.timeout(SECONDS * 3 + 600)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_adversary(kit: Kit, localkube: LocalKube, adversaries: list[Adversary], seed: int) -> None:
    run_seed(kit, localkube, adversaries, seed, SECONDS)
