"""What a watch shows late, or not at all: what we have asked for and is gone already, lists that come anew, namespaces that are lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio import client

from connector_operator import operation as module
from connector_operator.cluster.cache import ClusterCache, cache_job, trim
from connector_operator.cluster.client import KubeClient
from connector_operator.engine.fair_queue import Key
from connector_operator.metrics import render_metrics
from connector_operator.operation import Operation
from connector_operator.resources import names
from connector_operator.settings import read_settings
from connector_runner.schemas.kinds import naming

KEY = Key("connector", "one", "c")


def connector(key: Key = KEY, **spec: Any) -> dict[str, Any]:
    meta = {
        "name": key.name,
        "namespace": key.namespace,
        "uid": f"u-{key.namespace}-{key.name}",
        "resourceVersion": "5",
    }
    return {"metadata": meta, "spec": {"connectorType": "COINBASE", **spec}, "status": {}}


def dataset(namespace: str, name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"d-{namespace}-{name}"},
        "spec": {},
        "status": {},
    }


def job(run: int = 1, role: str = names.ROLE_RUNNER, key: Key = KEY, version: int = 10, **more: Any) -> dict[str, Any]:
    uid = connector(key)["metadata"]["uid"]
    name = {names.ROLE_RUNNER: names.execution_job_name, names.ROLE_DISCOVERY: names.discovery_job_name}[role]
    owner = {"apiVersion": naming.API_VERSION, "kind": "Connector", "name": key.name, "uid": uid, "controller": True}
    labels = {names.LABEL_CONNECTOR: key.name, names.LABEL_ROLE: role, names.LABEL_RUN: str(run)}
    meta = {
        "name": name(key.name, uid, run),
        "namespace": key.namespace,
        "uid": f"{role}-{run}",
        "resourceVersion": str(version),
    }
    return {"metadata": {**meta, "labels": labels, "ownerReferences": [owner], **more}, "spec": {}, "status": {}}


def at(key: Key) -> tuple[str, str]:
    return key.namespace, key.name


@pytest.fixture
async def operation(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operation]:
    """An operator of two namespaces that reaches no cluster."""
    monkeypatch.setattr(module, "_LISTING_DELAY", 0)
    configuration = client.Configuration()
    configuration.host = "http://127.0.0.1:1"
    kube = KubeClient(configuration, 100)
    flags = {"namespaces": "one,two", "runner_image": "x", "resync": "3600", "discovery_concurrency": "1"}
    yield Operation(kube, read_settings(flags, {}))
    await kube.close()


async def drain(operation: Operation) -> set[str]:
    found = set()
    while len(operation.queue):
        key = await operation.queue.get()
        operation.queue.done(key)
        found.add(key.name)
    return found


async def visit_all(operation: Operation) -> None:
    """What workers do."""
    while len(operation.queue):
        key = await operation.queue.get()
        await operation._visit(key)
        operation.queue.done(key)


@pytest.mark.parametrize("is_late", [False, True], ids=["answer-first", "watch-first"])
def test_a_job_whose_end_was_shown_is_not_there_whenever_the_answer_to_its_deletion_comes(is_late: bool) -> None:
    cache, shown = ClusterCache(), {at(KEY): [cache_job(job())]}
    cache.bind({at(KEY): [trim(connector())]}, {}, shown)
    ending = job(version=11, deletionTimestamp="2026-01-01T00:00:00Z")
    if not is_late:
        cache.note_job(KEY, ending)
    del shown[at(KEY)]
    cache.note_job_gone(KEY, cache_job(ending).job)
    if is_late:
        cache.note_job(KEY, ending)
    assert cache.jobs(KEY) == ()
    assert set(cache.vanished(KEY)) == {1}


@pytest.mark.parametrize("is_late", [False, True], ids=["answer-first", "watch-first"])
def test_what_is_known_of_jobs_that_went_does_not_grow(is_late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    now, cache = 0.0, ClusterCache()
    monkeypatch.setattr("connector_operator.cluster.cache.time.monotonic", lambda: now)
    for run in range(1000):
        now += 1
        gone = cache_job(job(run)).job
        if not is_late:
            cache.note_job_deleted(gone.uid)
        cache.note_job_gone(KEY, gone)
        if is_late:
            cache.note_job_deleted(gone.uid)
    memories = [value for value in vars(cache).values() if isinstance(value, dict)]
    assert max(map(len, memories)) < 100


async def test_a_dataset_that_came_while_its_watch_was_down_is_followed_though_it_is_the_only_one(
    operation: Operation,
) -> None:
    shown: dict[str, list[Any]] = {}
    operation.bind({at(KEY): [trim(connector(datasetId="rows"))]}, shown, {})
    operation.on_connector(KEY, None, connector(datasetId="rows"))
    assert await drain(operation) == {"c"}
    resync = asyncio.create_task(operation.resync())
    shown["one"] = [trim(dataset("one", "rows"))]
    operation.on_dataset(Key("dataset", "one", "rows"), None, dataset("one", "rows"))  # a list, not an event
    async with asyncio.timeout(60):
        while (key := await operation.queue.get()) != KEY:
            operation.queue.done(key)
    resync.cancel()


@pytest.mark.parametrize("left", [["two"], []], ids=["one-of-two", "all"])
async def test_a_namespace_that_is_lost_keeps_no_slot_and_no_series(operation: Operation, left: list[str]) -> None:
    other = Key("connector", "two", "c")
    operation.serve(["one", "two"])
    operation.bind(
        {at(key): [trim(connector(key))] for key in (KEY, other)},
        {"one": [trim(dataset("one", "rows"))]},
        {at(KEY): [cache_job(job(role=names.ROLE_DISCOVERY))]},
    )
    for key in (KEY, other):
        operation.on_connector(key, None, connector(key))
    await drain(operation)
    assert not operation.slots.is_free_for(other)

    operation.serve(left)

    assert {key.namespace for key in operation.cache.connector_keys()} == set(left)
    assert list(operation.cache.dataset_keys()) == []
    await visit_all(operation)
    assert operation.slots.is_free_for(other)


async def test_what_went_between_two_times_of_watching_is_forgotten(operation: Operation) -> None:
    operation.bind({at(KEY): [trim(connector())]}, {}, {at(KEY): [cache_job(job(role=names.ROLE_DISCOVERY))]})
    operation.on_connector(KEY, None, connector())
    await drain(operation)
    operation.serve(["one", "two"])
    operation.bind({}, {}, {})
    await visit_all(operation)
    assert len(operation.slots) == 0
    assert b"connector_operator_discoveries_active 0.0" in render_metrics()
