"""The Job that shows the newest rows: what it takes from an execution, and that the operator does not take it for one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from connector_operator.resources import names
from connector_operator.resources.dataset import resolve_dataset
from connector_operator.resources.workload import read_job, read_pod
from connector_operator.workloads.asked_jobs import NotPossibleError, UnknownImageError
from connector_operator.workloads.jobs import RunnerSettings, Subject, build_runner_job
from connector_operator.workloads.rows_jobs import build_rows_job, read_rows
from connector_runner.schemas.kinds.connector import ConnectorSpec

DATASET = {"metadata": {"name": "rows"}, "spec": {"url": "sqlite:////data/rows.db", "volumeClaim": "rows"}}
LAYER = {"imagePullSecrets": [{"name": "registry"}], "nodeSelector": {"disk": "fast"}}


def connector(image: str = "runner:1", *, run: int = 0, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "trades", "namespace": "shop", "uid": "uid-1"},
        "spec": {
            "connectorType": "COINBASE", "datasetId": "rows", "selectedStream": "ticker", "config": {"productId": ["A-B"]},
            "configFrom": [{"secretRef": {"name": "key"}}], **spec,
        },
        "status": {"run": run, "discovery": {"ordered": {"image": image}}},
    }  # fmt: skip


def execution(of: dict[str, Any], run: int, image: str = "running:2") -> dict[str, Any]:
    """A Job of the operator's, as the API server returns it: with what the Job controller adds to its template."""
    metadata = of["metadata"]
    spec = msgspec.convert(of["spec"], ConnectorSpec)
    subject = Subject(metadata["namespace"], metadata["name"], metadata["uid"], spec)
    settings = RunnerSettings(image=image, layers=lambda: (LAYER,))
    view = resolve_dataset(spec.dataset_id, {"rows": DATASET}, is_many=spec.streams is not None)
    job = build_runner_job(subject, names.execution_job_name("trades", metadata["uid"], run), run, view, settings)
    of_pod = job["spec"]["template"]["metadata"]
    of_pod["labels"] |= {"controller-uid": "x", "batch.kubernetes.io/controller-uid": "x", "job-name": "y"}
    of_pod["creationTimestamp"] = None
    return job


def container_of(job: dict[str, Any]) -> dict[str, Any]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_it_is_the_pod_of_the_newest_execution_with_another_command() -> None:
    of = connector(run=12)
    newest = execution(of, 12)
    before = json.dumps(newest)
    job = build_rows_job(of, [execution(of, 9, "old:1"), newest, execution(of, 2)], [], limit=7)
    container, pod = container_of(job), job["spec"]["template"]["spec"]
    assert container["args"] == ["rows", "--output", "json", "--limit", "7"]
    assert container["image"] == "running:2"
    assert pod["imagePullSecrets"] == LAYER["imagePullSecrets"]
    assert pod["nodeSelector"] == LAYER["nodeSelector"]
    assert {"config-0", "data"} <= {volume["name"] for volume in pod["volumes"]}
    assert pod["restartPolicy"] == "Never"
    assert (pod["activeDeadlineSeconds"], job["spec"]["ttlSecondsAfterFinished"], job["spec"]["backoffLimit"]) == (
        120,
        600,
        0,
    )
    assert not {"ports", "startupProbe", "livenessProbe", "readinessProbe"} & container.keys()
    assert json.dumps(newest) == before, "the given Job was changed"


def test_the_operator_does_not_take_it_for_an_execution() -> None:
    of = connector(run=3)
    for job in (build_rows_job(of, [execution(of, 3)], []), build_rows_job(of, [], [DATASET])):
        assert (
            job["metadata"]["labels"] == job["spec"]["template"]["metadata"]["labels"] == {names.LABEL_ROWS: "trades"}
        )
        assert "ownerReferences" not in job["metadata"]
        assert not any(key.startswith("prometheus.io/") for key in job["spec"]["template"]["metadata"]["annotations"])
        made = {**job, "metadata": {**job["metadata"], "name": "trades-rows-x5x5x", "uid": "u"}}
        seen = read_job(made)
        assert (seen.owner, seen.maker, seen.role) == ("", "", "")
        assert read_pod({**job["spec"]["template"], "status": {}}).maker == ""


