"""What the console is told of a connector: in one line, in detail, its executions and events, who manages it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from connector_operator.api.executions import build_executions
from connector_operator.api.fleet import build_detail, build_events, build_reasons, build_summary
from connector_operator.api.fleet_service import translate
from connector_operator.api.ownership import find_owner
from connector_operator.resources.reasons import Reason
from connector_operator.workloads.asked_jobs import read_last_words

SECRET = "hunter2-hunter2"


def build_resource(**changes: Any) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True", "reason": "Running", "message": "carries ticker"}
    resource: dict[str, Any] = {
        "metadata": {
            "name": "my-one", "generation": 3, "resourceVersion": "77", "uid": "u", "creationTimestamp": "2026-11-01T00:00:00Z",
            "annotations": {"apperate.io/id": "My_One", "kubectl.kubernetes.io/last-applied-configuration": SECRET},
        },
        "spec": {
            "connectorType": "COINBASE", "datasetId": "ROWS", "selectedStream": "ticker", "status": "running",
            "config": {"url": "wss://x.invalid", "productId": ["BTC-USD"], "key": SECRET},
            "configFrom": [{"secretRef": {"name": "my-one-api-1"}}],
        },
        "status": {
            "observedGeneration": 3,
            "state": {"status": "running", "jobId": "my-one", "execId": "namespaces/n/jobs/my-one/executions/my-one-b2"},
            "streams": [{"id": "ticker", "key": ["trade_id"], "modes": ["append"], "columns": 9}, {"id": "trades"}],
            "streamsTotal": 2,
            "run": 2,
            "progress": {"run": 2, "rows": 400, "lagSeconds": 3, "text": "following", "failures": [{"stream": "x", "reason": "Y"}]},
            "conditions": [{**ready, "lastTransitionTime": "2026-11-01T00:01:00Z"}],
            "updated": "2026-11-01T00:02:00Z",
        },
    }  # fmt: skip
    return {**resource, **changes}


def test_a_line_of_the_fleet_has_neither_streams_nor_config() -> None:
    summary = build_summary(build_resource())
    assert (summary["id"], summary["name"], summary["state"], summary["reason"]) == (
        "My_One",
        "my-one",
        "running",
        "Running",
    )
    assert (summary["streams"], summary["streamsTotal"], summary["observed"]) == ("ticker", 2, True)
    assert summary["progress"] == {"run": 2, "rows": 400, "lagSeconds": 3, "text": "following"}
    assert SECRET not in json.dumps(summary)
    assert len(json.dumps(summary)) < 700


@pytest.mark.parametrize(
    "status", [None, {}, {"conditions": "?"}, {"observedGeneration": -1}, {"progress": {"rows": "x"}}]
)
def test_a_connector_that_nobody_has_looked_at_is_pending(status: Any) -> None:
    summary = build_summary(build_resource(status=status))
    assert (summary["state"], summary["ready"], summary["observed"]) == ("pending", "", False)
    assert "progress" not in summary
    assert build_detail(build_resource(status=status))["conditions"] == []


def test_a_connector_in_detail_has_no_secret() -> None:
    detail = build_detail(build_resource())
    assert SECRET not in json.dumps(detail)
    assert detail["config"] == {"url": "wss://x.invalid", "productId": ["BTC-USD"]}
    assert detail["secrets"] == ["my-one-api-1"]
    assert [stream["id"] for stream in detail["streamList"]] == ["ticker", "trades"]
    assert list(detail["progress"]["failures"]) == [{"stream": "x", "reason": "Y"}]
    manifest = yaml.safe_load(detail["manifest"])
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    assert manifest["metadata"] == {"name": "my-one", "annotations": {"apperate.io/id": "My_One"}}
    assert manifest["spec"]["config"] == detail["config"]


def test_conditions_come_with_their_cure() -> None:
    resource = build_resource()
    resource["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "reason": "DatasetNotFound", "message": "m", "lastTransitionTime": "t"},
        {"type": "X", "status": "False", "reason": "OfTheRunner", "message": "n", "lastTransitionTime": "t"},
        {"type": "Y", "status": "True", "reason": "Running", "message": "", "lastTransitionTime": "t"},
    ]
    ready, other, quiet = build_detail(resource)["conditions"]
    assert ready["remedy"] == Reason.DATASET_NOT_FOUND.remedy
    assert (other["remedy"], other["known"]) == ("", False)
    assert (quiet["remedy"], quiet["message"]) == ("", Reason.RUNNING.meaning)


def test_the_table_of_reasons_is_whole() -> None:
    assert [entry["reason"] for entry in build_reasons()] == [reason.value for reason in Reason]
    assert all(entry["meaning"] and entry["remedy"] for entry in build_reasons())


def test_the_newest_event_comes_first() -> None:
    events: list[dict[str, Any]] = [
        {"reason": "Running", "message": "a", "type": "Normal", "lastTimestamp": "2026-11-01T00:00:00Z", "count": 2},
        {"reason": "CrashLoop", "message": "b", "type": "Warning", "eventTime": "2026-11-01T00:00:05.000000Z"},
        {"lastTimestamp": None},
    ]
    first, second, third = build_events(events)
    assert (first["reason"], first["warning"], first["remedy"]) == ("CrashLoop", True, Reason.CRASH_LOOP.remedy)
    assert (second["count"], second["warning"], third["reason"]) == (2, False, "")


def test_executions_from_jobs_pods_and_what_the_status_remembers() -> None:
    labels = {"apperate.io/role": "runner"}
    jobs = [
        {
            "metadata": {"name": f"c-{run}", "labels": {**labels, "apperate.io/run": str(run)}},
            "status": {"startTime": "s"},
        }
        for run in (2, 3)
    ] + [{"metadata": {"name": "d", "labels": {"apperate.io/role": "discovery", "apperate.io/run": "9"}}}]
    ended = {"exitCode": 78, "finishedAt": "f", "message": '{"reason": "WrongCredentials", "message": "no"}'}
    pod = {
        "metadata": {"name": "c-2-x", "labels": {**labels, "apperate.io/run": "2"}},
        "spec": {"nodeName": "n"},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "runner", "state": {"terminated": ended}}]},
    }
    last = {"run": 1, "execId": "a/b/c-1", "finishedAt": "f", "reason": "Stopped", "exitCode": 143}
    third, second, first = build_executions(jobs, [pod], last)
    assert (third["run"], third["exitCode"], third["job"]) == (3, None, "c-3")
    assert (second["exitCode"], second["reason"], second["message"]) == (78, "WrongCredentials", "no")
    assert (first["job"], first["exitCode"], first["reason"]) == ("c-1", 143, "Stopped")
    assert build_executions([], [], {}) == []


def test_last_words_are_the_runners_own_or_the_kubelets() -> None:
    assert read_last_words({"reason": "OOMKilled", "message": ""}) == ("OOMKilled", "")
    assert read_last_words({"reason": "Error", "message": "Traceback"}) == ("Error", "Traceback")
    assert read_last_words({"message": '{"reason": 5}'}) == ("", '{"reason": 5}')


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, None),
        ({"labels": {"app.kubernetes.io/managed-by": "me"}}, None),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apperate.io/Connector:n/c"}}, ("Argo CD", "shop")),
        ({"labels": {"argocd.argoproj.io/instance": "shop"}}, ("Argo CD", "shop")),
        (
            {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux"}},
            ("Flux", "flux/apps"),
        ),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "apps"}}, ("Flux", "apps")),
        ({"annotations": {"meta.helm.sh/release-name": "r"}}, ("Helm", "r")),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, ("Helm", "")),
        ({"managedFields": [{"manager": "argocd-controller", "fieldsV1": {"f:spec": {}}}]}, ("Argo CD", "")),
        ({"managedFields": [{"manager": "argocd-controller", "fieldsV1": {"f:metadata": {}}}]}, None),
        ({"managedFields": [{"manager": "kubectl-client-side-apply", "fieldsV1": {"f:spec": {}}}]}, None),
    ],
)
def test_who_manages_a_connector(metadata: dict[str, Any], expected: tuple[str, str] | None) -> None:
    found = find_owner(metadata)
    assert (found and (found["tool"], found["name"])) == expected


async def test_changes_in_the_consoles_words() -> None:
    async def events() -> Any:
        yield {"type": "ADDED", "object": build_resource()}
        yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "80"}}}
        yield {"type": "DELETED", "object": build_resource()}
        yield {"type": "ERROR", "object": {"code": 410}}
        raise AssertionError("nothing is read after an error")

    changed, seen, deleted, expired = [event async for event in translate(events())]
    assert changed == {"event": "changed", "connector": build_summary(build_resource())}
    assert seen == {"event": "seen", "version": "80"}
    assert deleted == {"event": "deleted", "id": "My_One", "name": "my-one", "version": "77"}
    assert expired == {"event": "expired"}
