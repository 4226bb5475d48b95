"""The HTTP API where its cluster fails: answers that are lost, refusals, an API server that is slow or away."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from tests.e2e.api_peers import late_server, lossy_proxy, refusing_webhook, silent_server
from tests.kit.cluster import ROOT
from tests.kit.http_api import (
    CONFIG,
    Answer,
    Api,
    make_account,
    make_certificate,
    resident_mebibytes,
    serving,
    write_kubeconfig,
)
from tests.localkube.cluster import Cluster, LocalKube, eventually

POD_LIMIT = 384  # MiB, as manifests/api has it


@pytest.fixture(scope="module")
def definitions(cluster: Cluster) -> None:
    """The cluster knows connectors."""
    cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/connectors.apperate.io", "--timeout=60s")


@pytest.fixture
def token(definitions: None, cluster: Cluster, namespace: str) -> str:
    """Of an account that may do everything with connectors and Secrets of the test's namespace."""
    return make_account(cluster, namespace, "editor")


def read_kept(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    """What the Secret holds that a Connector refers to."""
    (entry,) = cluster.get("connector", name, "-n", namespace)["spec"]["configFrom"]
    data = cluster.get("secret", entry["secretRef"]["name"], "-n", namespace)["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def test_a_lost_answer_costs_no_secret(cluster: Cluster, namespace: str, token: str, tmp_path: Path) -> None:
    lost: list[str] = []

    def is_lost(method: str, path: str, status: int) -> bool:
        """The first PATCH is made, but its response is lost. One that is refused because the operator wrote first is sent again."""
        if method != "PATCH" or status != 200 or lost:
            return False
        lost.append(path)
        return True

    with (
        lossy_proxy(cluster, tmp_path, is_lost) as kubeconfig,
        serving(kubeconfig, namespace, tmp_path, "--wait", "0") as api,
    ):
        caller = api.as_caller(token)
        assert caller.create("kept", {**CONFIG, "key": "key-1", "secret": "secret-1"}).status == 200
        assert caller.put("kept", config={**CONFIG, "key": "key-2"}).status == 503
        assert lost
        assert read_kept(cluster, namespace, "kept") == {"key": "key-2", "secret": "secret-1"}
        # What a person does then: the same again, and something else later.
        assert caller.put("kept", config={**CONFIG, "key": "key-2"}).status == 200
        assert caller.put("kept", config={**CONFIG, "passphrase": "p"}).status == 200
        assert read_kept(cluster, namespace, "kept") == {"key": "key-2", "secret": "secret-1", "passphrase": "p"}


def test_a_connector_that_can_not_be_completed_is_told_of(
    cluster: Cluster, namespace: str, token: str, tmp_path: Path
) -> None:
    """Neither its Secret is made nor it goes again: the caller learns of both, not of the second alone."""

    def is_lost(method: str, path: str, _status: int) -> bool:
        is_trial = "dryRun" in path
        return (method == "POST" and "/secrets" in path and not is_trial) or method == "DELETE"

    with lossy_proxy(cluster, tmp_path, is_lost) as kubeconfig, serving(kubeconfig, namespace, tmp_path) as api:
        answer = api.as_caller(token).create("half", {**CONFIG, "key": "k"})
    assert answer.status == 503
    assert "DELETE it, or PUT its config again" in answer.body["message"]


@pytest.mark.parametrize("code", [400, 413, 422])
def test_what_a_webhook_refuses_is_told_at_once(
    localkube: LocalKube, namespace: str, token: str, tmp_path: Path, code: int
) -> None:
    """Without causes, as a JSON patch is refused that does not fit any more."""
    with (
        refusing_webhook(tmp_path, {"code": code, "message": "not on a Friday"}) as (url, authority, asked),
        serving(localkube.kubeconfig, namespace, tmp_path, "--wait", "0") as api,
    ):
        caller = api.as_caller(token)
        assert caller.create("judged", {**CONFIG, "key": "k"}).status == 200
        webhook = {
            "name": "judge.example.org",
            "clientConfig": {"url": url, "caBundle": base64.b64encode(authority).decode()},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [
                {
                    "apiGroups": ["apperate.io"],
                    "apiVersions": ["*"],
                    "resources": ["connectors"],
                    "operations": ["UPDATE"],
                }
            ],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
        localkube.apply({**kind, "metadata": {"name": namespace}, "webhooks": [webhook]})
        try:
            answer = refused(caller)
            before = len(asked)
            assert caller.put("judged", config={**CONFIG, "key": "other"}).status == 400
            assert len(asked) == before + 1
        finally:
            localkube.kubectl("delete", "validatingwebhookconfiguration", namespace)
        assert answer.status == 400
        assert "not on a Friday" in answer.body["message"]
        assert read_kept(localkube, namespace, "judged") == {"key": "k"}
        left = localkube.get("secrets", "-n", namespace, "-l", "apperate.io/connector=judged")["items"]
        assert len(left) == 1


def refused(caller: Api) -> Answer:
    """The first refusal: a webhook works a moment after it was configured."""
    answer = Answer(200, None)

    def put() -> bool:
        nonlocal answer
        answer = caller.put("judged", description="changed")
        return answer.status != 200

    eventually(put, what="the webhook is asked")
    return answer


def test_one_that_was_made_again_is_another(cluster: Cluster, namespace: str, token: str, tmp_path: Path) -> None:
    """It is deleted and created again between the read and the write of a PUT: the change is not refused, but made after another read."""
    again: list[str] = []

    def make_again(method: str, path: str, _status: int) -> bool:
        if method == "GET" and path.endswith("/connectors/twice") and not again:
            again.append(path)
            cluster.kubectl("delete", "connector", "twice", "-n", namespace)
            cluster.apply(connector, namespace)
        return False

    spec = {"connectorType": "COINBASE", "config": CONFIG}
    connector = {"apiVersion": "apperate.io/v1", "kind": "Connector", "metadata": {"name": "twice"}, "spec": spec}
    cluster.apply(connector, namespace)
    with (
        lossy_proxy(cluster, tmp_path, make_again) as kubeconfig,
        serving(kubeconfig, namespace, tmp_path, "--wait", "0") as api,
    ):
        assert api.as_caller(token).put("twice", description="seen").status == 200
    assert again
    assert cluster.get("connector", "twice", "-n", namespace)["spec"]["description"] == "seen"


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig of an API server that says nothing."""
    with silent_server(tmp_path) as kubeconfig:
        yield kubeconfig


def test_a_silent_cluster_is_a_503(silent: Path, tmp_path: Path) -> None:
    with serving(silent, "any", tmp_path, "--cluster-timeout", "1") as api:
        answer = api.as_caller("token").read("x")
        assert answer.status == 503
        assert "can't be reached" in answer.body["message"]
        assert api.call("GET", "/COINBASE").status == 200
        counted = urllib3.request("GET", f"{api.health}/metrics", retries=False).data.decode()
        route = 'method="GET",route="/v1/connectors/connector/{name}",status="503"'
        assert f"connectors_api_requests_total{{{route}}} 1.0" in counted


def test_a_cluster_may_take_as_long_to_connect_as_the_setting_says(tmp_path: Path) -> None:
    with (
        late_server(tmp_path, 5.5) as kubeconfig,
        serving(kubeconfig, "any", tmp_path, "--cluster-timeout", "60") as api,
    ):
        assert api.as_caller("token").read("x").status == 404


def test_a_cluster_that_is_away_is_a_503(tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "away.kubeconfig", "http://127.0.0.1:1")
    with serving(kubeconfig, "any", tmp_path) as api:
        assert [api.as_caller("token").read("x").status, api.as_caller("token").create("x").status] == [503, 503]


def test_https(silent: Path, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    options = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    with serving(silent, "any", tmp_path, *options, scheme="https") as api:
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib3.PoolManager(ssl_context=context) as pool:
            assert json.loads(pool.request("GET", f"{api.url}/v1/connectors/COINBASE").data)[0]["type"] == "object"
        assert urllib3.request("GET", f"{api.health}/healthz", retries=False).status == 200


LONGEST = 262_144
HEAD = b'{"connectorType":"COINBASE","wait":true,"config":{"url":"wss://x","productId":'


def fill(head: bytes, part: bytes, tail: bytes) -> bytes:
    """A body just below the limit."""
    return head + b"[" + b",".join([part] * ((LONGEST - len(head) - len(tail) - 4) // (len(part) + 1))) + b"]" + tail


def test_many_long_bodies_at_once_stay_within_the_pods_limit(silent: Path, tmp_path: Path) -> None:
    """As many as there are connections, each of the kind that grows most when it is read, kept by a cluster that is slow."""
    bodies = [fill(HEAD, b'"A"', b"}}"), fill(HEAD + b'["A"]},"more":', b"[]", b"}"), fill(HEAD, b"[]", b"}}")]

    with serving(silent, "any", tmp_path, "--cluster-timeout", "5") as api:
        caller = api.as_caller("token")

        def send(number: int) -> int:
            return caller.call("POST", f"/connector/c{number}", raw=bodies[number % len(bodies)]).status

        with ThreadPoolExecutor(500) as pool:
            answers = set(pool.map(send, range(500)))
        assert answers <= {400, 503}
        assert caller.call("GET", "").status == 200
        assert resident_mebibytes(api.pid) < POD_LIMIT
