"""The console's newest rows on a real API server: a short Job as the caller, in all cases that need no operator."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from connector_operator.resources.names import LABEL_ROWS
from tests.kit.cluster import ROOT
from tests.kit.http_api import CONNECTORS, Api, make_account, serving
from tests.localkube.cluster import Cluster, eventually

JOBS = ("jobs.batch", ("create", "delete", "list"))
RIGHTS = (CONNECTORS, JOBS, ("pods", ("list",)), ("pods/log", ("get",)), ("datasets.apperate.io", ("list",)))
PVC = {
    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "market"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}  # fmt: skip
WRITE = """
import sqlite3
with sqlite3.connect("/data/market.db") as db:
    db.execute("create table TRADES (time text, level integer, message text)")
    db.executemany("insert into TRADES values (?, ?, ?)", [(f"t{n}", 2**62 + n, None if n % 2 else "x") for n in range(30)])
"""


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    """A namespace with a Dataset, in whose file are thirty rows, and two more Datasets."""
    cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/connectors.apperate.io", "--timeout=60s")
    name = f"test-rows-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    cluster.apply(PVC, name)
    for dataset, spec in {
        "trades": {"url": "sqlite:///market.db", "volumeClaim": "market"},
        "sent": {"url": "https://collector.invalid/rows", "volumeClaim": "market"},
    }.items():
        cluster.apply(
            {"apiVersion": "apperate.io/v1", "kind": "Dataset", "metadata": {"name": dataset}, "spec": spec}, name
        )
    cluster.apply(_writer(), name)
    cluster.kubectl("-n", name, "wait", "--for=condition=Complete", "job/writer", "--timeout=180s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def _writer() -> dict[str, Any]:
    container = {
        "name": "python", "image": "python:test", "args": ["-c", WRITE],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }  # fmt: skip
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "market"}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "writer"},
        "spec": {"template": {"spec": pod}},
    }


@pytest.fixture(scope="module")
def api(cluster: Cluster, place: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API, called by an account with all rights that rows need."""
    token = make_account(cluster, place, "looker", RIGHTS)
    with serving(
        cluster.kubeconfig, place, tmp_path_factory.mktemp("api"), "--wait", "0", "--cluster-timeout", "120"
    ) as api:
        yield api.as_caller(token)


def make_connector(api: Api, cluster: Cluster, place: str, name: str, **fields: Any) -> None:
    """A connector whose streams were listed, as its status says; where an operator runs, it may say the same meanwhile."""
    given = {"datasetId": "TRADES", **({} if "streams" in fields else {"selectedStream": "ticker"}), **fields}
    assert api.create(name, **given).status == 200
    status = {"discovery": {"at": "2026-11-01T00:00:00Z", "ordered": {"image": "connector-runner:dev"}}}
    patch = ("patch", "connector", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    cluster.kubectl("-n", place, *patch)


def show(api: Api, name: str, query: str = "") -> tuple[int, list[dict[str, Any]]]:
    """The status, and the lines of the answer."""
    headers = {"Authorization": f"Bearer {api.token}"}
    url = f"{api.url}/v1/fleet/connector/{name}/rows{query}"
    answer = urllib3.request("POST", url, headers=headers, retries=False, timeout=180)
    return answer.status, [json.loads(line) for line in answer.data.splitlines() if line]


def list_jobs(cluster: Cluster, place: str) -> list[Any]:
    found: list[Any] = cluster.get("jobs", "-n", place, "-l", LABEL_ROWS)["items"]
    return [job for job in found if "deletionTimestamp" not in job["metadata"]]


def test_the_newest_rows_of_a_connector_that_does_not_run(api: Api, cluster: Cluster, place: str) -> None:
    make_connector(api, cluster, place, "trades")
    status, events = show(api, "trades", "?limit=3")
    assert status == 200
    assert (events[0]["event"], events[0]["from"]) == ("made", "spec")
    assert events[-1] == {
        "event": "rows",
        "columns": ["time", "level", "message"],
        "rows": [[f"t{n}", str(2**62 + n), None if n % 2 else "x"] for n in (27, 28, 29)],
        "isWhole": True,
    }
    assert list_jobs(cluster, place) == []


def test_a_missing_right_is_named_before_a_job_is_made_and_the_commands_give_it(
    api: Api, cluster: Cluster, place: str
) -> None:
    make_connector(api, cluster, place, "guarded")
    reader = api.as_caller(make_account(cluster, place, "reader", [(CONNECTORS[0], ("get", "list"))]))
    status, (refused,) = show(reader, "guarded")
    assert status == 403
    assert refused["detail"] == (
        f"system:serviceaccount:{place}:reader may not create jobs.batch, delete jobs.batch, list pods, "
        f"get pods/log, list jobs.batch in the namespace {place}"
    )
    for command in refused["commands"]:
        cluster.kubectl(*shlex.split(command)[1:])
    status, (refused,) = show(reader, "guarded")
    assert (status, refused["detail"].split(" may not ")[1]) == (
        403,
        f"list datasets.apperate.io in the namespace {place}",
    )
    for command in refused["commands"]:
        cluster.kubectl(*shlex.split(command)[1:])
    assert show(reader, "guarded")[1][-1]["event"] == "rows"
    assert list_jobs(cluster, place) == []


def test_what_can_not_be_read_says_why(api: Api, cluster: Cluster, place: str) -> None:
    make_connector(api, cluster, place, "sent", datasetId="SENT")
    status, events = show(api, "sent")
    assert (status, events[-1]["event"], events[-1]["exitCode"]) == (200, "failed", 1), events
    assert "can't be opened" in events[-1]["message"]
    make_connector(api, cluster, place, "many", streams={"include": ["*"]})
    make_connector(api, cluster, place, "lost", datasetId="NOWHERE")
    for name, said in {
        "many": "say which one",
        "lost": "no Dataset 'nowhere'",
    }.items():
        status, (refused,) = show(api, name)
        assert (status, said in refused["detail"]) == (409, True), refused
    assert show(api, "nobody")[0] == 404
    assert show(api, "sent", "?limit=101")[0] == 400
    assert show(api.as_caller(""), "sent")[0] == show(api.as_caller("wrong"), "sent")[0] == 401
    assert list_jobs(cluster, place) == []


def test_the_job_is_removed_when_the_page_is_left(api: Api, cluster: Cluster, place: str) -> None:
    """A quota admits no pod, so the Job waits until the connection is closed."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-pods"},
        "spec": {"hard": {"pods": "0"}},
    }
    cluster.apply(quota, place)
    eventually(
        lambda: cluster.get("resourcequota", "no-pods", "-n", place).get("status", {}).get("hard"),
        what="the quota holds",
    )
    make_connector(api, cluster, place, "left")
    headers = {"Authorization": f"Bearer {api.token}"}
    url = f"{api.url}/v1/fleet/connector/left/rows"
    answer = urllib3.PoolManager().request(
        "POST", url, headers=headers, preload_content=False, retries=False, timeout=120
    )
    parts = answer.stream(65_536)
    assert b'"made"' in next(part for part in parts if part.strip())
    assert len(list_jobs(cluster, place)) == 1
    answer.close()
    eventually(lambda: not list_jobs(cluster, place), what="the Job is gone")
