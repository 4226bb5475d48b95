"""All ten thousand streams of a source in a real Chromium: listed by a short Job, searched, one of them selected and started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.console_pages import NAMESPACE, PICTURES, RIGHTS, bare_cluster, run_in_browser
from tests.e2e.local_operator import operator
from tests.e2e.test_console_rows import PVC
from tests.kit.cluster import ROOT
from tests.kit.http_api import CONFIG, CONNECTORS, make_account, serving
from tests.localkube.cluster import Image, LocalKube
from tests.scripted.many import COUNT

IMAGE = "connector-runner:many"
FLAGS = (f"--namespaces={NAMESPACE}", f"--lease-namespace={NAMESPACE}", f"--runner-image={IMAGE}")
pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800), pytest.mark.usefixtures("local_only")]


def make_dataset(local: LocalKube) -> None:
    local.apply(PVC, NAMESPACE)
    kind = {"apiVersion": "apperate.io/v1", "kind": "Dataset", "metadata": {"name": "rows"}}
    local.apply({**kind, "spec": {"url": "sqlite:///market.db", "volumeClaim": "market"}}, NAMESPACE)


def test_ten_thousand_streams(tmp_path: Path) -> None:
    many: Image = {
        "command": [sys.executable, "-m", "tests.scripted.many"],
        "env": {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
        "user": 65532,
    }
    with (
        bare_cluster(tmp_path, **{IMAGE: many}) as local,
        serving(local.kubeconfig, NAMESPACE, tmp_path, "--wait", "0", "--cluster-timeout", "60") as api,
        operator(local.kubeconfig, tmp_path, *FLAGS),
    ):
        make_dataset(local)
        token = make_account(local, NAMESPACE, "you", RIGHTS)
        caller = api.as_caller(token)
        assert caller.create("SHOP", CONFIG, datasetId="rows").status == 200
        assert caller.create("REFUSING", {**CONFIG, "url": "wss://refuses.invalid"}).status == 200
        PICTURES.mkdir(parents=True, exist_ok=True)
        said = run_in_browser(
            "streams.mjs",
            API=api.url,
            TOKEN=token,
            READER=make_account(local, NAMESPACE, "reader", [(CONNECTORS[0], ("get", "list", "watch"))]),
            COUNT=str(COUNT),
            SHOTS=str(PICTURES),
        )
        assert "a search takes" in said
        jobs = local.get("jobs", "-n", NAMESPACE, "-l", "apperate.io/streams")["items"]
        assert [job for job in jobs if "deletionTimestamp" not in job["metadata"]] == []
        assert api.log.read_text().count("Traceback") == 0
