"""The console's calls on a real API server: pages, changes as a stream, one connector, rights. No operator is needed for this."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import urllib3

from tests.kit.cluster import ROOT
from tests.kit.etcd import forget_history
from tests.kit.http_api import CONFIG, CONNECTORS, SECRETS, Answer, Api, make_account, serving
from tests.localkube.cluster import Cluster, LocalKube

READS = (
    ("events", ("list",)),
    ("pods", ("list",)),
    ("jobs.batch", ("list",)),
    ("datasets.apperate.io", ("list",)),
)


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    """A namespace for this file's tests."""
    cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/connectors.apperate.io", "--timeout=60s")
    name = f"test-console-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def api(cluster: Cluster, place: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API, called by an account that has all rights that the console uses."""
    token = make_account(cluster, place, "console", (CONNECTORS, SECRETS, *READS))
    options = ("--wait", "0", "--cluster-timeout", "120")
    with serving(cluster.kubeconfig, place, tmp_path_factory.mktemp("api"), *options) as api:
        yield api.as_caller(token)


def ask(api: Api, path: str, method: str = "GET") -> Answer:
    headers = {"Authorization": f"Bearer {api.token}"} if api.token else {}
    answer = urllib3.request(method, f"{api.url}/v1/fleet{path}", headers=headers, retries=False, timeout=120)
    return Answer(answer.status, json.loads(answer.data))


