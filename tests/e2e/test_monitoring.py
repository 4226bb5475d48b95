"""A real Prometheus scrapes the real operator, runners and API: every query is answered, an alert fires by name, and a message reaches a person."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector_operator.resources.reasons import Reason
from generate.monitoring.alerts import ALERTS
from generate.monitoring.panels import ROWS, Panel, Query
from tests.e2e.shop import PATIENCE, TABLES, apply, open_shop
from tests.kit.cluster import ROOT, Kit
from tests.kit.monitoring import PATIENT, build_monitored, read_block, read_documented, read_rules
from tests.localkube.cluster import LocalKube, eventually
from tests.servers.mysql import mysql
from tests.servers.mysqld import DatabaseServer
from tests.servers.postgresql import PostgresServer
from tests.servers.prometheus import AlertmanagerServer, PrometheusServer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]  # the first run builds Prometheus and the Alertmanager
CHAT_FILE = "/etc/alertmanager/secrets/chat/url"
ANSWERED = {"Not ready, and why", "Not met", "Streams by state", "Rows per second by stream"}
"""Panels that may be empty elsewhere, but not with these connectors."""


class Chat:
    """What a chat's webhook was sent: title and text of each message."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                messages.extend((one["title"], one["text"]) for one in sent["attachments"])
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *arguments: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@contextmanager
def open_chat() -> Iterator[Chat]:
    chat = Chat()
    thread = threading.Thread(target=chat.server.serve_forever)
    thread.start()
    try:
        yield chat
    finally:
        chat.server.shutdown()
        thread.join()
        chat.server.server_close()


@contextmanager
def open_alertmanager(chat: Chat) -> Iterator[AlertmanagerServer]:
    """With the configuration of the documentation, but for the file's place and the patience."""
    shown = read_block("alertmanager.yml")
    assert CHAT_FILE in shown
    assert "group_wait: 30s" in shown
    configuration = shown.replace(CHAT_FILE, "chat-url").replace("group_wait: 30s", "group_wait: 1s")
    with AlertmanagerServer(configuration, {"chat-url": chat.url}) as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with DatabaseServer(mysql(), ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]) as server:
        yield server


@pytest.fixture
def connectors(kit: Kit, server: DatabaseServer, localkube: LocalKube) -> Iterator[None]:
    """A selection of streams (shop), a single stream (single), and one that a person must correct (wrong), with the API beside them."""
    with open_shop(kit, server, localkube) as shop, PostgresServer() as postgres:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rows"}}
        kit.kubectl("apply", "-f", "-", input=json.dumps({**secret, "stringData": {"url": postgres.url()}}))
        url = {"secretKeyRef": {"name": "rows", "key": "url"}}
        kit.dataset("rows", urlFrom=url, table="many_{name}")
        kit.dataset("one", urlFrom=url, table="one")
        kit.kubectl("apply", "-k", str(ROOT / "manifests/localkube-api"))
        apply(kit, shop, streams={"include": [f"shop.{table}" for table in TABLES]}, status="running")
        single = kit.get("shop")["spec"] | {"selectedStream": "shop.orders", "datasetId": "one"}
        del single["streams"]
        kit.kubectl("apply", "-f", "-", input=json.dumps({**kit.connector("single"), "spec": single}))
        kit.apply("wrong", selectedStream="nonsense", status="running")
        kit.kubectl("rollout", "status", "deployment/connectors-api", "--timeout=120s")
        for name in ("shop", "single"):
            kit.wait(name, "running", ready=True, timeout=PATIENCE)
        kit.wait("wrong", "errored", reason="UnknownStream", timeout=PATIENCE)
        yield
        for name in ("shop", "single"):
            kit.delete(name)
            kit.wait_gone(name)


