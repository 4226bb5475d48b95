"""Connectors as the API server returns them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from connector_operator.resources.times import format_time

NOW = datetime(2026, 11, 28, 15, 0, tzinfo=UTC)


def ago(seconds: int) -> str:
    return format_time(NOW - timedelta(seconds=seconds))


def condition(kind: str, status: str, reason: str, message: str = "", since: int = 720) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(since)}


def connector(name: str = "trades", *conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    state = status.pop("state", "running")
    return {
        "metadata": {"name": name, "namespace": "shop", "generation": 3, "creationTimestamp": ago(4 * 86_400)},
        "spec": {"connectorType": "COINBASE", "datasetId": "rows", "status": "running", "selectedStream": "ticker"},
        "status": {
            "observedGeneration": 3,
            "state": {"status": state},
            "conditions": list(conditions) or [condition("Ready", "True", "Running", "Stream ticker runs.")],
            **status,
        },
    }
