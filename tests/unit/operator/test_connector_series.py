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
from connector_operator.resources.reasons import Reason


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
        self.datasets: dict[str, list[dict[str, Any]]] = {}
        cache.bind(self.index, self.datasets, {})
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


def test_a_part_that_is_not_as_it_should_be_is_named_while_the_whole_is_ready() -> None:
    scraped = Scraped(
        connector(
            "orders", "running", Ready=("True", "Running"), Stalled=("False", "NotStalled"), Reconciling=("False", "Settled"),
            RunnerUpToDate=("False", "UpdateFailed"), SelectionApplied=("Unknown", "SelectionUnconfirmed"),
            RunnerHealthy=("Unknown", "NoExecution"), ConfigValid=("True", "Valid"),
        )
    )  # fmt: skip
    lines = [
        line for line in scraped.text().splitlines() if line.startswith("connector_operator_connector_condition_unmet{")
    ]
    labels = 'name="orders",namespace="shop",reason="%s",type="MYSQL"} 1.0'
    assert sorted(lines) == [
        'connector_operator_connector_condition_unmet{condition="RunnerUpToDate",' + labels % "UpdateFailed",
        'connector_operator_connector_condition_unmet{condition="SelectionApplied",' + labels % "SelectionUnconfirmed",
    ]


def test_a_part_does_not_repeat_what_ready_says() -> None:
    invalid = ("False", "InvalidConfig")
    scraped = Scraped(connector("orders", "errored", Ready=invalid, ConfigValid=invalid, Discovered=invalid))
    assert "connector_condition_unmet{" not in scraped.text()


def test_a_dataset_whose_change_has_stopped_is_named() -> None:
    scraped = Scraped()
    dataset = connector(
        "rows", RolledOut=("False", "Waiting"), Reached=("Unknown", "NotTried"), Ready=("True", "Valid")
    )
    scraped.datasets["shop"] = [dataset]
    labels = {"namespace": "shop", "name": "rows"}
    assert scraped.value("dataset_condition_unmet", **labels, condition="RolledOut", reason="Waiting") == 1
    assert scraped.text().count("connector_operator_dataset_condition_unmet{") == 1
    del scraped.datasets["shop"]
    assert "connector_operator_dataset_condition_unmet{" not in scraped.text()


def test_each_reason_has_its_remedy() -> None:
    texts = {r.value: {"reason": r.value, "meaning": r.meaning, "remedy": r.remedy} for r in Reason}
    scraped = Scraped()
    assert {reason for reason, labels in texts.items() if scraped.value("reason_info", **labels) == 1} == set(Reason)
    assert "reason_info" not in Scraped(has_names=False).text()


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
