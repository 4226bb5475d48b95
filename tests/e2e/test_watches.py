"""What the watches did not show: objects that were deleted while a watch was down, and lists that are read again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio import client, config

from connector_operator.cluster.cache import cache_job, trim
from connector_operator.cluster.client import KubeClient
from connector_operator.engine.fair_queue import Key
from connector_operator.operation import Operation
from connector_operator.resources import names
from connector_operator.settings import read_settings
from connector_runner.schemas.kinds import naming
from tests.kit.cluster import Kit


@pytest.fixture
async def operation(kit: Kit) -> AsyncIterator[Operation]:
    """The parts of an operator that looks at the cluster and acts on nothing."""
    configuration = client.Configuration()
    await config.load_kube_config(str(kit.cluster.kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    kube = KubeClient(configuration, 100)
    flags = {"namespaces": kit.namespace, "runner_image": "x", "resync": "3600"}
    yield Operation(kube, read_settings(flags, {}))
    await kube.close()


def indices(kit: Kit) -> dict[str, Any]:
    """What Kopf's indices hold of the namespace."""
    place = f"/namespaces/{kit.namespace}"
    connectors = kit.api.get(f"/apis/{naming.API_VERSION}{place}/connectors")["items"]
    datasets = kit.api.get(f"/apis/{naming.API_VERSION}{place}/datasets")["items"]
    jobs = kit.api.get(f"/apis/batch/v1{place}/jobs?labelSelector={names.LABEL_CONNECTOR}")["items"]
    by_connector: dict[tuple[str, str], list[Any]] = {}
    for job in jobs:
        key = (kit.namespace, job["metadata"]["labels"][names.LABEL_CONNECTOR])
        by_connector.setdefault(key, []).append(cache_job(job))
    return {
        "connectors": {(kit.namespace, c["metadata"]["name"]): [trim(c)] for c in connectors},
        "datasets": {kit.namespace: [trim(d) for d in datasets]},
        "jobs": by_connector,
    }


def show(operation: Operation, kit: Kit, kind: str | None = None) -> None:
    """The events of a list."""
    for raw in kit.api.get(f"/apis/{naming.API_VERSION}/namespaces/{kit.namespace}/connectors")["items"]:
        operation.on_connector(Key("connector", kit.namespace, raw["metadata"]["name"]), kind, raw)


async def drain(operation: Operation) -> set[str]:
    found = set()
    while len(operation.queue):
        key = await operation.queue.get()
        operation.queue.done(key)
        found.add(key.name)
    return found


async def test_what_went_without_an_event_is_gone_and_visited(kit: Kit, operation: Operation) -> None:
    kit.run("stays")
    kit.run("goes")
    operation.bind(**indices(kit))
    show(operation, kit)
    await drain(operation)
    gone, stays = (Key("connector", kit.namespace, name) for name in ("goes", "stays"))
    assert len(operation.cache.jobs(gone)) == 1
    kit.delete("goes")
    kit.wait_gone("goes")

    await operation.sweep()

    assert operation.cache.connector(gone) is None
    assert operation.cache.jobs(gone) == ()
    assert operation.cache.connector(stays) is not None
    assert len(operation.cache.jobs(stays)) == 1
    assert set(operation.cache.connector_keys()) == {stays}
    assert await drain(operation) >= {"goes", "stays", "rows"}


async def test_the_namesake_of_a_connector_that_went_without_an_event_is_the_one_that_counts(
    kit: Kit, operation: Operation
) -> None:
    kit.apply("c")
    kit.wait("c", "received")
    before = indices(kit)
    kit.delete("c")
    kit.wait_gone("c")
    kit.apply("c")
    kit.wait("c", "received")
    after = indices(kit)
    at = (kit.namespace, "c")
    before["connectors"][at] += after["connectors"][at]
    operation.bind(**before)
    await operation.sweep()
    known = operation.cache.connector(Key("connector", *at))
    assert known is not None
    assert known["metadata"]["uid"] == after["connectors"][at][0]["metadata"]["uid"]


async def test_a_list_that_is_made_anew_leads_to_a_sweep(kit: Kit, operation: Operation) -> None:
    kit.run("c")
    operation.bind(**indices(kit))
    key, job = Key("connector", kit.namespace, "c"), kit.jobs("c")[0]
    resync = asyncio.create_task(operation.resync())
    operation.on_job(key, None, job)  # the list at the start
    await asyncio.sleep(0)
    assert await drain(operation) == set()
    operation.on_job(key, None, job)  # Kopf lists anew after a gap
    visited: set[str] = set()
    async with asyncio.timeout(60):
        while visited != {"c", "rows"}:
            key = await operation.queue.get()
            operation.queue.done(key)
            visited.add(key.name)
    resync.cancel()
