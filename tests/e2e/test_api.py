"""The HTTP API on a real API server: permissions, bad input, many concurrent callers. No operator is needed for this."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.kit.cluster import ROOT
from tests.kit.http_api import CONFIG, CONNECTORS, Api, make_account, serving, speak
from tests.localkube.cluster import Cluster, eventually
from tests.localkube.plugin import FAILED, describe_namespace


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    """A namespace for this file's tests."""
    cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/connectors.apperate.io", "--timeout=60s")
    name = f"test-api-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def api(cluster: Cluster, place: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API, called by an account that may do everything with connectors and Secrets. A PUT answers at once."""
    token = make_account(cluster, place, "editor")
    # A hundred callers at once on a busy machine take their time.
    options = ("--wait", "0", "--cluster-timeout", "120")
    with serving(cluster.kubeconfig, place, tmp_path_factory.mktemp("api"), *options) as api:
        yield api.as_caller(token)


@pytest.fixture(autouse=True)
def _dump(cluster: Cluster, place: str, api: Api, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if request.node.stash.get(FAILED, False):
        print(describe_namespace(cluster, place), api.log.read_text()[-5000:])


def test_a_connector_from_creation_to_deletion(api: Api) -> None:
    assert api.create("Whole_Life") == (200, {"success": True, "message": "created connector 'Whole_Life'"})
    status, (found,) = api.read("Whole_Life")
    assert status == 200
    assert "config" not in found
    assert found["id"] == "Whole_Life"
    assert found["state"]["jobId"] == "whole-life"
    assert found["state"]["status"] in {"pending", "received"}  # an operator may be there, of other tests
    assert api.read("Whole_Life", "?displayConfigs=true").body[0]["config"] == CONFIG
    again = api.create("Whole_Life")
    assert (again.status, again.body["message"]) == (409, "connector 'Whole_Life' exists already; PUT changes it")
    answer = api.put("Whole_Life", selectedStream="ticker", description="mine", wait=False)
    assert answer.body["id"] == "Whole_Life"
    found = api.read("Whole_Life").body[0]
    assert (found["selectedStream"], found["description"], found["wait"]) == ("ticker", "mine", False)
    assert api.put("Whole_Life", selectedStream=None, wait=None).status == 200
    found = api.read("Whole_Life").body[0]
    assert ("selectedStream" in found, found["description"], found["wait"]) == (False, "mine", True)
    assert [one["id"] for one in api.call("GET", "/connector").body].count("Whole_Life") == 1
    assert api.delete("Whole_Life").body == {"success": True, "message": "deleted connector 'Whole_Life'"}
    assert api.read("Whole_Life").status == 404
    assert api.delete("Whole_Life").status == 404


def test_many_streams_and_one(api: Api) -> None:
    many = {"include": ["shop.*"], "added": "ignore"}
    assert api.create("Many", streams=many, onStreamFailure="stop").status == 200
    found = api.read("Many").body[0]
    assert (found["selectedStreams"], found["onStreamFailure"]) == (many, "stop")
    refused = api.put("Many", selectedStream="shop.orders")
    assert refused.status == 409
    assert '{"selectedStream": "…", "streams": null}' in refused.body["message"]
    assert api.put("Many", selectedStream="shop.orders", streams=None).status == 200
    found = api.read("Many").body[0]
    assert ("selectedStreams" in found, found["selectedStream"]) == (False, "shop.orders")
    assert api.put("Many", streams=many).status == 409
    assert api.put("Many", streams=many, selectedStream=None).status == 200
    both = api.put("Many", streams=many, selectedStream="a")
    assert (both.status, both.body["errors"][0]["path"]) == (400, "$.streams")
    assert api.delete("Many").status == 200


def test_two_ids_on_one_name(api: Api, cluster: Cluster, place: str) -> None:
    assert api.create("Same_Name").status == 200
    conflict = api.create("same-name")
    assert conflict.status == 409
    assert "'Same_Name'" in conflict.body["message"]
    for call in (api.read, api.delete, lambda name: api.put(name, status="running")):
        refused = call("same-name")
        assert refused.status == 404
        assert "'Same_Name'" in refused.body["message"]
    assert api.delete("Same_Name").status == 200


def test_a_connector_of_kubectl_is_found_by_any_spelling(api: Api, cluster: Cluster, place: str) -> None:
    spec = {"connectorType": "COINBASE", "config": CONFIG}
    kind = {"apiVersion": "apperate.io/v1", "kind": "Connector"}
    cluster.apply({**kind, "metadata": {"name": "by-kubectl"}, "spec": spec}, place)
    assert api.read("BY_KUBECTL").body[0]["id"] == "by-kubectl"
    assert api.put("By-Kubectl", description="seen").status == 200
    assert cluster.get("connector", "by-kubectl", "-n", place)["spec"]["description"] == "seen"
    assert api.create("BY_KUBECTL").status == 409
    assert api.delete("by_kubectl").status == 200


def test_every_problem_at_once(api: Api) -> None:
    bad = {"url": 5, "port": 1, "productId": []}
    answer = api.create("bad", bad, wait="yes", datasetId="-", description=7)
    assert answer.status == 400
    paths = [error["path"] for error in answer.body["errors"]]
    expected = ["config.port", "config.productId", "config.url", "datasetId", "description", "wait"]
    assert sorted(paths) == [f"$.{path}" for path in expected]
    assert api.read("bad").status == 404
    assert api.create("bad", connectorType="KAFKA").body["errors"][0]["path"] == "$.connectorType"


def test_what_only_the_cluster_refuses_names_the_field(api: Api) -> None:
    """`startBlock` may be a number or a text, so the schema lets a list pass; the resource's definition does not."""
    body = {"connectorType": "ETHEREUM", "wait": True, "config": {"url": "http://node.invalid", "startBlock": 1.5}}
    answer = api.call("POST", "/connector/refused", body)
    assert answer.status == 400
    assert answer.body["errors"][0]["path"] == "$.config.startBlock"


def test_secrets_are_kept_apart_and_never_shown(api: Api, cluster: Cluster, place: str) -> None:
    config = {**CONFIG, "key": "the-key-value", "secret": "the-secret-value"}
    assert api.create("guarded", config).status == 200
    resource = cluster.get("connector", "guarded", "-n", place)
    assert resource["spec"]["config"] == CONFIG
    (entry,) = resource["spec"]["configFrom"]
    first = entry["secretRef"]["name"]
    secret = cluster.get("secret", first, "-n", place)
    assert base64.b64decode(secret["data"]["key"]) == b"the-key-value"
    assert secret["metadata"]["ownerReferences"][0]["uid"] == resource["metadata"]["uid"]
    # What is not named stays, null takes back, and the old Secret goes.
    assert api.put("guarded", config={**CONFIG, "passphrase": "p", "key": None}).status == 200
    (entry,) = cluster.get("connector", "guarded", "-n", place)["spec"]["configFrom"]
    second = entry["secretRef"]["name"]
    assert second != first
    assert set(cluster.get("secret", second, "-n", place)["data"]) == {"secret", "passphrase"}
    assert cluster.kubectl("get", "secret", first, "-n", place, "--ignore-not-found") == ""
    shown = json.dumps([api.read("guarded", "?displayConfigs=true").body, api.call("GET", "/connector").body])
    assert "value" not in shown
    assert api.delete("guarded").status == 200
    gone = ("get", "secret", second, "-n", place, "--ignore-not-found")
    eventually(lambda: cluster.kubectl(*gone) == "", what="the Secret goes with its Connector")


def test_no_token_no_answer(api: Api) -> None:
    assert api.as_caller("").read("x").status == 401
    assert api.as_caller("not-a-token").read("x").status == 401
    assert api.as_caller("").call("GET", "/connector?token=%0d%0aX-Evil:1").status == 401
    assert api.as_caller("").call("GET", f"/connector?token={api.token}").status == 200
    assert api.as_caller("").call("GET", "/COINBASE").body[0]["title"] == "Coinbase Tap Schema"
    unknown = api.call("GET", "/KAFKA")
    assert unknown.status == 404
    assert "COINBASE, ETHEREUM, MYSQL" in unknown.body["message"]


def test_kubernetes_rules_decide(api: Api, cluster: Cluster, place: str) -> None:
    assert api.create("of-anna").status == api.create("of-bert").status == 200
    resource = (CONNECTORS[0], ("get", "patch", "delete"))
    anna = api.as_caller(make_account(cluster, place, "anna", [resource], ["of-anna"]))
    bert = api.as_caller(make_account(cluster, place, "bert", [resource], ["of-bert"]))
    for own, other, name in ((anna, bert, "of-anna"), (bert, anna, "of-bert")):
        assert own.read(name).status == 200
        assert [other.read(name).status, other.delete(name).status, other.put(name, wait=False).status] == [403] * 3
        assert own.call("GET", "/connector").status == 403
        assert own.create("new").status == 403
        assert own.delete(name).status == 200


def test_who_may_not_make_secrets_leaves_nothing(api: Api, cluster: Cluster, place: str) -> None:
    plain = api.as_caller(make_account(cluster, place, "plain", [CONNECTORS]))
    refused = plain.create("half", {**CONFIG, "key": "k"})
    assert refused.status == 403
    assert "kept in a Secret" in refused.body["message"]
    assert api.read("half").status == 404


def test_a_hundred_callers_at_once(api: Api) -> None:
    """Each has a connector of its own, and all change one together: no change is lost, and nothing fails."""
    assert api.create("shared").status == 200
    fields: list[dict[str, Any]] = [
        {"description": "d"},
        {"datasetId": "other"},
        {"wait": False},
        {"selectedStream": "s"},
        {"status": "stopped"},
    ]

    def work(number: int) -> list[int]:
        name = f"caller-{number}"
        seen = [api.create(name).status]
        seen += [api.put(name, description=text).status for text in ("one", "two", f"last {number}")]
        seen.append(api.put("shared", **fields[number % len(fields)]).status)
        found = api.read(name)
        assert found.body[0]["description"] == f"last {number}"
        return [*seen, found.status, api.delete(name).status]

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(work, range(100)))
    assert {status for statuses in answers for status in statuses} == {200}
    found = api.read("shared").body[0]
    assert [found[k] for k in ("description", "datasetId", "wait", "selectedStream")] == ["d", "other", False, "s"]
    assert api.delete("shared").status == 200


