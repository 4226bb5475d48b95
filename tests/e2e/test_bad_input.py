"""Bad input is refused at apply if the API server can check it; if not, the status says what is wrong and what to do."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kit.cluster import PATIENCE, Kit
from tests.localkube.cluster import KubectlError, eventually

GOOD = {"url": "ws://null", "productId": ["BTC-USD"]}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"connectorType": "ORACLE"}, 'supported values: "COINBASE", "ETHEREUM", "MYSQL"'),
        ({"connectorType": "COINBASE", "config": {**GOOD, "productId": "BTC-USD"}}, "spec.config.productId"),
        ({"connectorType": "COINBASE", "config": {"url": "ws://null"}}, "spec.config.productId: Required value"),
        ({"connectorType": "COINBASE", "config": {**GOOD, "productIds": []}}, 'unknown field "spec.config.productIds"'),
        ({"connectorType": "COINBASE", "config": {**GOOD, "productId": []}}, "spec.config.productId"),
        ({"connectorType": "COINBASE", "config": {**GOOD, "url": "http://feed"}}, "spec.config.url"),
        ({"connectorType": "COINBASE", "config": {**GOOD, "host": "db"}}, "a field of MYSQL, not of COINBASE"),
        ({"connectorType": "COINBASE", "config": GOOD, "status": "paused"}, 'supported values: "running", "stopped"'),
        ({"connectorType": "COINBASE", "config": GOOD, "datasetId": "no spaces"}, "spec.datasetId"),
        ({"config": GOOD}, "spec.connectorType: Required value"),
    ],
    ids=["type", "wrong-type", "missing", "unknown", "empty", "http", "foreign", "status", "dataset-id", "no-type"],
)
def test_what_the_api_server_can_tell_is_refused_at_apply(kit: Kit, spec: dict[str, Any], says: str) -> None:
    manifest = {"apiVersion": "apperate.io/v1", "kind": "Connector", "metadata": {"name": "bad"}, "spec": spec}
    with pytest.raises(KubectlError) as refused:
        kit.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    assert says in refused.value.stderr


@pytest.mark.parametrize("name", ["a.b", "x" * 52, "x" * 200])
def test_a_bad_name_is_refused_with_the_rule(kit: Kit, name: str) -> None:
    with pytest.raises(KubectlError) as refused:
        kit.apply(name)
    assert "at most 51 lower case letters, digits and dashes" in refused.value.stderr


def test_the_longest_name_runs(kit: Kit) -> None:
    kit.run("x" * 51)


def test_an_immutable_type(kit: Kit) -> None:
    kit.apply("c")
    with pytest.raises(KubectlError) as refused:
        kit.patch("c", connectorType="MYSQL", config=None)
    assert "create another Connector instead" in refused.value.stderr


@pytest.fixture
def tightened(kit: Kit) -> Iterator[Callable[[str], None]]:
    """Forbids a value of `spec.config.url` from now on, by a rule as the generated ones are."""
    crd = "connectors.apperate.io"
    version = kit.cluster.get("crd", crd)["spec"]["versions"][0]
    rules = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"]
    place = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations"

    def change(*operations: dict[str, Any]) -> None:
        kit.kubectl("patch", "crd", crd, "--type=json", "-p", json.dumps(operations))

    def forbid(url: str) -> None:
        unchanged = rules[0]["rule"].split(" || !(has(self.config)")[0]
        rule = f"{unchanged} || !has(self.config.url) || self.config.url != {json.dumps(url)}"
        message = {"message": "this URL is not allowed any more", "optionalOldSelf": True}
        change({"op": "add", "path": f"{place}/-", "value": {"rule": rule, **message}})

    yield forbid
    change({"op": "replace", "path": place, "value": rules})


def test_an_object_older_than_a_rule_can_still_be_stopped_and_mended(
    kit: Kit, tightened: Callable[[str], None]
) -> None:
    url = f"ws://{kit.namespace}"  # nobody else's
    kit.run("old", url)
    tightened(url)

    def is_refused() -> bool:
        try:
            kit.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(kit.connector("new", url)))
        except KubectlError as refused:
            return "this URL is not allowed any more" in refused.stderr
        return False

    eventually(is_refused, what="the rule is in force")
    kit.patch("old", status="stopped")
    kit.wait("old", "stopped", ready=True)
    with pytest.raises(KubectlError, match="this URL is not allowed any more"):
        kit.patch("old", config={"productId": ["ETH-USD"]})
    kit.patch("old", config={"url": "ws://allowed"}, status="running")
    kit.wait("old", "running", ready=True)


def test_datasets_are_checked_at_apply(kit: Kit) -> None:
    refused_specs: list[tuple[dict[str, Any], str]] = [
        ({"url": "sqlite:///rows.db"}, "name a PersistentVolumeClaim"),
        ({"url": "https://host/records"}, "name a PersistentVolumeClaim"),
        ({"url": "postgresql://user:secret@db/market"}, "put the URL into a Secret"),
        ({"url": "nonsense"}, "spec.url"),
        ({"url": "mysql://db/market"}, "expected a URL that starts with sqlite:"),
        ({"url": "sqlite://market.db", "volumeClaim": "rows"}, "expected sqlite:///file.db"),
        ({"url": "postgresql:db"}, "expected postgresql://user@host"),
        ({"volumeClaim": "x"}, "give either url or urlFrom"),
        ({"url": "kafka://b:9092/t", "options": {"plugin.library.paths": "x"}}, "Kafka takes here format"),
        ({"url": "kafka://b:9092/t", "options": {"sasl.password": "x"}}, "secrets come from optionsFrom"),
        ({"url": "sqlite:///x.db", "volumeClaim": "x", "options": {"linger.ms": "5"}}, "SQLite has no options"),
        (
            {"url": "http://h/x", "volumeClaim": "x", "optionsFrom": [{"secretRef": {"name": "s"}}]},
            "HTTP has no options",
        ),
    ]
    for spec, says in refused_specs:
        with pytest.raises(KubectlError) as refused:
            kit.dataset("bad", **spec)
        assert says in refused.value.stderr


def test_a_dataset_that_only_the_operator_can_refuse_replaces_nobody(kit: Kit) -> None:
    kit.run("c")
    kit.wait_condition("c", "DatasetResolved", "Resolved")
    pod = kit.live_pod("c")["metadata"]["uid"]
    kit.dataset("rows", url="postgresql://nowhere:port/market")
    said = kit.wait_condition("c", "DatasetResolved", "DatasetInvalid")
    assert "a port must be a number" in said["message"]
    assert kit.live_pod("c")["metadata"]["uid"] == pod
    kit.dataset("rows")
    kit.wait_condition("c", "DatasetResolved", "Resolved")
    kit.wait("c", "running", ready=True)
    assert kit.live_pod("c")["metadata"]["uid"] == pod


@pytest.mark.parametrize("size", [133_000, 330_000])
def test_a_long_abi_reaches_the_runner(kit: Kit, size: int) -> None:
    abi = json.dumps([{"type": "event", "name": "X" * 50, "inputs": []}] * (size // 95))
    config = {"url": "ws://null", "abi": abi}
    manifest = kit.connector("c") | {
        "spec": {"connectorType": "ETHEREUM", "config": config, "selectedStream": "ticker"}
    }
    manifest["spec"] |= {"datasetId": "rows", "status": "running"}
    kit.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(manifest))
    kit.wait("c", "running", ready=True)


def test_a_config_too_long_for_a_process_is_told(kit: Kit) -> None:
    spec = {"connectorType": "ETHEREUM", "config": {"url": "ws://null", "abi": "x" * 450_000}}
    manifest = kit.connector("c") | {"spec": spec}
    kit.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(manifest))
    kit.wait("c", "errored", reason="InvalidConfig")
    assert "at most 400000 reach a runner" in kit.condition("c", "ConfigValid")["message"]


def test_what_only_the_operator_can_tell_is_errored_with_the_path(kit: Kit) -> None:
    kit.apply("account", runner={"serviceAccountName": "admin"})
    kit.wait("account", "errored", reason="InvalidConfig", ready=False)
    said = kit.condition("account", "ConfigValid")["message"]
    assert "spec.runner.serviceAccountName: 'admin' may not be used; allowed are allowed" in said
    assert kit.condition("account", "Stalled")["status"] == "True"


def test_an_unknown_stream_lists_the_streams(kit: Kit) -> None:
    kit.apply("c", selectedStream="nonsense", status="running")
    kit.wait("c", "errored", reason="UnknownStream", ready=False)
    assert "ticker, matches" in kit.condition("c")["message"]
    assert kit.jobs("c") == []
    kit.patch("c", selectedStream="matches")
    kit.wait("c", "running", ready=True)


def test_without_a_dataset_it_stays_received_and_goes_on_when_there_is_one(kit: Kit) -> None:
    kit.apply("c", datasetId="LATER", selectedStream="ticker", status="running")
    kit.wait("c", "received", reason="DatasetNotFound")
    assert "'later'" in kit.condition("c", "DatasetResolved")["message"]
    kit.dataset("later")
    kit.wait("c", "running", ready=True)


def test_an_unreachable_source_is_pending_and_heals_by_itself(kit: Kit) -> None:
    kit.kubectl("create", "secret", "generic", "source", "--from-literal=state=down")
    kit.apply("c", "ws://null?discover=without-up", configFrom=[{"secretRef": {"name": "source"}}])
    kit.wait("c", "pending", reason="Broken")
    assert "Tried again at" in kit.condition("c", "Reconciling")["message"]
    first = kit.status("c")["discovery"]
    eventually(
        lambda: kit.status("c")["discovery"]["failures"] > first["failures"], timeout=PATIENCE, what="a second attempt"
    )
    assert kit.status("c")["discovery"]["retryAt"] > first["retryAt"]
    kit.kubectl("patch", "secret", "source", "-p", json.dumps({"stringData": {"up": "yes"}}))
    kit.wait("c", "received", ready=True)
    assert "failures" not in kit.status("c")["discovery"]


@pytest.mark.fault
def test_a_source_that_does_not_answer_is_told_at_the_deadline_and_asked_again(kit: Kit) -> None:
    """The deadline (20 s here) is the pod's: what remains of it must still say why."""
    kit.apply("c", "ws://null?discover=hang", selectedStream="ticker", status="running")
    kit.wait("c", "pending", reason="DiscoveryTimedOut")
    assert "did not answer in time" in kit.condition("c")["message"]
    kit.patch("c", config={"url": "ws://null"})
    kit.wait("c", "running", ready=True)


