"""The reader of runners' logs: when it asks whom, what it takes, and what happens when it can't read."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import msgspec
import pytest

from connector_operator.cluster.cache import CachedJob, ClusterCache, trim
from connector_operator.cluster.client import ApiError
from connector_operator.cluster.progress import ProgressReader
from connector_operator.decide.observation import Heard
from connector_operator.engine.fair_queue import Key
from connector_operator.resources import names
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.progress import FailedStream, Progress, encode_record
from tests.kit.waiting import until

WELL = Progress(selected=60, following=60, rows=5, lag_seconds=3)
ILL = Progress(selected=60, following=59, failed=1, failures=(FailedStream("shop.t7", "SchemaConflict", "no"),))


class Api:
    """An API server with pods and their logs; what it is asked is recorded."""

    def __init__(self) -> None:
        self.logs: dict[str, str] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.refusal: ApiError | None = None
        self.is_hanging = False
        self.unanswered = 0

    async def request(self, method: str, path: str, *, query: dict[str, str], is_text: bool = False) -> Any:
        assert method == "GET"
        self.asked.append((path, query))
        self.unanswered += 1
        try:
            await asyncio.sleep(3600 if self.is_hanging else 0)
        finally:
            self.unanswered -= 1
        if self.refusal is not None:
            raise self.refusal
        if not is_text:
            name = query["labelSelector"].rpartition("=")[2]
            return {"items": [build_pod(name)]}
        return self.logs[path.split("/")[-2].removesuffix("-pod")]


def build_pod(name: str) -> dict[str, Any]:
    labels = {
        names.LABEL_CONNECTOR: name,
        names.LABEL_ROLE: names.ROLE_RUNNER,
        "batch.kubernetes.io/job-name": f"{name}-job",
    }
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": f"{name}-job", "uid": "j", "controller": True}
    return {
        "metadata": {"name": f"{name}-pod", "labels": labels, "ownerReferences": [owner]},
        "spec": {"containers": [{"name": names.CONTAINER}]},
        "status": {"phase": "Running"},
    }  # fmt: skip


def line(progress: Progress) -> str:
    return json.dumps({"message": "progress", "progress": encode_record(progress)}) + "\n"


class Cluster:
    """Connectors with a ready execution each, in the operator's cache."""

    def __init__(self, *connectors: str, seconds: int = 60, requests_per_second: int = 100_000) -> None:
        self.api, self.cache, self.woken = Api(), ClusterCache(), list[str]()
        self.jobs: dict[Any, list[CachedJob]] = {}
        raws: dict[Any, list[Any]] = {}
        for name in connectors:
            raws["ns", name] = [
                trim({"metadata": {"name": name, "namespace": "ns", "uid": f"u-{name}", "resourceVersion": "1"}})
            ]
            self.show(name, run=1, ready=1)
        self.cache.bind(raws, {}, self.jobs)
        self.reader = ProgressReader(
            self.api, self.cache, seconds, requests_per_second, lambda key: self.woken.append(key.name)  # type: ignore[arg-type]
        )  # fmt: skip

    def show(self, name: str, *, run: int, ready: int) -> None:
        job = ObservedJob(
            name=f"{name}-job", uid=f"j-{name}", owner=f"u-{name}", role=names.ROLE_RUNNER, run=run, ready=ready
        )
        self.jobs["ns", name] = [CachedJob(1, job)]
        self.api.logs.setdefault(name, "")

    def read(self, name: str) -> None:
        """What one turn does for one connector, at once."""
        key = Key("connector", "ns", name)
        asyncio.run(self.reader._read(key, self.reader._runners[key]))

    def heard(self, name: str) -> Heard | None:
        return self.reader.heard(Key("connector", "ns", name))


def test_each_live_execution_has_a_moment_of_its_own_within_the_interval() -> None:
    cluster = Cluster(*(f"c{number}" for number in range(200)))
    cluster.show("c7", run=1, ready=0)
    cluster.reader.list_runners(1000.0)
    dues = [runner.due for runner in cluster.reader._runners.values()]
    assert len(dues) == 199
    assert 1000 <= min(dues) <= max(dues) <= 1060
    quarters = [sum(1000 + 15 * part <= due < 1015 + 15 * part for due in dues) for part in range(4)]
    assert min(quarters) > 25
    assert cluster.reader.next_due(999.0) is None
    assert cluster.reader.next_due(2000.0) is not None
    cluster.reader.list_runners(1030.0)
    assert [runner.due for runner in cluster.reader._runners.values()] == dues, "who is known keeps its moment"


