"""Alerts fire by name on a real cluster, each for what it is about. Only their patience is shortened: what they ask for stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.shop import TABLES
from tests.e2e.test_monitoring import configure, connectors, firing, server, until_scraped
from tests.kit.cluster import Kit
from tests.kit.monitoring import build_monitored, read_hurried_rules
from tests.localkube.cluster import LocalKube, eventually
from tests.servers.mysqld import DatabaseServer
from tests.servers.prometheus import PrometheusServer

__all__ = ["connectors", "server"]
pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]
RUNNING: dict[str, Any] = {"selectedStream": "ticker", "status": "running"}
EXPECTED = {
    ("ConnectorStalled", "wrong"),
    ("ConnectorCrashLoop", "crash"),
    ("ConnectorNotReady", "never"),
    ("DatasetRolloutStopped", "moving"),
    ("ConnectorStalled", "shop"),
    ("ConnectorDeadLetters", "shop"),
    ("ConnectorDeadLetters", "single"),
    ("ConnectorIncidents", "shop"),
    ("ConnectorStreamsFailed", "shop"),
    ("ConnectorLag", "shop"),
}


@pytest.mark.usefixtures("connectors")
def test_each_fires_for_what_it_is_about(kit: Kit, server: DatabaseServer, localkube: LocalKube) -> None:
    jobs = build_monitored(localkube.kubeconfig)
    with PrometheusServer(configure(jobs), {"rules.yml": read_hurried_rules()}) as prometheus:
        until_scraped(prometheus, kit)
        eventually(lambda: firing(prometheus, kit).keys() == {("ConnectorStalled", "wrong")}, timeout=120, what="calm")
        break_nulls(kit)
        refuse_selection(kit)
        server.execute(
            "INSERT INTO shop.orders VALUES (2, CONCAT('a', CHAR(0), 'b'))",  # PostgreSQL has no such text
            "ALTER TABLE shop.audit_log DROP PRIMARY KEY",
        )
        seen: set[tuple[str, str]] = set()
        number = 10

        def is_all_told() -> bool:
            nonlocal number
            number += 1
            # What the source wrote long ago and comes only now; the lag is nothing again a moment later, so more of it.
            server.execute(
                "SET TIMESTAMP = UNIX_TIMESTAMP() - 1000", f"INSERT INTO shop.users VALUES ({number}, 'late')"
            )
            seen.update(firing(prometheus, kit))
            if missing := EXPECTED - seen:
                raise LookupError(f"{missing} have not fired; {seen}")
            return True

        eventually(is_all_told, timeout=600, what="all of them fire")
        for (alert, name), one in firing(prometheus, kit).items():
            assert f"{kit.namespace}/{name}" in one["annotations"]["summary"], alert
            assert one["annotations"]["runbook"].startswith("docs/"), alert
    for name in ("crash", "never", "first", "second"):
        kit.delete(name)


def refuse_selection(kit: Kit) -> None:
    """A quota refuses the ConfigMap by which a running execution gets its changed selection: OrdersRefused, which needs a person."""
    left = len(json.loads(kit.kubectl("get", "configmaps", "-o", "json"))["items"])
    kit.kubectl("create", "quota", "no-more", f"--hard=count/configmaps={left}")
    kit.patch("shop", streams={"include": [f"shop.{table}" for table in TABLES], "exclude": ["shop.nothing"]})


def break_nulls(kit: Kit) -> None:
    """Connectors that carry nothing: one crashes, one is never ready, and two have a Dataset that loses its Secret."""
    kit.apply("crash", "ws://null?run=exit-1", **RUNNING)
    kit.apply("never", "ws://null?ready=never", **RUNNING)
    kit.dataset("moving", url="postgresql://nowhere/market")
    for name in ("first", "second"):
        kit.apply(name, **RUNNING, datasetId="moving")
    for name in ("first", "second"):
        kit.wait(name, "running", ready=True)
    url = {"urlFrom": {"secretKeyRef": {"name": "not-there", "key": "url"}}, "url": None}
    kit.kubectl("patch", "dataset", "moving", "--type=merge", "-p", json.dumps({"spec": url}))
