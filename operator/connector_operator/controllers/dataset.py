"""One visit of one Dataset: its status, and the turn of the connectors that must follow a change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from connector_operator.cluster.apply import Writer
from connector_operator.cluster.cache import ClusterCache, Raw
from connector_operator.cluster.client import ApiError
from connector_operator.decide.facts import is_live
from connector_operator.decide.provenance import with_provenance
from connector_operator.decide.rollout import User, decide_dataset
from connector_operator.engine.fair_queue import Key
from connector_operator.engine.queue import Priority, WorkQueue
from connector_operator.engine.workers import VisitError
from connector_operator.resources import names
from connector_operator.resources.connector import parse_status
from connector_operator.resources.dataset import parse_dataset_status, resolve_dataset, resolved_name, selects_many
from connector_operator.resources.reasons import Reason
from connector_runner.schemas.outcome import DATASET_REASONS

log = logging.getLogger(__name__)


class DatasetController:
    """Keeps in memory which connector has the turn; after a restart of the operator the same one gets it again."""

    def __init__(self, writer: Writer, cache: ClusterCache, queue: WorkQueue, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._cache = cache
        self._queue = queue
        self._clock = clock
        self._turns: dict[Key, frozenset[str]] = {}

    def has_turn(self, connector: Key, dataset: str) -> bool:
        """Whether a connector may follow a change of its Dataset now."""
        return connector.name in self._turns.get(Key("dataset", connector.namespace, dataset), ())

    async def visit(self, key: Key) -> float | None:
        """Returns None: a Dataset is visited again only after an event.

        Raises:
            VisitError: Visit again later.
        """
        datasets = self._cache.datasets(key.namespace)
        raw = datasets.get(key.name)
        if raw is None:
            self._turns.pop(key, None)
            self._cache.forget(key)
            return None
        users = [
            self._user(key.namespace, connector, datasets)
            for connector in self._cache.connectors(key.namespace)
            if resolved_name(_dataset_id(connector), datasets) == key.name
        ]
        meta = raw["metadata"]
        status = parse_dataset_status(raw["status"])
        decision = decide_dataset(key.name, meta.get("generation", 1), raw["spec"], status, users, self._clock())
        self._turns[key] = frozenset({decision.turn, *decision.refused} - {""})
        if decision.turn:
            self._queue.add(Key("connector", key.namespace, decision.turn), Priority.CLUSTER)
        if decision.status is not None:
            await self._write(key, meta["resourceVersion"], decision.status)
        return None

    async def _write(self, key: Key, version: str, status: dict[str, Any]) -> None:
        try:
            await self._writer.write_status(key, version, status)
        except ApiError as error:
            expected = error.status in {404, 409}
            raise VisitError(
                "StatusFailed",
                f"writing the Dataset's status failed: {error}",
                shortest=0.2 if expected else 0.5,
                is_expected=expected,
            ) from None

    def _user(self, namespace: str, raw: Raw, datasets: dict[str, Raw]) -> User:
        name = raw["metadata"]["name"]
        uid, status = raw["metadata"]["uid"], parse_status(raw["status"])
        jobs = with_provenance(self._cache.jobs(Key("connector", namespace, name)), uid, status)
        live = [j for j in jobs if j.role == names.ROLE_RUNNER and j.owner == uid and is_live(j)]
        last = status.last_execution
        unready = next((c for c in status.conditions if c.type == "Ready" and c.status != "True"), None)
        return User(
            name=name,
            table=resolve_dataset(_dataset_id(raw), datasets, is_many=selects_many(raw["spec"])).table,
            is_wanted=raw["spec"].get("status") == "running" and "deletionTimestamp" not in raw["metadata"],
            live_hash=live[-1].dataset_hash if live else "",
            is_ready=bool(live and live[-1].ready),
            is_refused=bool(live) and unready is not None and unready.reason == Reason.JOB_REFUSED,
            is_starting=status.state.status == "running",
            unready_since=unready.last_transition_time if unready is not None else "",
            failing_since=status.retry.since,
            problem=last.message if last.reason in DATASET_REASONS and not live else "",
        )


def _dataset_id(raw: Raw) -> str:
    value = raw["spec"].get("datasetId")
    return value if isinstance(value, str) else ""