def test_a_pod_is_looked_up_once_and_only_what_is_new_is_read() -> None:
    cluster = Cluster("a")
    cluster.reader.list_runners(0.0)
    cluster.api.logs["a"] = "noise\n" + line(WELL)
    cluster.read("a")
    assert cluster.heard("a") == Heard(1, WELL)
    cluster.api.logs["a"] = "noise\n"
    cluster.read("a")
    assert cluster.heard("a") == Heard(1, WELL)
    assert cluster.woken == ["a"], "nothing was new"
    cluster.api.logs["a"] = line(ILL)
    cluster.read("a")
    assert (cluster.heard("a"), cluster.woken) == (Heard(1, ILL), ["a", "a"])
    paths = [path.removeprefix("/api/v1/namespaces/ns/pods") for path, _ in cluster.api.asked]
    assert paths == ["", *["/a-pod/log"] * 3]
    queries = [query for path, query in cluster.api.asked if path.endswith("/log")]
    assert ["sinceSeconds" in query for query in queries] == [False, True, True]
    assert all(int(query["limitBytes"]) <= 512 * 1024 and int(query["tailLines"]) <= 1000 for query in queries)


def test_reads_that_fail_are_told_after_a_while_and_come_less_often() -> None:
    cluster = Cluster("a")
    cluster.reader.list_runners(0.0)
    runner = cluster.reader._runners[Key("connector", "ns", "a")]
    cluster.api.logs["a"] = line(WELL)
    cluster.read("a")
    cluster.api.refusal = ApiError(403, "Forbidden", "pods/log is forbidden")
    pauses = []
    for number in range(6):
        before = cluster.heard("a")
        cluster.read("a")
        assert (before is not None and before.problem == "") is (number < 3)
        pauses.append(runner.due)
    assert cluster.heard("a") == Heard(
        1, problem="The runner's log can't be read: 403 Forbidden: pods/log is forbidden."
    )
    gaps = [round(later - earlier) // 60 for earlier, later in itertools.pairwise(pauses)]
    assert gaps == [2, 4, 8, 0, 0]
    cluster.api.refusal = None
    cluster.read("a")
    assert (cluster.heard("a"), runner.failures) == (Heard(1, WELL), 0)


def test_the_next_execution_is_another_runner_and_one_that_ended_is_not_asked() -> None:
    cluster = Cluster("a", "b")
    cluster.reader.list_runners(0.0)
    cluster.api.logs["a"] = line(WELL)
    cluster.read("a")
    job = cluster.jobs["ns", "a"][0].job
    cluster.jobs["ns", "a"] = [CachedJob(2, msgspec.structs.replace(job, name="a-2", uid="j2", run=2))]
    cluster.jobs["ns", "b"] = [CachedJob(2, msgspec.structs.replace(cluster.jobs["ns", "b"][0].job, finished=True))]
    cluster.reader.list_runners(10.0)
    assert cluster.heard("a") is None
    assert [key.name for key in cluster.reader._runners] == ["a"]


async def test_off_asks_nothing() -> None:
    cluster = Cluster("a", seconds=0)
    await asyncio.wait_for(cluster.reader.run(), 5)
    assert cluster.api.asked == []


async def test_it_reads_by_itself_until_it_is_cancelled() -> None:
    cluster = Cluster("a", "b", "c", seconds=1)
    for name in "abc":
        cluster.api.logs[name] = line(WELL)
    running = asyncio.create_task(cluster.reader.run())
    await until(lambda: sorted(cluster.woken) == ["a", "b", "c"], "all are read")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not cluster.reader._reading


async def test_a_read_that_hangs_is_ended_though_its_execution_was_replaced_meanwhile() -> None:
    cluster = Cluster("a", seconds=1)
    cluster.api.is_hanging = True
    running = asyncio.create_task(cluster.reader.run())
    await until(lambda: cluster.api.unanswered == 1, "the first execution is read")
    following = msgspec.structs.replace(cluster.jobs["ns", "a"][0].job, name="a-next", uid="next", run=2)
    cluster.jobs["ns", "a"] = [CachedJob(2, following)]
    await until(lambda: cluster.api.unanswered == 2, "the next execution is read, too")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cluster.api.unanswered == 0
