"""The Job that `kubectl connectors check` makes, and what it says of one that does not run."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

import pytest

from connector_operator.kubectl.checking import build_job, report_of
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.resources import names
from connector_operator.workloads.asked_jobs import exit_code_of, find_image, say_waiting
from connector_runner.schemas.manifest import parse_manifest, read_variables

FLAGS = Namespace(image="", timeout=60, output="table")
DATASET = {"metadata": {"name": "rows"}, "spec": {"url": "sqlite:////data/rows.db", "volumeClaim": "rows"}}


def connector(image: str = "runner:1", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "trades", "namespace": "shop", "uid": "uid-1"},
        "spec": {
            "connectorType": "COINBASE", "datasetId": "rows", "selectedStream": "ticker", "config": {"productId": ["A-B"]},
            **spec,
        },
        "status": {"discovery": {"ordered": {"image": image}}},
    }  # fmt: skip


def test_the_job_is_the_pod_of_an_execution_that_the_operator_does_not_know() -> None:
    own = {"podLabels": {"team": "x"}, "nodeSelector": {"disk": "fast"}}
    taken = {"connector": "old", "epoch": 3}
    spec: dict[str, Any] = {"runner": own, "configFrom": [{"secretRef": {"name": "key"}}], "takeOver": taken}
    job = build_job(connector(**spec), [DATASET], FLAGS)
    metadata, pod = job["metadata"], job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert metadata["generateName"] == "trades-check-"
    assert metadata["labels"] == {names.LABEL_CHECK: "trades"}
    assert job["spec"]["template"]["metadata"]["labels"] == {"team": "x", names.LABEL_CHECK: "trades"}
    assert "ownerReferences" not in metadata
    assert (container["args"], container["image"]) == (["check"], "runner:1")
    assert not {"ports", "startupProbe", "livenessProbe", "readinessProbe"} & container.keys()
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert pod["automountServiceAccountToken"] is False
    assert {volume["name"] for volume in pod["volumes"]} == {"tmp", "config-0", "data"}
    manifest = parse_manifest(read_variables({each["name"]: each.get("value", "") for each in container["env"]}))
    assert (manifest.stream, manifest.dataset and manifest.dataset.table) == ("ticker", "rows")
    assert manifest.take_over is not None
    assert (manifest.take_over.connector, manifest.take_over.epoch) == ("shop/old", 3)


def test_a_selection_needs_no_orders_and_json_is_passed_on() -> None:
    many = connector(selectedStream=None, streams={"include": ["*"]})
    del many["spec"]["selectedStream"]
    job = build_job(many, [DATASET], Namespace(image="other:2", timeout=60, output="json"))
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert (container["args"], container["image"]) == (["check", "-o", "json"], "other:2")
    assert "orders" not in json.dumps(container["volumeMounts"])


@pytest.mark.parametrize(
    ("image", "datasets", "said"),
    [
        ("", [DATASET], "--image"),
        ("runner:1", [], "There is no Dataset 'rows'"),
        ("runner:1", [{"metadata": {"name": "rows"}, "spec": {"url": "ftp://x"}}], "Dataset 'rows': "),
    ],
)
def test_what_is_missing_is_said(image: str, datasets: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        build_job(connector(image), datasets, FLAGS)


def test_the_image_of_the_last_execution_comes_first() -> None:
    found = connector()
    assert find_image(found) == "runner:1"
    found["status"]["ordered"] = {"image": "runner:2"}
    assert find_image(found) == "runner:2"
    assert find_image({}) == ""


def test_the_report_is_what_the_log_has_besides() -> None:
    lines = ["PART  CHECK", '{"time": "2026", "message": "connected"}', "{", '  "result": "ok"', "}"]
    assert list(report_of(iter(lines))) == ["PART  CHECK", "{", '  "result": "ok"', "}"]


def test_what_a_pod_waits_for() -> None:
    assert "quota" in say_waiting({})
    waiting = {
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
        "name": names.CONTAINER,
    }
    assert "ImagePullBackOff no such image" in say_waiting({"status": {"containerStatuses": [waiting]}})
    unscheduled = {"status": "False", "message": "0/3 nodes are available"}
    assert "0/3 nodes" in say_waiting({"status": {"conditions": [unscheduled]}})
    ended = {"name": names.CONTAINER, "state": {"terminated": {"exitCode": 78}}}
    assert exit_code_of({"status": {"containerStatuses": [ended]}}) == 78
    assert exit_code_of({"status": {"containerStatuses": [waiting]}}) is None
