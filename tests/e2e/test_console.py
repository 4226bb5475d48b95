"""The console in a real Chromium: a connector's life by clicks on a whole cluster, and a thousand connectors on one without an operator."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from demo.stage import BIN, Stage, pod_address, prepare_own_cluster
from demo.walk import ROOT, walk
from tests.e2e.console_pages import NAMESPACE, PICTURES, RIGHTS, bare_cluster, run_in_browser
from tests.kit.console_fleet import advance, create_fleet
from tests.kit.http_api import CONNECTORS, make_account, serving
from tests.localkube.build import ensure_binary
from tests.localkube.cluster import Cluster

COUNT = 1000
REPORTS = 8
pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        "CONNECTOR_TEST_KUBECONFIG" in os.environ, reason="needs clusters of its own, reached by pod address"
    ),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo's cluster with the API installed from its manifests; `API`, `TOKEN` and `SIMULATOR` are in the environment."""
    ensure_binary()
    with prepare_own_cluster(print, tmp_path_factory.mktemp("console")) as stage:
        walk(stage.install, stage.environment, print)
        cluster = Cluster(Path(stage.environment["KUBECONFIG"]))
        cluster.kubectl("apply", "-f", str(ROOT / "demo/dataset.yaml"))
        cluster.kubectl("apply", "-k", str(ROOT / "manifests/localkube-api"))
        cluster.kubectl("rollout", "status", "deployment/connectors-api", "--timeout=120s")
        environment = {
            "API": f"http://{pod_address('-l app.kubernetes.io/name=connectors-api', stage.environment)}:8080",
            "SIMULATOR": f"{pod_address('-l app=coinbase-simulator', stage.environment)}:8080",
            "TOKEN": make_account(cluster, "default", "visitor", RIGHTS),
        }
        yield replace(stage, environment={**stage.environment, **environment})


def test_a_life_by_clicks(stage: Stage) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    environment = {name: stage.environment[name] for name in ("API", "TOKEN", "SIMULATOR")}
    said = run_in_browser("walk.mjs", **environment, SHOTS=str(PICTURES))
    assert "seen: broken" in said


def test_a_thousand_connectors(tmp_path: Path) -> None:
    """Without an operator: what their status says stays as it is written here."""
    with bare_cluster(tmp_path) as local:
        fleet = create_fleet(local, NAMESPACE, COUNT)
        reports = tmp_path / "reports"
        reports.mkdir()
        running = sorted(
            (one for one in fleet if "progress" in one.get("status", {})), key=lambda one: str(one["metadata"]["name"])
        )
        for number in range(REPORTS):
            told = [
                advance(one, (number + 1) * 60 * (40 + 97 * at % 900) + (number * 7 + at) % 5 * 900, 60 * number)
                for at, one in enumerate(running[:40])
            ]
            (reports / f"{number}.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": told}))
        PICTURES.mkdir(parents=True, exist_ok=True)
        with serving(local.kubeconfig, NAMESPACE, tmp_path, "--wait", "0") as api:
            said = run_in_browser(
                "fleet.mjs",
                API=api.url,
                TOKEN=make_account(local, NAMESPACE, "you", RIGHTS),
                READER=make_account(local, NAMESPACE, "reader", [(CONNECTORS[0], ("get", "list", "watch"))]),
                COUNT=str(COUNT),
                SHOTS=str(PICTURES),
                REPORTS=str(reports),
                NAMESPACE=NAMESPACE,
                KUBECTL=str(BIN / "kubectl"),
                KUBECONFIG=str(local.kubeconfig),
            )
            assert "first rows after" in said
            assert api.log.read_text().count("Traceback") == 0
        assert len(list(PICTURES.glob("*-[0-9]*-*.png"))) == 5 * 6
