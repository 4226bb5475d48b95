"""What the watches have shown, overlaid with our own writes until the watches show those, too.

Without the overlay, a visit right after a write would decide on old facts: create a second Job, or meet a conflict.
Resource versions show which of two forms is newer (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from connector_operator.engine.fair_queue import Key
from connector_operator.resources import names
from connector_operator.resources.workload import ObservedJob, read_job

_TRUST_SECONDS = 30.0
"""How long an own write counts without the watch. Creating a Job again then is harmless: its name is the same."""
_VANISHED_KEPT = 8

Raw = dict[str, Any]


class CachedJob(msgspec.Struct, frozen=True):
    """A Job as a value, with the version that it was read from."""

    version: int
    job: ObservedJob


def trim(body: Mapping[str, Any]) -> Raw:
    """What is kept of a raw Connector or Dataset: the rest (above all managedFields) would take most of the memory."""
    meta = body["metadata"]
    kept = ("name", "namespace", "uid", "generation", "resourceVersion", "creationTimestamp", "deletionTimestamp")
    return {
        "metadata": {key: meta[key] for key in kept if key in meta},
        "changed": last_change(meta),
        "spec": plain(body.get("spec") or {}),
        "status": plain(body.get("status") or {}),
    }


def last_change(meta: Mapping[str, Any]) -> str:
    """When anything except the status was last changed, as recorded by the API server; else when it was created."""
    times = [str(m["time"]) for m in meta.get("managedFields") or () if m.get("time") and not m.get("subresource")]
    return max([*times, str(meta.get("creationTimestamp", ""))])


def plain(value: Any) -> Any:
    """Kopf's read-only views as dictionaries and lists."""
    if isinstance(value, Mapping):
        return {key: plain(child) for key, child in value.items()}
    return [plain(child) for child in value] if isinstance(value, list | tuple) else value


def cache_job(raw: Mapping[str, Any]) -> CachedJob:
    """A raw Job for the cache."""
    return CachedJob(version_of(raw), read_job(raw))


def version_of(raw: Mapping[str, Any]) -> int:
    """A resource version as a number."""
    text = raw["metadata"].get("resourceVersion", "0")
    return int(text) if str(text).isdecimal() else 0


Index = Mapping[Any, Iterable[Any]]