def follow(api: Api, version: str) -> Iterator[dict[str, Any]]:
    """The events of the stream; empty lines are left out."""
    pool = urllib3.PoolManager()
    headers = {"Authorization": f"Bearer {api.token}"}
    url = f"{api.url}/v1/fleet/watch?version={version}"
    answer = pool.request("GET", url, headers=headers, preload_content=False, timeout=120, retries=False)
    with closing(answer):
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        rest = b""
        for chunk in answer.stream(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (json.loads(line) for line in lines if line)


def find(events: Iterator[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The next event of a kind about a connector; others are passed over."""
    for event in events:
        if event["event"] == kind and name in {event.get("name"), event.get("connector", {}).get("name")}:
            return event
    raise AssertionError(f"the stream ended before {name} was {kind}")


def test_the_fleet_in_pages_and_its_changes(api: Api) -> None:
    for number in range(5):
        assert api.create(f"Paged_{number}").status == 200
    first = ask(api, "?limit=2").body
    second = ask(api, f"?limit=2&continue={first['continue']}").body
    third = ask(api, f"?limit=2&continue={second['continue']}").body
    found = [one["id"] for page in (first, second, third) for one in page["connectors"]]
    assert found == [f"Paged_{number}" for number in range(5)]
    assert third["continue"] == ""
    events = follow(api, third["version"])
    assert api.put("Paged_0", status="running", selectedStream="ticker").status == 200
    changed = find(events, "changed", "paged-0")["connector"]
    assert (changed["id"], changed["asked"], changed["streams"]) == ("Paged_0", "running", "ticker")
    for number in range(5):
        assert api.delete(f"Paged_{number}").status == 200
    gone = find(events, "deleted", "paged-4")
    assert gone["id"] == "Paged_4"
    assert int(gone["version"]) > int(third["version"])
    events.close()  # type: ignore[attr-defined]


def test_a_version_that_is_too_old_is_told(api: Api) -> None:
    """As the API server answers when it has forgotten the changes since; the console reads the list again."""
    answer = ask(api, "/watch?version=1")
    assert (answer.status, answer.body) == (200, {"event": "expired"})


def make_older(after: str) -> str:
    """The token for the next page as it would be of a list that was begun long ago: the API server keeps recent states in memory."""
    token = json.loads(urlsafe_b64decode(after + "=" * (-len(after) % 4)))
    return urlsafe_b64encode(json.dumps({**token, "rv": 2}).encode()).decode().rstrip("=")


def test_a_list_whose_state_was_forgotten_meanwhile_is_begun_again(api: Api, localkube: LocalKube) -> None:
    """The console reads the first page again; a 502 would look like a cluster that has failed."""
    for number in range(3):
        assert api.create(f"Forgotten_{number}").status == 200
    first = ask(api, "?limit=1").body
    forget_history(localkube)
    answer = ask(api, f"?limit=1&continue={quote(make_older(first['continue']))}")
    assert (answer.status, "begin again" in answer.body["detail"]) == (410, True), answer
    for number in range(3):
        assert api.delete(f"Forgotten_{number}").status == 200


def test_one_connector_and_what_belongs_to_it(api: Api, cluster: Cluster, place: str) -> None:
    assert api.create("Detail", {**CONFIG, "key": "the-hidden-key", "secret": "s", "passphrase": "p"}).status == 200
    detail = ask(api, "/connector/Detail").body
    assert (detail["id"], detail["name"], detail["config"]) == ("Detail", "detail", CONFIG)
    assert "the-hidden-key" not in json.dumps(detail)
    assert "kind: Connector" in detail["manifest"]
    uid = cluster.get("connector", "detail", "-n", place)["metadata"]["uid"]
    about = {"apiVersion": "apperate.io/v1", "kind": "Connector", "name": "detail", "namespace": place, "uid": uid}
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "detail.1"}, "involvedObject": about, "type": "Warning",
        "reason": "CrashLoop", "message": "by a test", "count": 3, "lastTimestamp": "2026-11-01T00:00:00Z",
    }  # fmt: skip
    other = {**event, "metadata": {"name": "other.1"}, "involvedObject": {**about, "uid": "another"}}
    for one in (event, other):
        cluster.apply(one, place)
    events = [one for one in ask(api, "/connector/Detail/events").body if one["message"] == "by a test"]
    assert [(one["reason"], one["count"], one["warning"]) for one in events] == [("CrashLoop", 3, True)]
    assert ask(api, "/connector/Detail/executions").body == []
    spec = {"url": "sqlite:///x.db", "volumeClaim": "any"}
    kind = {"apiVersion": "apperate.io/v1", "kind": "Dataset", "metadata": {"name": "rows"}}
    cluster.apply({**kind, "spec": spec}, place)
    assert ask(api, "/datasets").body == [{"name": "rows"}]
    assert {"Running", "CrashLoop"} <= {one["reason"] for one in ask(api, "/reasons").body}


def test_restart_and_rediscover_ask_anew_each_time(api: Api, cluster: Cluster, place: str) -> None:
    assert api.create("Again").status == 200
    stamps = []
    for _ in range(2):
        for verb in ("restart", "rediscover"):
            assert ask(api, f"/connector/Again/{verb}", "POST").status == 200
        spec = cluster.get("connector", "again", "-n", place)["spec"]
        stamps += [spec["restartedAt"], spec["rediscoverAt"]]
    assert len(set(stamps)) == 4
    assert ask(api, "/connector/nobody/restart", "POST").status == 404


def test_what_is_refused_is_told_before_a_stream_begins(api: Api, cluster: Cluster, place: str) -> None:
    paths = ["", "/watch?version=1", "/datasets", *(f"/connector/x{part}" for part in ("", "/events", "/executions"))]
    assert {ask(api.as_caller(""), path).status for path in paths} == {401}
    assert {ask(api.as_caller("wrong"), path).status for path in paths} == {401}
    reader = api.as_caller(make_account(cluster, place, "reader", [(CONNECTORS[0], ("get", "list"))]))
    assert api.create("Seen").status == 200
    assert ask(reader, "").status == ask(reader, "/connector/Seen").status == 200
    for path in ("/watch?version=1", "/datasets", "/connector/Seen/events", "/connector/Seen/executions"):
        refused = ask(reader, path)
        assert refused.status == 403
        assert "cannot" in refused.body["message"]
    assert ask(reader, "/connector/Seen/restart", "POST").status == 403


def test_a_page_of_another_site_changes_nothing(api: Api, cluster: Cluster, place: str) -> None:
    """Behind a proxy that logs people in by a cookie, the browser would send it along with a form of any page."""
    assert api.create("Forged").status == 200
    for site, status in {"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200}.items():
        headers = {"Authorization": f"Bearer {api.token}", "Sec-Fetch-Site": site}
        answer = urllib3.request("POST", f"{api.url}/v1/fleet/connector/Forged/restart", headers=headers, retries=False)
        assert (site, answer.status) == (site, status)
        assert ("restartedAt" in cluster.get("connector", "forged", "-n", place)["spec"]) == (
            site in {"same-origin", "none"}
        )
    assert (
        urllib3.request("GET", f"{api.url}/v1/fleet", headers={**headers, "Sec-Fetch-Site": "cross-site"}).status == 200
    )
    own = api.url.partition("://")[2]
    for named, status in {
        "http://elsewhere.example": 403,
        "null": 403,
        f"http://{own}": 200,
        f"http://{own}0": 403,
        "https://console.example": 200,
    }.items():
        plain = {"Authorization": headers["Authorization"], "Origin": named, "X-Forwarded-Host": "console.example"}
        answer = urllib3.request("POST", f"{api.url}/v1/fleet/connector/Forged/restart", headers=plain, retries=False)
        assert (named, answer.status) == (named, status)
    assert api.delete("Forged").status == 200


@pytest.mark.parametrize(
    "path", ["?limit=0", "?limit=501", "?limit=x", "?limit=²", "/watch", "/watch?version=x", "/connector/a.b"]
)
def test_bad_parameters(api: Api, path: str) -> None:
    assert ask(api, path).status == 400


def test_a_stream_ends_with_the_api(api: Api, cluster: Cluster, place: str, tmp_path: Path) -> None:
    """It would hold up the shutdown otherwise; `serving` fails if the process does not end by itself."""
    with serving(cluster.kubeconfig, place, tmp_path) as short:
        events = follow(short.as_caller(api.token), ask(api, "").body["version"])
        assert api.create("Until_The_End").status == 200
        assert find(events, "changed", "until-the-end")
    assert "expired" not in [event["event"] for event in events]