@pytest.mark.parametrize(
    "change",
    [
        {"ownerReferences": []},
        {"name": "trades-12"},
        {"labels": {names.LABEL_CONNECTOR: "trades", names.LABEL_ROLE: names.ROLE_DISCOVERY, names.LABEL_RUN: "12"}},
    ],
)
def test_a_job_that_only_looks_like_an_execution_is_not_copied(change: dict[str, Any]) -> None:
    of = connector(run=12)
    false = execution(of, 12, "evil:1")
    false["metadata"] |= change
    assert container_of(build_rows_job(of, [false], [DATASET]))["image"] == "runner:1"
    other = connector(run=3)
    other["metadata"]["uid"] = "uid-of-an-earlier-one"
    assert container_of(build_rows_job(of, [execution(other, 3, "evil:1")], [DATASET]))["image"] == "runner:1"


def test_only_the_execution_that_the_status_names_is_copied() -> None:
    """Whoever may make Jobs can give them the owner, the labels and the name of an execution that there is not."""
    of = connector(run=3)
    forged = execution(of, 999, "evil:1")
    assert container_of(build_rows_job(of, [forged, execution(of, 3)], []))["image"] == "running:2"
    assert container_of(build_rows_job(of, [forged], [DATASET]))["image"] == "runner:1"
    of["status"]["lastExecution"] = {"run": 3, "finishedAt": "2026-11-01T00:00:00Z"}
    assert container_of(build_rows_job(of, [execution(of, 3, "evil:1")], [DATASET]))["image"] == "runner:1"
    del of["status"]
    assert container_of(build_rows_job(of, [forged], [DATASET], image="named:1"))["image"] == "named:1"


def test_without_an_execution_it_is_built_from_spec_and_dataset() -> None:
    container = container_of(build_rows_job(connector(), [], [DATASET]))
    assert container["image"] == "runner:1"
    assert "/data" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_of_many_streams_one_is_named() -> None:
    many = connector(run=1, streams={"include": ["shop.*"]})
    del many["spec"]["selectedStream"]
    with pytest.raises(NotPossibleError, match="say which one"):
        build_rows_job(many, [execution(many, 1)], [])
    job = build_rows_job(many, [execution(many, 1)], [], stream="shop.orders")
    assert container_of(job)["args"][-1:] == ["--stream=shop.orders"]
    assert "orders" not in json.dumps(container_of(job)["volumeMounts"])


def test_what_is_missing_is_said() -> None:
    with pytest.raises(UnknownImageError):
        build_rows_job(connector(image=""), [], [DATASET])
    with pytest.raises(NotPossibleError, match="There is no Dataset 'rows'"):
        build_rows_job(connector(), [], [])
    nothing = connector()
    del nothing["spec"]["selectedStream"]
    with pytest.raises(NotPossibleError, match="select one first"):
        build_rows_job(nothing, [], [DATASET])


def test_rows_are_the_objects_of_the_log() -> None:
    log = '{"time": "2026", "level": "info", "message": "a table of logs"}\n/lib/x.py:1: Warning: old\n[1]\n{"n": 1}\n{"n": \n'
    assert read_rows(log) == [{"time": "2026", "level": "info", "message": "a table of logs"}, {"n": 1}]


def test_a_stream_is_no_option_and_no_variable() -> None:
    """Kubernetes writes `$(NAME)` out in arguments; `$$` is a `$` to it."""
    of = connector(run=3, streams={"include": ["*"]}, selectedStream=None)
    job = build_rows_job(of, [execution(connector(), 3)], [], stream="--$(DB_PASSWORD)$")
    assert container_of(job)["args"][-1:] == ["--stream=--$$(DB_PASSWORD)$$"]


def test_a_job_whose_pod_never_gets_a_node_ends() -> None:
    job = build_rows_job(connector(run=3), [execution(connector(), 3)], [], seconds=90)
    assert (job["spec"]["activeDeadlineSeconds"], job["spec"]["ttlSecondsAfterFinished"]) == (150, 600)