class ClusterCache:
    """Kopf's indices, bound when the first event arrives, and our own writes."""

    def __init__(self) -> None:
        self._connectors: Index = {}
        self._datasets: Index = {}
        self._jobs: Index = {}
        self._sharers: Index = {}
        self._written: dict[Key, Raw] = {}
        self._written_jobs: dict[Key, dict[str, tuple[float, CachedJob]]] = {}
        self._deleted_jobs: dict[str, float] = {}
        self._gone_jobs: dict[str, float] = {}
        self._vanished: dict[Key, dict[str, dict[int, ObservedJob]]] = {}
        self._missed: set[str] = set()
        self.is_bound = False

    def bind(self, connectors: Index, datasets: Index, jobs: Index, sharers: Index | None = None) -> None:
        """Takes Kopf's indices: they are complete, as Kopf waits for all of them before the first event."""
        self._connectors, self._datasets, self._jobs = connectors, datasets, jobs
        self._sharers = sharers if sharers is not None else {}
        self.is_bound = True

    def keep(self, namespaces: Collection[str]) -> None:
        """Only these namespaces are watched from now on: what is in others is not known any more."""

        def of(index: Index) -> Index:
            return {at: list(index[at]) for at in list(index) if (at if isinstance(at, str) else at[0]) in namespaces}

        self._connectors, self._datasets, self._jobs, self._sharers = map(
            of, (self._connectors, self._datasets, self._jobs, self._sharers)
        )

    def connector_keys(self) -> Iterator[Key]:
        """Every Connector."""
        keys = (Key("connector", namespace, name) for namespace, name in list(self._connectors))
        return (key for key in keys if self.connector(key) is not None)

    def dataset_keys(self) -> Iterator[Key]:
        """Every Dataset."""
        return (Key("dataset", namespace, name) for namespace in self._datasets for name in self.datasets(namespace))

    def job_keys(self) -> Iterator[Key]:
        """Every connector, present or past, that has Jobs."""
        return (Key("connector", namespace, name) for namespace, name in self._jobs)

    def connectors(self, namespace: str) -> list[Raw]:
        """A namespace's Connectors."""
        keys = [key for key in self._connectors if key[0] == namespace]
        found = (self.connector(Key("connector", *key)) for key in keys)
        return [raw for raw in found if raw is not None]

    def sharers(self, namespace: str, sharing: str) -> list[Key]:
        """A namespace's Connectors whose specs need the same list of streams."""
        return [Key("connector", namespace, name) for name in self._sharers.get((namespace, sharing), ())]

    def connector(self, key: Key) -> Raw | None:
        """The newest known form of a Connector; None when it is gone."""
        shown = [raw for raw in self._connectors.get((key.namespace, key.name), ()) if self._is_there(raw)]
        return self._newest(key, max(shown, key=version_of, default=None))

    def _is_there(self, raw: Raw) -> bool:
        return raw["metadata"]["uid"] not in self._missed

    def datasets(self, namespace: str) -> dict[str, Raw]:
        """A namespace's Datasets by name."""
        found: dict[str, Raw] = {}
        for raw in sorted(filter(self._is_there, self._datasets.get(namespace, ())), key=version_of):
            name = raw["metadata"]["name"]
            newest = self._newest(Key("dataset", namespace, name), raw)
            if newest is not None:
                found[name] = newest
        return found

    def _newest(self, key: Key, shown: Raw | None) -> Raw | None:
        written = self._written.get(key)
        if written is None:
            return shown
        same = shown is not None and shown["metadata"]["uid"] == written["metadata"]["uid"]
        if shown is not None and same and version_of(shown) < version_of(written):
            return written
        del self._written[key]
        return shown

    def note_written(self, key: Key, body: Mapping[str, Any]) -> None:
        """Our own write of a Connector's or Dataset's status has succeeded."""
        self._written[key] = trim(body)

    def is_own_write(self, key: Key, body: Mapping[str, Any]) -> bool:
        """Whether an event only shows what we wrote last."""
        written = self._written.get(key)
        return written is not None and version_of(written) == version_of(body)

    def jobs(self, key: Key) -> tuple[ObservedJob, ...]:
        """The newest known form of a connector's Jobs, without those that only have its label."""
        indexed = self._jobs.get((key.namespace, key.name), ())
        shown = {c.job.uid: c for c in indexed if c.job.uid not in self._missed}
        now = time.monotonic()
        written = self._written_jobs.get(key, {})
        for uid, (since, cached) in list(written.items()):
            seen = shown.get(uid)
            if (seen is not None and seen.version >= cached.version) or now - since > _TRUST_SECONDS:
                del written[uid]
            else:
                shown[uid] = cached
        known = (c.job for uid, c in shown.items() if now - self._deleted_jobs.get(uid, -1e9) > _TRUST_SECONDS)
        return tuple(job for job in known if job.is_ours)

    def note_job(self, key: Key, raw: Mapping[str, Any]) -> None:
        """We created a Job, or started its deletion in the foreground; the watch may have shown its end before our answer came."""
        cached = cache_job(raw)
        if cached.job.uid in self._gone_jobs:
            return
        self._written_jobs.setdefault(key, {})[cached.job.uid] = (time.monotonic(), cached)

    def note_job_deleted(self, uid: str) -> None:
        """We deleted a Job in the background."""
        if uid not in self._gone_jobs:
            self._deleted_jobs[uid] = time.monotonic()

    def note_job_gone(self, key: Key, job: ObservedJob) -> None:
        """A watch has shown that a Job is gone."""
        self._written_jobs.get(key, {}).pop(job.uid, None)
        self._deleted_jobs.pop(job.uid, None)
        self._gone_jobs.pop(job.uid, None)
        self._gone_jobs[job.uid] = now = time.monotonic()
        while now - self._gone_jobs[oldest := next(iter(self._gone_jobs))] > _TRUST_SECONDS:
            del self._gone_jobs[oldest]
        raw = self.connector(key)
        if raw is not None and raw["metadata"]["uid"] == job.owner:
            runs = self._vanished.setdefault(key, {}).setdefault(job.role, {})
            runs[job.run] = job
            if len(runs) > _VANISHED_KEPT:
                del runs[min(runs)]

    def vanished(self, key: Key, role: str = names.ROLE_RUNNER) -> dict[int, ObservedJob]:
        """Jobs that are gone, by run (or attempt), as they were last seen."""
        return dict(self._vanished.get(key, {}).get(role, {}))

    def shown(self) -> dict[str, Key]:
        """The UID of every object that the watches show, and the key that it belongs to."""
        found = {raw["metadata"]["uid"]: Key("connector", *at) for at, raws in self._connectors.items() for raw in raws}
        for namespace, raws in self._datasets.items():
            found |= {raw["metadata"]["uid"]: Key("dataset", namespace, raw["metadata"]["name"]) for raw in raws}
        for at, cached in self._jobs.items():
            found |= {one.job.uid: Key("connector", *at) for one in cached}
        return found

    def note_missed(self, uids: Iterable[str]) -> None:
        """Objects that the watches still show are gone: they went while a watch was down, and Kopf sent no event."""
        missed = set(uids)
        for at, cached in self._jobs.items():
            for one in cached:
                if one.job.uid in missed - self._missed:
                    self.note_job_gone(Key("connector", *at), one.job)
        self._missed = missed

    def forget(self, key: Key) -> None:
        """A Connector or Dataset is gone."""
        for memory in (self._written, self._written_jobs, self._vanished):
            memory.pop(key, None)