def test_what_a_person_must_mend_is_errored_until_the_spec_changes(kit: Kit) -> None:
    kit.apply("c", "ws://null?discover=exit-78")
    kit.wait("c", "errored", reason="BadCredentials")
    kit.patch("c", config={"url": "ws://null"})
    kit.wait("c", "received", ready=True)


def test_ten_thousand_streams_are_capped_with_the_selected_one_among_them(kit: Kit) -> None:
    kit.apply("c", "ws://null?streams=10000")
    status = kit.wait("c", "received")
    assert (len(status["streams"]), status["streamsTotal"]) == (500, 10002)
    kit.patch("c", selectedStream="table09999")
    status = kit.wait("c", "ready")
    assert status["streams"][-1]["id"] == "table09999"


def test_a_cut_log_is_never_taken_for_the_list(kit: Kit) -> None:
    kit.apply("c", "ws://null?discover=garbled")
    kit.wait("c", "pending", reason="CatalogueLost")


def test_stop_during_discovery_twice_and_delete_while_starting(kit: Kit) -> None:
    kit.apply("c", "ws://null?discover=hang", status="running", selectedStream="ticker")
    kit.wait("c", "pending", reason="Discovering")
    kit.patch("c", status="stopped")
    kit.wait("c", "stopped", ready=True)
    kit.patch("c", status="stopped")
    kit.wait("c", "stopped", ready=True)
    kit.apply("starting", "ws://null?ready=never", status="running", selectedStream="ticker")
    kit.wait("starting", "running", reason="Starting")
    kit.delete("starting")
    kit.delete("c")
    kit.wait_gone("starting")
    kit.wait_gone("c")


def test_a_hundred_rapid_patches_end_in_the_last(kit: Kit) -> None:
    kit.run("c")
    run = kit.status("c")["run"]
    path = f"/apis/apperate.io/v1/namespaces/{kit.namespace}/connectors/c"
    begun = time.monotonic()
    for number in range(100):
        kit.api.merge(path, {"spec": {"status": "stopped" if number % 2 else "running"}})
    kit.api.merge(path, {"spec": {"restartedAt": "last", "status": "running"}})
    seconds = time.monotonic() - begun
    status = kit.wait("c", "running", ready=True)
    assert len(kit.jobs("c")) == 1
    # What is asked for between two executions counts as one; each takes a pod's start and end, half a second at the least.
    assert status["run"] - run <= min(3 + 2 * seconds, 25)
