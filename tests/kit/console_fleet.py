"""A fleet for looking at: connectors of all types in all states, as an operator would report them, made without one."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from connector_operator.resources.reasons import Reason
from connector_operator.resources.times import format_time
from connector_runner.schemas.kinds.naming import API_VERSION
from tests.localkube.cluster import Cluster

_CONFIGS: dict[str, dict[str, Any]] = {
    "COINBASE": {"url": "wss://exchange.invalid", "productId": ["BTC-USD", "ETH-USD"]},
    "ETHEREUM": {"startBlock": 19_000_000},
    "MYSQL": {"host": "db.shop.invalid", "port": 3306, "user": "reader"},
}
_STREAMS = {
    "COINBASE": ["ticker", "matches", "level2", "heartbeat", "status", "trades", "candles"],
    "ETHEREUM": ["blocks", "transactions", "logs", "token_transfers", "receipts"],
    "MYSQL": [f"shop.{table}" for table in ("orders", "customers", "items", "payments", "refunds", "carts", "stock", "prices", "visits", "reviews")],
}  # fmt: skip
_NAMES = {
    "COINBASE": ["trades", "ticks", "btc-quotes", "eth-book"],
    "ETHEREUM": ["chain", "usdc-transfers", "gas", "mainnet-logs"],
    "MYSQL": ["shop", "billing", "inventory", "crm"],
}
_FAILED = {
    "WrongCredentials": "db.shop.invalid:3306: access denied for user 'reader': the password in the Secret shop-db is not accepted",
    "CrashLoop": "7 executions in a row have failed, the last with exit code 1: the exchange closed the connection during the handshake",
    "DatasetNotFound": "there is neither a Dataset analytics nor one named default in this namespace",
    "OOMKilled": "the runner needed more memory than its limit of 512Mi",
}


def build_fleet(count: int, now: datetime) -> Iterator[dict[str, Any]]:
    """Connectors with specs and statuses; the same for the same number and time."""
    draw = random.Random(5)
    for number in range(count):
        kind = draw.choice(list(_CONFIGS))
        name = f"{draw.choice(_NAMES[kind])}-{number:04d}"
        state = draw.choices(
            ["running", "copying", "stopped", "errored", "ready", "received", "pending"], [70, 6, 9, 4, 4, 4, 3]
        )[0]
        yield _build(draw, kind, name, state, now)


def _build(draw: random.Random, kind: str, name: str, state: str, now: datetime) -> dict[str, Any]:
    streams = _STREAMS[kind]
    is_many = kind == "MYSQL" and draw.random() < 0.6
    spec: dict[str, Any] = {"connectorType": kind, "config": _CONFIGS[kind], "wait": True}
    if kind != "COINBASE":
        spec["configFrom"] = [{"secretRef": {"name": f"{kind.lower()}-credentials"}}]
    if state not in {"received", "pending"}:
        spec |= {"datasetId": draw.choice(["analytics", "lake", "ROWS"])}
        spec |= {"streams": {"include": ["shop.*"]}} if is_many else {"selectedStream": draw.choice(streams)}
    if state in {"running", "copying", "errored"}:
        spec["status"] = "running"
    elif state == "stopped":
        spec["status"] = "stopped"
    begun = now - timedelta(seconds=draw.randint(1, 2000) % 50)  # nothing much older than its creation
    resource: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "Connector",
        "metadata": {"name": name},
        "spec": spec,
    }
    if draw.random() < 0.1:
        resource["metadata"]["labels"] = {"argocd.argoproj.io/instance": "pipelines"}
    if state != "pending":
        resource["status"] = _build_status(draw, kind, name, state, is_many, spec, begun, now)
    return resource


def _build_status(
    draw: random.Random,
    kind: str,
    name: str,
    state: str,
    is_many: bool,
    spec: dict[str, Any],
    begun: datetime,
    now: datetime,
) -> dict[str, Any]:
    listed = _STREAMS[kind]
    shown = "running" if state == "copying" else state
    reason, message, is_ready = _explain(draw, state, len(listed))
    conditions = [_condition("Ready", "True" if is_ready else "False", reason, message, begun)]
    if state == "errored":
        conditions.append(_condition("Stalled", "True", reason, message, begun))
    status: dict[str, Any] = {
        "observedGeneration": 1,
        "state": {"status": shown, "jobId": name},
        "streams": [{"id": stream, "key": ["id"], "modes": ["append", "upsert"], "columns": draw.randint(4, 40)} for stream in listed],
        "streamsTotal": len(listed),
        "run": 0 if state in {"received", "ready"} else draw.randint(1, 9),
        "conditions": conditions,
        "discovery": {"at": format_time(begun)},
        "updated": format_time(now - timedelta(seconds=70)),
    }  # fmt: skip
    if "selectedStream" in spec or is_many:
        text = f"{len(listed)} streams" if is_many else spec.get("selectedStream", "")
        status["selection"] = {"text": text if "datasetId" in spec else "", "selected": len(listed) if is_many else 1}
    if shown == "running":
        status["progress"] = _build_progress(draw, state, is_many, len(listed), status["run"])
    return status


def _explain(draw: random.Random, state: str, streams: int) -> tuple[str, str, bool]:
    if state == "errored":
        reason = draw.choice(list(_FAILED))
        return reason, _FAILED[reason], False
    known = {
        "running": Reason.RUNNING,
        "copying": Reason.RUNNING,
        "stopped": Reason.STOPPED,
        "ready": Reason.READY_TO_RUN,
        "received": Reason.STREAMS_RECEIVED,
    }[state]
    said = {"received": f"{streams} streams are known, none is selected"}.get(state, known.meaning)
    return known.value, said, state in {"running", "copying", "stopped"}


def _build_progress(draw: random.Random, state: str, is_many: bool, streams: int, run: int) -> dict[str, Any]:
    rows = draw.randint(10_000, 90_000_000)
    lag = draw.choices([0, 1, 2, 4, 95], [50, 25, 12, 8, 5])[0]
    progress: dict[str, Any] = {"run": run, "rows": rows, "lagSeconds": lag, "selected": streams if is_many else 1}
    if draw.random() < 0.9:  # the others have a runner of an earlier version
        progress |= {"rowsPerMinute": draw.randint(1, 400_000), "commitMilliseconds": draw.randint(3, 900)}
    if state == "copying":
        total = draw.randint(1, 60) * 1_000_000
        done = int(total * draw.random())
        return progress | {
            "copying": 1, "done": done, "total": total, "unit": "rows", "perSecond": 52_000, "secondsLeft": (total - done) // 52_000,
            "text": f"copying: {100 * done // total} %", "copies": [{"stream": "shop.orders", "done": done, "total": total}],
        }  # fmt: skip
    return progress | {"following": progress["selected"], "text": "following"}


def _condition(kind: str, status: str, reason: str, message: str, since: datetime) -> dict[str, Any]:
    return {
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": format_time(since), "observedGeneration": 1,
    }  # fmt: skip


def create_fleet(cluster: Cluster, namespace: str, count: int) -> list[dict[str, Any]]:
    """Writes a fleet into a cluster without an operator; returns it."""
    fleet = list(build_fleet(count, datetime.now(UTC)))
    specs = [{key: value for key, value in one.items() if key != "status"} for one in fleet]
    cluster.kubectl("create", "-n", namespace, "-f", "-", input=_list(specs))
    statuses = [
        {**{key: one[key] for key in ("apiVersion", "kind", "status")}, "metadata": {"name": one["metadata"]["name"]}}
        for one in fleet
        if "status" in one
    ]
    write_statuses(cluster, namespace, statuses)
    return fleet


def write_statuses(cluster: Cluster, namespace: str, resources: list[dict[str, Any]]) -> None:
    """Writes the statuses of connectors, as the operator would."""
    options = ("--server-side", "--force-conflicts", "--subresource=status", "--validate=false")
    cluster.kubectl("apply", *options, "-n", namespace, "-f", "-", input=_list(resources))


def advance(resource: dict[str, Any], rows: int, seconds: int = 0) -> dict[str, Any]:
    """The connector after its runner has told of so many more rows; for `write_statuses`."""
    status = json.loads(json.dumps(resource["status"]))
    progress = status["progress"]
    progress["rows"] += rows
    if "rowsPerMinute" in progress:
        progress["rowsPerMinute"] += rows % 1000 * 7
        progress["commitMilliseconds"] += rows % 40
    status["updated"] = format_time(datetime.now(UTC) + timedelta(seconds=seconds))
    return {
        **{key: resource[key] for key in ("apiVersion", "kind")},
        "metadata": {"name": resource["metadata"]["name"]},
        "status": status,
    }


def _list(items: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
