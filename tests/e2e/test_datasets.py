"""What a Dataset does to the connectors that use it: a change reaches them one by one, and a missing Dataset stops no connector."""

from tests.e2e.policies import refuse
from tests.kit.cluster import Kit


def test_a_changed_dataset_reaches_its_connectors_one_by_one(kit: Kit) -> None:
    kit.run("a")
    kit.run("b")
    kit.dataset("rows", url="postgresql://elsewhere/market")
    kit.wait_next_run("a", 1)
    kit.wait_next_run("b", 1)
    rolled = kit.api.get(f"/apis/apperate.io/v1/namespaces/{kit.namespace}/datasets/rows")["status"]
    assert rolled["connectors"] == 2
    first, second = (kit.jobs(name)[-1]["metadata"]["creationTimestamp"] for name in "ab")
    assert first < second


def test_a_connector_whose_job_is_refused_does_not_keep_the_turn_of_those_after_it(kit: Kit) -> None:
    kit.run("a")
    kit.run("b")
    pod = kit.live_pod("a")["metadata"]["uid"]
    with refuse(kit, "jobs", "not for a", '!object.metadata.name.startsWith("a-")', probe="a-probe"):
        kit.dataset("rows", url="postgresql://elsewhere/market")
        kit.wait_next_run("b", 1)
        kit.wait("a", "running", reason="JobRefused", ready=False)
        assert "not for a" in kit.condition("a")["message"]
        assert kit.live_pod("a")["metadata"]["uid"] == pod
        assert kit.status("a")["run"] == 1
    kit.wait_next_run("a", 1)


def test_a_dataset_deleted_in_use_is_told_and_the_execution_goes_on(kit: Kit) -> None:
    kit.run("c")
    pod = kit.live_pod("c")["metadata"]["uid"]
    kit.kubectl("delete", "dataset", "rows")
    kit.wait_condition("c", "DatasetResolved", "DatasetNotFound")
    assert kit.status("c")["state"]["status"] == "running"
    assert kit.live_pod("c")["metadata"]["uid"] == pod
