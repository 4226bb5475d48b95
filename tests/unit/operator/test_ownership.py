"""Which Jobs and pods are the operator's own: told by controller, UID and name, never by a label that anybody may set."""

from __future__ import annotations

from typing import Any, cast

import pytest

from connector_operator.cluster.cache import ClusterCache, cache_job
from connector_operator.cluster.client import ApiError, KubeClient
from connector_operator.cluster.jobs import JobPoster
from connector_operator.engine.fair_queue import Key
from connector_operator.resources import names
from connector_operator.resources.connector import parse_spec
from connector_operator.resources.dataset import resolve_dataset
from connector_operator.resources.workload import read_job, read_pod
from connector_operator.workloads.jobs import RunnerSettings, Subject, build_discovery_job, build_runner_job
from tests.unit.operator.world import DATASET, SPEC

SETTINGS = RunnerSettings(image="runner:1")


def build(role: str = names.ROLE_RUNNER) -> dict[str, Any]:
    spec, _ = parse_spec(SPEC)
    assert spec is not None
    subject = Subject("default", "c", "uid-1", spec)
    if role == names.ROLE_DISCOVERY:
        return build_discovery_job(subject, names.discovery_job_name("c", "uid-1", 2), 2, SETTINGS)
    view = resolve_dataset("YOUR_DATASET", {"your-dataset": DATASET})
    return build_runner_job(subject, names.execution_job_name("c", "uid-1", 2), 2, view, SETTINGS)


@pytest.mark.parametrize("role", [names.ROLE_RUNNER, names.ROLE_DISCOVERY])
def test_own_jobs_are_known_and_block_the_deletion_of_their_connector(role: str) -> None:
    job = build(role)
    assert (read_job(job).owner, read_job(job).is_ours) == ("uid-1", True)
    assert [owner["blockOwnerDeletion"] for owner in job["metadata"]["ownerReferences"]] == [True]


@pytest.mark.parametrize("role", [names.ROLE_RUNNER, names.ROLE_DISCOVERY])
@pytest.mark.parametrize("is_old", [False, True])
def test_what_an_orphaning_deletion_leaves_is_known_by_its_name_and_orders(role: str, is_old: bool) -> None:
    job = build(role)
    job["metadata"]["ownerReferences"] = []
    if is_old:
        job["metadata"]["annotations"].pop(names.ANNOTATION_UID)
    assert (read_job(job).owner, read_job(job).maker) == ("", "uid-1")
    template = job["spec"]["template"]
    labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-name": job["metadata"]["name"]}
    annotations = {} if is_old else template["metadata"]["annotations"]
    pod = {"metadata": {"name": "p", "labels": labels, "annotations": annotations}, "spec": template["spec"]}
    assert read_pod(pod).maker == "uid-1"


def foreign(change: str) -> dict[str, Any]:
    job = build()
    meta = job["metadata"]
    match change:
        case "only-labels":
            meta["ownerReferences"], meta["annotations"] = [], {}
            job["spec"]["template"]["spec"] = {"containers": [{"name": "runner", "env": []}]}
        case "copied":
            meta["name"] = "mine"
        case "copied-orphan":
            meta["name"], meta["ownerReferences"] = "mine", []
        case "other-controller":
            meta["ownerReferences"] = [
                {"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "uid-1", "controller": True}
            ]
        case "other-group":
            meta["ownerReferences"][0]["apiVersion"] = "other.io/v1"
        case "only-owned":
            meta["ownerReferences"][0]["controller"] = False
            meta["name"] = "mine"
        case "other-name":
            meta["ownerReferences"][0]["name"] = "d"
        case "garbled":
            meta["ownerReferences"], meta["annotations"] = [], {}
            job["spec"]["template"]["spec"] = {
                "containers": [{"name": "runner", "env": [{"name": "CONNECTOR_MANIFEST", "value": "{"}]}]
            }
    return job


CHANGES = [
    "only-labels",
    "copied",
    "copied-orphan",
    "other-controller",
    "other-group",
    "only-owned",
    "other-name",
    "garbled",
]


@pytest.mark.parametrize("change", CHANGES)
def test_other_peoples_jobs_are_nobodys(change: str) -> None:
    assert not read_job(foreign(change)).is_ours


class Strict:
    """An API server that checks who may block a deletion (OwnerReferencesPermissionEnforcement), as far as Jobs go."""

    def __init__(self) -> None:
        self.asked: list[tuple[bool, dict[str, str]]] = []

    async def request(self, method: str, path: str, *, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        assert (method, path) == ("POST", "/apis/batch/v1/namespaces/default/jobs")
        blocks = any(owner["blockOwnerDeletion"] for owner in body["metadata"]["ownerReferences"])
        self.asked.append((blocks, query))
        if blocks:
            message = (
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
            )
            raise ApiError(403, "Forbidden", message)
        return body


async def test_where_blocking_a_deletion_takes_a_right_that_is_missing_jobs_are_made_without_it() -> None:
    server = Strict()
    poster = JobPoster(cast("KubeClient", server))
    await poster.post("default", build(), is_trial=True)
    await poster.post("default", build())
    assert server.asked == [(True, {"dryRun": "All"}), (False, {"dryRun": "All"}), (False, {})]


def test_the_cache_never_shows_other_peoples_jobs() -> None:
    cache = ClusterCache()
    raws = [build(), *map(foreign, CHANGES)]
    for index, raw in enumerate(raws):
        raw["metadata"]["uid"] = f"job-{index}"
    cache.bind({}, {}, {("default", "c"): [cache_job(raw) for raw in raws]})
    assert [job.uid for job in cache.jobs(Key("connector", "default", "c"))] == ["job-0"]


def test_a_persons_pod_with_our_labels_is_nobodys() -> None:
    labels = {names.LABEL_CONNECTOR: "c", names.LABEL_ROLE: "runner", names.LABEL_RUN: "2"}
    assert read_pod({"metadata": {"name": "p", "labels": labels}}).maker == ""
