"""The seed's walk: created, discovered, selected, started, stopped, restarted, deleted; and what each step costs."""

import time
from collections import Counter

from tests.kit.cluster import PATIENCE, Audit, Kit
from tests.localkube.cluster import LocalKube, eventually

# Requests of the operator a step, by verb and resource; docs/how-the-operator-thinks.md says why each is needed.
CREATE = {
    "patch connectors/status": 2,
    "create jobs": 1,
    "list pods": 1,
    "get pods/log": 1,
    "delete jobs": 1,
    "create events": 1,
}
SELECT = {"patch connectors/status": 1, "create events": 1}
RUN = {"list pods": 1, "patch connectors/status": 2, "create jobs": 1, "create events": 1}
# The Job that follows is tried by a dry run before the old one is told to leave.
CHANGE = {
    "patch connectors/status": 3,
    "create jobs": 2,
    "delete jobs": 1,
    "list pods": 1,
    "create events": 1,
    "patch events": 1,  # that it runs was told before
}
STOP = {"patch connectors/status": 2, "delete jobs": 1, "list pods": 1, "create events": 1}


# A pod that is not ready after so many seconds is looked at, and what is seen is told; on a busy machine that happens.
LOOK_AFTER = 5.0
LOOK = {"list pods", "list events", "patch connectors/status", "create events"}


class Bill:
    """What the operator has asked of the API server about a namespace's connectors, step by step."""

    def __init__(self, localkube: LocalKube, kit: Kit) -> None:
        self._audit = Audit(localkube)
        self._kit = kit
        self._total: Counter[str] = Counter()
        self._looks = 0
        self._start = time.monotonic()

    def add(self, step: dict[str, int]) -> None:
        """Waits until the bill is just what was there before and this step (an event may come after its status).

        A step that took less than LOOK_AFTER seconds has its exact price; a slower one may have cost a look for each.
        """
        self._total.update(step)
        self._looks += int((time.monotonic() - self._start) / LOOK_AFTER)

        def check() -> bool:
            asked = self._audit.count(self._kit.namespace)
            paid = Counter({what: n for what, n in asked.items() if "datasets" not in what and "watch" not in what})
            more = {what: n for what, n in (paid - self._total).items() if what not in LOOK or n > self._looks}
            if more or self._total - paid:
                raise LookupError(f"too many: {more}, too few: {self._total - paid}, looks: {self._looks}")
            return True

        eventually(check, timeout=PATIENCE, what=f"requests {step}")
        self._start = time.monotonic()


def test_the_seeds_walk(kit: Kit, localkube: LocalKube) -> None:
    kit.wait_dataset()
    bill = Bill(localkube, kit)
    kit.apply("your-connector")
    status = kit.wait("your-connector", "received", ready=True)
    assert [stream["id"] for stream in status["streams"]] == ["ticker", "matches"]
    assert status["state"]["jobId"] == "your-connector"
    kit.wait_gone("your-connector")
    bill.add(CREATE)

    kit.patch("your-connector", selectedStream="ticker")
    kit.wait("your-connector", "ready", ready=True)
    bill.add(SELECT)

    kit.patch("your-connector", status="running")
    status = kit.wait("your-connector", "running", ready=True)
    job = kit.live_pod("your-connector")["metadata"]["labels"]["batch.kubernetes.io/job-name"]
    assert status["state"]["execId"] == f"namespaces/{kit.namespace}/jobs/your-connector/executions/{job}"
    bill.add(RUN)
    assert "run 1 serves" in kit.kubectl("logs", f"job/{job}")

    kit.patch("your-connector", restartedAt="now")
    kit.wait_next_run("your-connector", 1)
    bill.add(CHANGE)

    kit.patch("your-connector", status="stopped")
    status = kit.wait("your-connector", "stopped", ready=True)
    # Nothing runs when it says so; the ended pod's object may take the garbage collector a moment longer.
    assert {pod["status"]["phase"] for pod in kit.pods("your-connector")} <= {"Succeeded", "Failed"}
    kit.wait_gone("your-connector")
    assert status["state"]["execId"] == ""
    assert status["lastExecution"]["reason"] == "Stopped"
    assert status["lastExecution"]["run"] == 2
    bill.add(STOP)

    kit.patch("your-connector", status="running")
    status = kit.wait_next_run("your-connector", 2)
    assert status["run"] == 3
    table = kit.kubectl("get", "connectors")
    assert table.split("\n")[0].split() == ["NAME", "TYPE", "STREAM", "DATASET", "STATUS", "READY", "REASON", "AGE"]
    assert " running " in table

    kit.delete("your-connector")
    kit.wait_gone("your-connector")


def test_everything_at_once_runs_by_itself(kit: Kit) -> None:
    kit.run("at-once")
    status = kit.status("at-once")
    assert status["streamsTotal"] == 2
    assert status["dataset"] == {"name": "rows", "table": "rows"}
    kit.kubectl("wait", "connector/at-once", "--for=condition=Ready", "--timeout=10s")


def test_created_already_stopped_has_a_status_and_streams(kit: Kit) -> None:
    kit.apply("idle", status="stopped")
    kit.wait("idle", "stopped", ready=True)
    kit.wait_condition("idle", "Discovered", "Discovered")
    assert kit.jobs("idle") == []
