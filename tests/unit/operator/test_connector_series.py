"""Series of connectors: one set for each, as the cache shows it at the scrape, gone with the object."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from connector_operator.cluster.cache import ClusterCache, trim
from connector_operator.connector_series import ConnectorSeries, read_standing
from connector_operator.engine.fair_queue import Key
from connector_operator.engine.queue import Priority, WorkQueue


def connector(name: str, state: str = "", **conditions: tuple[str, str]) -> dict[str, Any]:
    status: dict[str, Any] = {
        "conditions": [{"type": kind, "status": said, "reason": why} for kind, (said, why) in conditions.items()]
    }
    if state:
        status["state"] = {"status": state}
    meta = {"namespace": "shop", "name": name, "uid": name, "resourceVersion": "1"}
    return trim({"metadata": meta, "spec": {"connectorType": "MYSQL"}, "status": status})


class Scraped:
    """What a scrape gives of some connectors."""

    def __init__(self, *connectors: dict[str, Any], has_names: bool = True) -> None:
        self.index = {("shop", one["metadata"]["name"]): [one] for one in connectors}
        cache = ClusterCache()
        cache.bind(self.index, {}, {})
        self.queue = WorkQueue()
        self.now = 100.0
        self.series = ConnectorSeries(cache, self.queue, has_names=has_names, clock=lambda: self.now)
        self.registry = CollectorRegistry()
        self.registry.register(self.series)

    def value(self, name: str, /, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"connector_operator_{name}", labels)

    def text(self) -> str:
        return generate_latest(self.registry).decode()


ORDERS = {"namespace": "shop", "name": "orders", "type": "MYSQL"}


def test_each_connector_has_its_series() -> None:
    scraped = Scraped(
        connector("orders", "running", Ready=("False", "CrashBackoff"), Stalled=("False", "NotStalled")),
        connector("people", "errored", Ready=("False", "InvalidConfig"), Stalled=("True", "InvalidConfig")),
        connector("new"),
    )
    assert scraped.value("connector_ready", **ORDERS) == 0
    assert scraped.value("connector_reason", **ORDERS, reason="CrashBackoff") == 1
    assert scraped.value("connector_stalled", **ORDERS) == 0
    assert scraped.value("connector_stalled", namespace="shop", name="people", type="MYSQL") == 1
    assert scraped.value("connector_reason", namespace="shop", name="new", type="MYSQL", reason="") == 1
    assert [scraped.value("connectors", state=state) for state in ("pending", "running", "errored", "ready")] == [
        1,
        1,
        1,
        0,
    ]


def test_an_alternating_reason_does_not_interrupt_the_series_that_an_alert_watches() -> None:
    scraped = Scraped(connector("orders", "running", Ready=("False", "CrashBackoff")))
    before = scraped.value("connector_ready", **ORDERS)
    scraped.index["shop", "orders"] = [connector("orders", "running", Ready=("False", "Starting"))]
    assert (before, scraped.value("connector_ready", **ORDERS)) == (0, 0)
    assert scraped.value("connector_reason", **ORDERS, reason="Starting") == 1
    assert scraped.value("connector_reason", **ORDERS, reason="CrashBackoff") is None


def test_series_go_with_the_object() -> None:
    scraped = Scraped(connector("orders", "running", Ready=("True", "Running")))
    assert scraped.value("connector_ready", **ORDERS) == 1
    del scraped.index["shop", "orders"]
    assert "orders" not in scraped.text()
    assert scraped.value("connectors", state="running") == 0


def test_without_names_only_states_are_counted() -> None:
    scraped = Scraped(connector("orders", "running", Ready=("True", "Running")), has_names=False)
    assert "orders" not in scraped.text()
    assert scraped.value("connectors", state="running") == 1


@pytest.mark.parametrize("status", [None, {}, {"conditions": None}, {"state": None}, {"conditions": [{}]}])
def test_a_status_of_any_shape_is_read(status: Any) -> None:
    standing = read_standing({"status": status})
    assert (standing.state, standing.ready, standing.stalled) == ("pending", False, False)


def test_the_watch_has_an_age_once_it_was_compared() -> None:
    scraped = Scraped()
    assert scraped.value("watch_age_seconds") is None
    scraped.series.note_compared()
    scraped.now += 7
    assert scraped.value("watch_age_seconds") == 7


async def test_the_age_of_the_queue_is_that_of_its_oldest_key(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 50.0
    monkeypatch.setattr("connector_operator.engine.queue.time.monotonic", lambda: now)
    scraped = Scraped()
    assert scraped.value("queue_age_seconds") == 0
    old, new = Key("connector", "shop", "old"), Key("connector", "shop", "new")
    scraped.queue.add(old, Priority.RESYNC)
    now = 53.0
    scraped.queue.add(new, Priority.PERSON)
    scraped.queue.add(old, Priority.PERSON)  # a higher priority does not make it younger
    now = 60.0
    assert scraped.value("queue_age_seconds") == 10
    assert await scraped.queue.get() == new
    assert await scraped.queue.get() == old
    assert scraped.value("queue_age_seconds") == 0
