"""What prevents an execution from starting: a missing Secret, quotas, policies; it is reported, and ends when the cause ends."""

from tests.e2e.policies import refuse
from tests.kit.cluster import Kit
from tests.localkube.cluster import eventually


def test_a_missing_secret_is_told_and_the_connector_goes_on_when_it_is_there(kit: Kit) -> None:
    kit.apply("c", "ws://null?needs=key", configFrom=[{"secretRef": {"name": "later"}}])
    kit.wait("c", "pending", reason="SecretNotFound")
    assert '"later" not found' in kit.condition("c")["message"]
    kit.kubectl("create", "secret", "generic", "later", "--from-literal=key=x")
    kit.wait("c", "received", ready=True, timeout=150)


def test_a_quota_is_told_in_the_servers_words(kit: Kit) -> None:
    kit.apply("c", selectedStream="ticker")
    kit.wait("c", "ready")
    kit.kubectl("create", "quota", "none", "--hard=count/jobs.batch=0")
    eventually(lambda: "none" in kit.kubectl("get", "quota"), what="the quota")
    kit.patch("c", status="running")
    kit.wait("c", "running", reason="JobRefused", ready=False)
    assert "exceeded quota" in kit.condition("c")["message"]
    kit.kubectl("delete", "quota", "none")
    kit.wait("c", "running", ready=True)


def test_pods_that_a_quota_refuses_are_told(kit: Kit) -> None:
    kit.apply("c", selectedStream="ticker")
    kit.wait("c", "ready")
    kit.kubectl("create", "quota", "none", "--hard=pods=0")
    kit.patch("c", status="running")
    kit.wait("c", "running", reason="PodRefused", ready=False)
    assert "exceeded quota" in kit.condition("c")["message"]


def test_pods_that_a_policy_refuses_are_told_and_come_when_it_is_gone(kit: Kit) -> None:
    kit.apply("c", selectedStream="ticker")
    kit.wait("c", "ready")
    with refuse(kit, "pods", "no pods here"):
        kit.patch("c", status="running")
        kit.wait("c", "running", reason="PodRefused", ready=False)
        assert "no pods here" in kit.condition("c")["message"]
    kit.wait("c", "running", ready=True)
