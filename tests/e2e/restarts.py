"""Executions that the operator replaced without need: they ran well, and nobody had touched what they are made from."""

from __future__ import annotations

import threading
import time
from collections.abc import Container, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tests.kit.cluster import Audit, Kit

if TYPE_CHECKING:
    from tests.e2e.adversary import Act

HARMLESS = frozenset({
    "ask-running", "rediscover", "job-annotate", "job-bare", "pod-label", "status-remember", "quota", "suspend-policy", "refuse-jobs", "refuse-pods",
    "mesh", "secret", "cordon", "operator", "lease", "events",
})  # fmt: skip
"""Acts that are no reason to end an execution that runs: what is made next is another matter."""
FOR_ALL = frozenset({"dataset", "component"})
"""Acts that are a reason for every connector."""
LATE = 15.0
"""For how many seconds an act may still have effects that no status shows yet."""
PAUSE = 0.5


class Restarts:
    """Looks at Jobs and Connectors of a namespace twice a second, and keeps when an execution was last well and when it was ended."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._well: dict[tuple[str, str], float] = {}
        self._ended: dict[tuple[str, str], float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(PAUSE):
            now = time.monotonic()
            try:
                connectors = self._list("/apis/apperate.io/v1", "connectors")
                jobs = {job["metadata"]["name"]: job for job in self._list("/apis/batch/v1", "jobs")}
            except (LookupError, ValueError):
                continue  # a component is on its way back
            self.look(connectors, jobs, now, time.monotonic())

    def _list(self, api: str, plural: str) -> list[dict[str, Any]]:
        return list(self._kit.api.get(f"{api}/namespaces/{self._kit.namespace}/{plural}")["items"])

    def look(
        self, connectors: Iterable[dict[str, Any]], jobs: dict[str, dict[str, Any]], now: float, later: float
    ) -> None:
        """Takes in what was there at some moment between two times; Jobs by name.

        What is gone was ended before `later`, perhaps by an act that began after `now`.
        """
        for known in self._well:
            job = jobs.get(known[1])
            if job is None or "deletionTimestamp" in job["metadata"]:
                self._ended.setdefault(known, later)
        for raw in connectors:
            meta, status = raw["metadata"], raw.get("status") or {}
            ready: dict[str, Any] = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {})
            is_current = status.get("observedGeneration") == meta["generation"] and "deletionTimestamp" not in meta
            job = jobs.get(
                status.get("state", {}).get("execId", "").rpartition("/")[2], {"metadata": {"deletionTimestamp": ""}}
            )["metadata"]
            is_well = is_current and (ready.get("status"), ready.get("reason")) == ("True", "Running")
            if is_well and "deletionTimestamp" not in job:
                self._well[meta["name"], job["name"]] = now

    def needless(self, acts: Iterable[Act], deleted: Container[str]) -> list[str]:
        """Connector and Job of each execution that the operator ended without a reason; `deleted`: all Jobs that it deleted."""
        known = [act for act in acts if act.name not in HARMLESS]
        return [
            f"{name} {job}"
            for (name, job), ended in self._ended.items()
            if job in deleted and not any(_is_reason(act, name, self._well[name, job], ended) for act in known)
        ]


def deleted_jobs(audit: Audit, namespace: str) -> set[str]:
    """Names of the Jobs that the operator deleted."""
    found = [e for e in audit.events(namespace=namespace) if e["verb"] == "delete"]
    return {e["objectRef"].get("name", "") for e in found if e["objectRef"].get("resource") == "jobs"}


def _is_reason(act: Act, connector: str, well: float, ended: float) -> bool:
    late = 4 * LATE if act.name in FOR_ALL else LATE
    return (act.target == connector or act.name in FOR_ALL) and act.ended + late >= well and act.begun <= ended
