"""What bad input gets: refused at apply where the API server can tell, else told in the status with what to do."""

import json
import time
from typing import Any

import pytest

from tests.e2e.kit import Kit
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


def test_an_immutable_type_and_an_old_object_that_can_still_be_stopped(kit: Kit) -> None:
    kit.apply("c")
    with pytest.raises(KubectlError) as refused:
        kit.patch("c", connectorType="MYSQL", config=None)
    assert "create another Connector instead" in refused.value.stderr
    kit.patch("c", status="stopped")


def test_datasets_are_checked_at_apply(kit: Kit) -> None:
    for spec, says in [
        ({"url": "sqlite:///rows.db"}, "a file needs a PersistentVolumeClaim"),
        ({"url": "postgresql://user:secret@db/market"}, "put the URL into a Secret"),
        ({"url": "nonsense"}, "spec.url"),
        ({"volumeClaim": "x"}, "give either url or urlFrom"),
    ]:
        with pytest.raises(KubectlError) as refused:
            kit.dataset("bad", **spec)
        assert says in refused.value.stderr


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
    kit.apply("c", "ws://null?discover=exit-1")
    kit.wait("c", "pending", reason="Broken")
    assert "Tried again at" in kit.condition("c", "Reconciling")["message"]
    first = kit.status("c")["discovery"]["failures"]
    eventually(lambda: kit.status("c")["discovery"]["failures"] > first, timeout=60, what="a second attempt")


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