def configure(jobs: list[dict[str, Any]], alertmanager: str = "") -> dict[str, Any]:
    managers = [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
    return {"global": PATIENT, "scrape_configs": jobs, "alerting": {"alertmanagers": managers}}


def fill_in(expression: str, kit: Kit) -> str:
    """A query of the dashboard with what is chosen at its top."""
    chosen = {"namespace": kit.namespace, "connector": "shop", "__rate_interval": "1m", "__range": "1h"}
    return re.sub(r"\$(\w+)", lambda match: chosen[match[1]], expression)


def answers(prometheus: PrometheusServer, kit: Kit, queries: tuple[Query, ...]) -> list[tuple[Query, dict[str, Any]]]:
    """What queries of the dashboard are answered with now."""
    return [(query, series) for query in queries for series in prometheus.query(fill_in(query.expression, kit))]


def until_scraped(prometheus: PrometheusServer, kit: Kit) -> None:
    """Until the operator, both runners and the API are scraped, with the names of the connectors."""

    def check() -> bool:
        expected = {
            f'connector_operator_connector_ready{{namespace="{kit.namespace}",name="wrong"}}': 1,
            f'connector_streams{{namespace="{kit.namespace}",name="shop",state="selected"}}': 1,
            f'connector_commits_total{{namespace="{kit.namespace}",name="single",stream="shop.orders"}}': 1,
            f'connector_commits_total{{namespace="{kit.namespace}",name="shop",stream=""}}': 1,
            f'count(connectors_api_requests_created{{namespace="{kit.namespace}"}}) or up{{namespace="{kit.namespace}",pod=~"connectors-api-.*"}} == 1': 1,
        }
        found = {expression: len(prometheus.query(expression)) for expression in expected}
        if found != expected:
            raise LookupError(f"{found}; targets: {[(t['labels'], t['lastError']) for t in prometheus.targets()]}")
        return True

    eventually(check, timeout=PATIENCE, what="everything is scraped")


def check_panel(prometheus: PrometheusServer, kit: Kit, panel: Panel) -> None:
    """Each query is answered without an error, with something where it must be, and with the labels of its legend."""
    needed: list[tuple[Query, ...]] = [(query,) for query in panel.queries if not query.sparse]
    if panel.title in ANSWERED:
        needed.append(panel.queries)
    for queries in needed:
        eventually(lambda some=queries: answers(prometheus, kit, some), what=f"an answer to {queries}")
    for query, series in answers(prometheus, kit, panel.queries):
        assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= set(series["metric"]), query


def check_dashboard(prometheus: PrometheusServer, kit: Kit) -> None:
    panels = [panel for row in ROWS.values() for panel in row]
    assert {panel.title for panel in panels} >= ANSWERED
    for panel in panels:
        check_panel(prometheus, kit, panel)


def firing(prometheus: PrometheusServer, kit: Kit) -> dict[tuple[str, str], dict[str, Any]]:
    """Alerts that fire in this namespace, by their name and their object's."""
    return {
        (alert["labels"]["alertname"], alert["labels"]["name"]): alert
        for alert in prometheus.alerts()
        if alert["state"] == "firing" and alert["labels"].get("namespace") == kit.namespace
    }


def check_alert(prometheus: PrometheusServer, kit: Kit) -> None:
    alert = eventually(
        lambda: firing(prometheus, kit).get(("ConnectorStalled", "wrong")), timeout=240, what="the alert for wrong"
    )
    annotations = alert["annotations"]
    assert annotations["summary"] == f"Connector {kit.namespace}/wrong needs a person: UnknownStream"
    assert annotations["remedy"] == Reason.UNKNOWN_STREAM.remedy
    assert annotations["runbook"] == "docs/reasons.md#unknownstream"
    assert {name for _, name in firing(prometheus, kit)} == {"wrong"}, "the others are well"


def check_rules(prometheus: PrometheusServer) -> None:
    """No rule has failed, neither its expression nor the queries in its texts."""
    rules = {rule["name"]: rule for rule in prometheus.rules()}
    assert rules.keys() == {alert.name for alert in ALERTS}
    assert {name: rule.get("lastError", "") for name, rule in rules.items() if rule["health"] != "ok"} == {}


@pytest.mark.usefixtures("connectors")
def test_dashboard_alerts_and_messages(kit: Kit, localkube: LocalKube) -> None:
    jobs = build_monitored(localkube.kubeconfig)
    with (
        open_chat() as chat,
        open_alertmanager(chat) as manager,
        PrometheusServer(configure(jobs, manager.address), {"rules.yml": read_rules()}) as prometheus,
    ):
        until_scraped(prometheus, kit)
        check_dashboard(prometheus, kit)
        check_alert(prometheus, kit)
        check_rules(prometheus)
        check_message(chat, kit)
        kit.delete("wrong")
        series = f'{{__name__=~"connector_operator_.+",namespace="{kit.namespace}",name="wrong"}}'
        eventually(lambda: not prometheus.query(series), timeout=PATIENCE, what="its series are gone")


def check_message(chat: Chat, kit: Kit) -> None:
    """It names the connector, the reason and the remedy."""
    title = f"critical: {kit.namespace}/wrong"
    text = eventually(lambda: dict(chat.messages).get(title), timeout=PATIENCE, what=f"a message, of {chat.messages}")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines == [
        f"*Connector {kit.namespace}/wrong needs a person: UnknownStream*",
        Reason.UNKNOWN_STREAM.remedy,
        f"Why, and what to do: kubectl describe connector wrong --namespace {kit.namespace}",
        "docs/reasons.md#unknownstream",
    ]


@pytest.mark.usefixtures("connectors")
def test_the_documented_scrape_gives_the_same_labels(kit: Kit, localkube: LocalKube, tmp_path: Path) -> None:
    page = (ROOT / "docs/monitoring.md").read_text()
    (command,) = re.findall(r"^kubectl label --local .*--output=(.*) > rules.json$", page, re.MULTILINE)
    said = localkube.kubectl(
        "label", "--local", f"--filename={ROOT / 'manifests/monitoring/rules.yaml'}", "made=by-hand",
        f"--output={command.replace(chr(39), '')}",
    )  # fmt: skip
    rules = {"rules.json": yaml.safe_load(said)}
    with PrometheusServer(configure(read_documented(localkube.kubeconfig)), rules) as prometheus:
        until_scraped(prometheus, kit)
        check_rules_are_read(prometheus)
        doubled = f'count by (pod) (up{{namespace="{kit.namespace}"}}) > 1'
        assert prometheus.query(doubled) == [], "each pod is scraped once"


def check_rules_are_read(prometheus: PrometheusServer) -> None:
    assert {rule["name"] for rule in prometheus.rules()} == {alert.name for alert in ALERTS}
