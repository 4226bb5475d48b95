"""One discovery for all connectors of a namespace that ask for the same list of streams."""

import json
from collections import Counter

from tests.kit.cluster import PATIENCE, Audit, Kit
from tests.localkube.cluster import LocalKube, eventually


def apply_all(kit: Kit, urls: dict[str, str], **spec: object) -> None:
    items = [kit.connector(name, url, **spec) for name, url in urls.items()]
    kit.kubectl(
        "apply", "--server-side", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )


def attempts(kit: Kit, names: list[str]) -> Counter[str]:
    """How many discoveries of its own each connector has made."""
    return Counter({name: kit.status(name).get("discovery", {}).get("attempts", 0) for name in names})


def test_twenty_connectors_with_two_configurations_make_two_discoveries(kit: Kit, localkube: LocalKube) -> None:
    kit.wait_dataset()
    audit = Audit(localkube)
    names = [f"c-{number:02}" for number in range(20)]
    apply_all(kit, {name: f"ws://null?config={number % 2}" for number, name in enumerate(names)})
    for name in names:
        status = kit.wait(name, "received", ready=True)
        assert [stream["id"] for stream in status["streams"]] == ["ticker", "matches"]
    assert sum(attempts(kit, names).values()) == 2
    # A Job is deleted after its answer is written down.
    eventually(lambda: audit.count(kit.namespace)["delete jobs"] >= 2, what="the Jobs of both discoveries are deleted")
    asked = audit.count(kit.namespace)
    assert asked["create jobs"] == asked["get pods/log"] == asked["delete jobs"] == 2

    # One that comes now takes the answer; one that asks outright, or has another account or Secret, gets its own.
    kit.apply("late", "ws://null?config=0")
    kit.wait("late", "received", ready=True)
    kit.apply("asks", "ws://null?config=0", rediscoverAt="now")
    kit.apply("other", "ws://null?config=0", runner={"podLabels": {"team": "other"}})
    for name in ("asks", "other"):
        kit.wait(name, "received", ready=True)
    kit.patch("c-00", rediscoverAt="now")
    eventually(lambda: attempts(kit, ["c-00"])["c-00"] == 2, timeout=PATIENCE, what="c-00 lists its streams again")
    assert attempts(kit, ["late", "asks", "other"]) == Counter({"late": 0, "asks": 1, "other": 1})


def test_who_waits_goes_on_when_the_owner_of_the_discovery_is_deleted(kit: Kit) -> None:
    kit.apply("first", "ws://null?discover=hang")
    kit.wait("first", "pending", reason="Discovering")
    eventually(lambda: kit.jobs("first", "discovery"), what="the first connector's discovery")
    kit.apply("second", "ws://null?discover=hang")
    kit.wait("second", "pending", reason="Discovering")
    said = eventually(
        lambda: (m := kit.condition("second").get("message", "")) and "Connector first lists" in m and m,
        what="the second waits for the first",
    )
    assert "its list serves this one, too" in said
    assert kit.jobs("second", "discovery") == []
    kit.delete("first")
    eventually(lambda: kit.jobs("second", "discovery"), timeout=PATIENCE, what="a discovery of the second's own")


def test_a_selection_that_the_answer_does_not_settle_is_asked_for_again(kit: Kit) -> None:
    url = "ws://null?streams=10000"
    kit.apply("plain", url)
    kit.wait("plain", "received", ready=True)
    kit.apply("beyond", url, selectedStream="table09999")
    status = kit.wait("beyond", "ready", ready=True)
    assert "table09999" in {stream["id"] for stream in status["streams"]}
    assert attempts(kit, ["plain", "beyond"]) == Counter({"plain": 1, "beyond": 1})


def test_who_waits_learns_why_the_discovery_failed(kit: Kit) -> None:
    """And all try again together, with one discovery."""
    kit.kubectl("create", "secret", "generic", "source", "--from-literal=state=down")
    names = [f"c-{number}" for number in range(6)]
    secret = [{"secretRef": {"name": "source"}}]
    apply_all(kit, dict.fromkeys(names, "ws://null?discover=without-up"), configFrom=secret)
    for name in names:
        kit.wait(name, "pending", reason="Broken")
    kit.kubectl("patch", "secret", "source", "-p", json.dumps({"stringData": {"up": "yes"}}))
    for name in names:
        kit.wait(name, "received", ready=True)
    made, tries = sum(attempts(kit, names).values()), 12
    assert made <= tries, f"{made} discoveries: each round of tries is to need one or two, not {len(names)}"