def test_config_and_secret_change_together(api: Api, cluster: Cluster, place: str) -> None:
    assert api.create("pair", {**CONFIG, "key": "key-0", "secret": "kept"}).status == 200
    with ThreadPoolExecutor(8) as pool:
        puts = pool.map(lambda n: api.put("pair", config={"productId": [f"P-{n}"], "key": f"key-P-{n}"}), range(8))
        assert {answer.status for answer in puts} == {200}
    spec = cluster.get("connector", "pair", "-n", place)["spec"]
    (entry,) = spec["configFrom"]
    data = cluster.get("secret", entry["secretRef"]["name"], "-n", place)["data"]
    assert base64.b64decode(data["key"]).decode() == f"key-{spec['config']['productId'][0]}"
    assert base64.b64decode(data["secret"]) == b"kept"
    left = cluster.get("secrets", "-n", place, "-l", "apperate.io/connector=pair")["items"]
    assert [secret["metadata"]["name"] for secret in left] == [entry["secretRef"]["name"]]
    assert api.delete("pair").status == 200


@pytest.mark.parametrize("name", ["", "There_Is_One"], ids=["any", "existing"])
def test_the_description_is_kept(api: Api, tmp_path: Path, name: str) -> None:
    """schemathesis: no 500, no status and no shape that the OpenAPI document does not have; also of a connector that there is."""
    command = [str(Path(sys.executable).with_name("st"))]
    # Which config a PUT may have depends on the connector, which no schema can say.
    options = ["-H", f"Authorization: Bearer {api.token}", "--exclude-checks", "positive_data_acceptance"]
    options += ["--generation-deterministic", "--phases", "coverage,fuzzing", "--request-timeout", "60"]
    if name:
        assert api.create(name).status == 200
        settings = tmp_path / "schemathesis.toml"
        settings.write_text(f'parameters = {{ "path.name" = "{name}" }}\n')
        command += ["--config-file", str(settings)]
        options += ["--include-operation-id", "readConnector", "--include-operation-id", "updateConnector"]
    command += ["run", f"{api.url}/v1/openapi.json", "--no-color", "-n", "8"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    if name:
        assert api.put(name, description="changed last").status == 200
        assert api.read(name).body[0]["id"] == name
        assert '"status": 200' in "".join(line for line in api.log.read_text().splitlines() if '"PUT ' in line)
        assert api.delete(name).status == 200


def test_schemas_page_and_redirects(api: Api) -> None:
    def get(path: str) -> urllib3.BaseHTTPResponse:
        return urllib3.request("GET", f"{api.url}{path}", retries=False)

    schemas = api.call("GET", "").body
    kinds = ("Coinbase", "Ethereum", "MySQL")
    assert [schema["title"].removesuffix(" Tap Schema") for schema in schemas] == list(kinds)
    assert [api.call("GET", f"/{kind}").body for kind in kinds] == [[schema] for schema in schemas]
    for path, kind in (("", "text/html"), ("page.js", "text/javascript"), ("page.css", "text/css")):
        answer = get(f"/v1/{path}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.data
    assert 'src="page.js"' in get("/v1/").data.decode()
    assert (get("/v1").status, get("/v1").headers["Location"]) == (302, "/v1/")


def test_the_token_is_in_no_log(api: Api) -> None:
    """Every way of sending one, also wrong ones: escaped twice, in the path, in bytes that are not HTTP."""
    assert api.create("logged", {**CONFIG, "key": "the-logged-key"}).status == 200
    nobody = api.as_caller("")
    assert nobody.call("GET", f"/connector/logged?token={api.token}").status == 200
    wrong = [f"x%3Ftoken={api.token}", f"x%253Ftoken={api.token}", f"x&token={api.token}", f"logged/{api.token}"]
    assert {nobody.call("GET", f"/connector/{name}").status for name in wrong} == {401}
    assert nobody.call("GET", f"/{api.token}").status == 404
    assert nobody.call("GET", f"/../{api.token}").status == 404
    speak(api, f"GET /v1/connectors/connector?token={api.token} HTTP/9.9\r\nHost: x\r\n\r\n".encode())
    speak(api, f"BAD\x01 /v1/connectors/connector?token={api.token} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert api.delete("logged").status == 200
    log = api.log.read_text()
    entries = [json.loads(line) for line in log.splitlines()]
    assert {"logged", "<invalid>"} <= {entry.get("connector") for entry in entries}
    assert api.token[:40] not in log
    assert "token=" not in log
    assert "the-logged-key" not in log
    assert '"level": "error"' not in log
