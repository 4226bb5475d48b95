"""Everything about Kopf: which objects are watched, what is kept of them; an event only names a key to visit."""

from __future__ import annotations

from typing import Any

import kopf

from connector_operator.cluster.cache import CachedJob, cache_job, plain, trim
from connector_operator.engine.fair_queue import Key
from connector_operator.operation import Operation
from connector_operator.resources import names
from connector_operator.resources.connector import read_sharing_hash
from connector_runner.schemas.kinds import naming

OURS = (naming.GROUP, naming.VERSION)


def build_registry(operation: Operation) -> kopf.OperatorRegistry:
    """The handlers of one operator. Raw events and indices only: Kopf never writes anything."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**context: Any) -> kopf.ConnectionInfo | None:
        return operation.login() or kopf.login_with_kubeconfig(**context)

    @kopf.on.startup(registry=registry)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        settings.peering.standalone = True
        settings.scanning.disabled = True  # otherwise rights on namespaces and CRDs would be needed
        settings.watching.label_selectors["batch", "v1", "jobs"] = names.LABEL_CONNECTOR

    @kopf.index(*OURS, naming.CONNECTORS, id="connectors", registry=registry)
    def connectors(body: kopf.Body, **_: Any) -> dict[tuple[str, str], Any]:
        return {(body["metadata"]["namespace"], body["metadata"]["name"]): trim(body)}

    @kopf.index(*OURS, naming.DATASETS, id="datasets", registry=registry)
    def datasets(body: kopf.Body, **_: Any) -> dict[str, Any]:
        return {body["metadata"]["namespace"]: trim(body)}

    @kopf.index(*OURS, naming.CONNECTORS, id="sharers", registry=registry)
    def sharers(body: kopf.Body, **_: Any) -> dict[tuple[str, str], str]:
        return {(body["metadata"]["namespace"], read_sharing_hash(plain(body.get("spec")))): body["metadata"]["name"]}

    @kopf.index("batch", "v1", "jobs", id="jobs", registry=registry)
    def jobs(body: kopf.Body, **_: Any) -> dict[tuple[str, str], CachedJob]:
        return {_connector_of(body)[1:]: cache_job(body)}

    @kopf.on.event(*OURS, naming.CONNECTORS, registry=registry)
    async def on_connector(event: kopf.RawEvent, body: kopf.Body, **indices: Any) -> None:
        operation.bind(**_indices(indices))
        operation.on_connector(_key("connector", body), event["type"], body)

    @kopf.on.event(*OURS, naming.DATASETS, registry=registry)
    async def on_dataset(event: kopf.RawEvent, body: kopf.Body, **indices: Any) -> None:
        operation.bind(**_indices(indices))
        operation.on_dataset(_key("dataset", body), event["type"], body)

    @kopf.on.event("batch", "v1", "jobs", registry=registry)
    async def on_job(event: kopf.RawEvent, body: kopf.Body, **indices: Any) -> None:
        operation.bind(**_indices(indices))
        operation.on_job(_connector_of(body), event["type"], body)

    return registry


def _key(kind: str, body: kopf.Body) -> Key:
    return Key(kind, body["metadata"]["namespace"], body["metadata"]["name"])


def _connector_of(body: kopf.Body) -> Key:
    labels = body["metadata"].get("labels") or {}
    return Key("connector", body["metadata"]["namespace"], labels.get(names.LABEL_CONNECTOR, ""))


def _indices(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: arguments[name] for name in ("connectors", "datasets", "jobs", "sharers")}
