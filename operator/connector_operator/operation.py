"""One running operator: its cache, queue, workers and controllers, and which key an event leads to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import kopf

from connector_operator.cluster.apply import Writer
from connector_operator.cluster.cache import ClusterCache, Index, cache_job
from connector_operator.cluster.client import SERVICE_ACCOUNT, ApiError, KubeClient
from connector_operator.cluster.dry_run import DryRuns
from connector_operator.cluster.jobs import JobPoster
from connector_operator.cluster.observe import Observer
from connector_operator.cluster.orders import Orders
from connector_operator.cluster.progress import ProgressReader
from connector_operator.connector_series import ConnectorSeries
from connector_operator.controllers import image_rollout
from connector_operator.controllers.connector import ConnectorController
from connector_operator.controllers.dataset import DatasetController
from connector_operator.controllers.image_rollout import ImageRollout
from connector_operator.defaults import InstallationDefaults
from connector_operator.engine.askers import Askers
from connector_operator.engine.fair_queue import Key
from connector_operator.engine.queue import Priority, WorkQueue
from connector_operator.engine.slots import Slots
from connector_operator.engine.workers import Workers
from connector_operator.metrics import DISCOVERIES, REGISTRY
from connector_operator.resources import names
from connector_operator.resources.dataset import resolved_name
from connector_operator.settings import Settings
from connector_runner.schemas.kinds.naming import DEFAULT_DATASET

_DATASET_DELAY = 1.0
"""Connectors change in bursts; their Dataset's status is updated once for all of them."""
_LISTING_DELAY = 2.0
"""When a watch lists its objects again, they arrive one by one."""
log = logging.getLogger(__name__)


class Operation:
    """Everything that lives as long as this process is the active operator."""

    def __init__(self, client: KubeClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self.cache = ClusterCache()
        self.queue = WorkQueue()
        self._series = ConnectorSeries(self.cache, self.queue, has_names=settings.metrics_names, resync=settings.resync)
        self.slots = Slots(settings.discovery_concurrency, lambda key: self.queue.add(key, Priority.PERSON))
        DISCOVERIES.set_function(self.slots.__len__)
        self.askers = Askers(self.queue.add)
        self.defaults = InstallationDefaults(settings.runner_defaults)
        runner = settings.runner(self.defaults.layers)
        self._images = ImageRollout(self.queue, settings.runner_image, settings.update_concurrency)
        poster = JobPoster(client)
        writer = Writer(client, self.cache, poster)
        orders = Orders(client)
        self._datasets = DatasetController(writer, self.cache, self.queue, client.clock.now)
        self.progress = ProgressReader(
            client, self.cache, settings.progress_seconds, settings.requests_per_second, self.queue.add
        )
        self._observer = Observer(
            client,
            self.cache,
            settings.policy(),
            self._datasets.has_turn,
            self.slots.is_free_for,
            DryRuns(poster, runner),
            self.defaults.layers,
            runner.form,
            orders,
            self.askers.is_about_to,
            runner.defaults,
            self._images.turns,
            self.progress.heard,
        )
        self._connectors = ConnectorController(
            self._observer, writer, self.cache, self.slots, self.askers, orders, runner, client.clock.now
        )
        self.workers = Workers(self.queue, self._visit, settings.workers)
        self._generations: dict[Key, tuple[str, int]] = {}
        self._uses: dict[Key, str] = {}
        self._shown: set[str] = set()
        self._listed: set[str] = set()
        self._served = settings.namespaces
        self._listed_again = asyncio.Event()

    async def _visit(self, key: Key) -> float | None:
        if key == image_rollout.KEY:
            self._images.visit()
            return None
        controller = self._connectors if key.kind == "connector" else self._datasets
        return await controller.visit(key)

    def login(self) -> kopf.ConnectionInfo | None:
        """Kopf's credentials in a pod: read again for each request, as tokens are rotated; None outside of a pod."""
        configuration = self._client.configuration
        path = SERVICE_ACCOUNT / "token"
        if not path.exists():
            return None
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            token=path.read_text().strip(),
            default_namespace=None,
        )

    def serve(self, namespaces: Sequence[str]) -> None:
        """From now on other namespaces are watched; the indices that come with them must be bound.

        What is in those that are not watched any more is forgotten: nothing else would end its metrics, or give back its slots.
        """
        self._served = tuple(namespaces)
        self.cache.is_bound = False
        if self._settings.namespaces:
            self.cache.keep(self._served)
            self._forget_lost()

    def bind(self, connectors: Index, datasets: Index, jobs: Index, sharers: Index | None = None) -> None:
        """Takes Kopf's indices at the first event; counts the discoveries that are already running."""
        if self.cache.is_bound:
            return
        self.cache.bind(connectors, datasets, jobs, sharers)
        self._listed, self._shown = set(self.cache.shown()), set()
        self._forget_lost()
        self._images.load((key, self.cache.connector(key) or {}) for key in self.cache.connector_keys())
        for key in self.cache.job_keys():
            if any(
                j.role == names.ROLE_DISCOVERY and j.finished is None and not j.is_suspended
                for j in self.cache.jobs(key)
            ):
                self.slots.hold(key)

    def _note(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Detects that a watch was down and its objects are listed again: changes in the meantime had no event."""
        uid = body["metadata"]["uid"]
        is_first = uid in self._listed
        self._listed.discard(uid)
        if kind == "DELETED":
            self._shown.discard(uid)
            return
        if kind is None and not is_first:
            self._listed_again.set()
        self._shown.add(uid)

    def on_connector(self, key: Key, kind: str | None, body: Mapping[str, Any]) -> None:
        """A Connector was seen for the first time, has changed, or is gone."""
        self._note(kind, body)
        if kind != "DELETED":
            self._images.note(key, body)
        self._visit_datasets(key, body.get("spec", {}).get("datasetId") or "")
        meta = body["metadata"]
        version = (meta["uid"], meta.get("generation", 1))
        if kind == "DELETED":
            self._forget(key)
            self.queue.add(key, Priority.PERSON)
            return
        if self._generations.get(key) == version:
            if not self.cache.is_own_write(key, body):
                self.queue.add(key)
            return
        self._generations[key] = version
        self.queue.add(key, Priority.RESYNC if kind is None else Priority.PERSON)

    def _forget(self, key: Key) -> None:
        self._generations.pop(key, None)
        self._uses.pop(key, None)
        self._images.forget(key)

    def _forget_lost(self) -> None:
        """Forgets what went, or can't be seen any more, between two times of watching."""
        known = {*self.cache.connector_keys(), *self.cache.dataset_keys()}
        for key in self._generations.keys() - known:
            self._forget(key)
            self.queue.add(key)

    def _visit_datasets(self, key: Key, dataset_id: str) -> None:
        used = resolved_name(dataset_id, self.cache.datasets(key.namespace))
        before = self._uses.get(key, "")
        self._uses[key] = used
        for name in {used, before} - {""}:
            self.queue.add(Key("dataset", key.namespace, name), delay=_DATASET_DELAY)

    def on_dataset(self, key: Key, kind: str | None, body: Mapping[str, Any]) -> None:
        """A Dataset was seen for the first time, has changed, or is gone; its connectors' resolution may change."""
        self._note(kind, body)
        self.queue.add(key, Priority.PERSON)
        meta = body["metadata"]
        version = (meta["uid"], meta.get("generation", 1))
        if kind == "DELETED":
            self._forget(key)
        elif self._generations.get(key) == version:
            return
        else:
            self._generations[key] = version
        if kind is None:
            return  # at the start every connector is visited anyway
        existing = {**self.cache.datasets(key.namespace), key.name: {}}
        for raw in self.cache.connectors(key.namespace):
            name = resolved_name(raw["spec"].get("datasetId") or "", existing)
            if name in {key.name, DEFAULT_DATASET}:
                self.queue.add(Key("connector", key.namespace, raw["metadata"]["name"]))

    def on_job(self, key: Key, kind: str | None, body: Mapping[str, Any]) -> None:
        """One of our Jobs has changed or is gone."""
        self._note(kind, body)
        if kind == "DELETED":
            self.cache.note_job_gone(key, cache_job(body).job)
        if kind is not None:
            self.queue.add(key)

    async def resync(self) -> None:
        """Visits everything from time to time even without events, and soon after a watch listed its objects again."""
        while True:
            try:
                # Not `wait_for`: before Python 3.12 it loses a cancellation that arrives together with the event.
                async with asyncio.timeout(self._settings.resync):
                    await self._listed_again.wait()
                await asyncio.sleep(_LISTING_DELAY)
            except TimeoutError:
                pass
            self._listed_again.clear()
            await self.sweep()

    async def sweep(self) -> None:
        """Removes from the cache what is gone without an event, then requests a visit of everything.

        Three lists of metadata, and no request for a connector that needs no change.
        """
        if self._settings.namespaces and not self._served:
            return
        shown = self.cache.shown()  # before the lists: what appears in the meantime is in neither
        try:
            existing = await self._observer.existing(self._served)
        except ApiError as error:
            log.warning("what is gone could not be looked for: %s", error)
        else:
            self._series.note_compared()
            missed = shown.keys() - existing
            self.cache.note_missed(missed)
            for uid in missed & self._shown:
                key = shown[uid]
                log.info("gone without an event", extra={"namespace": key.namespace, "object": key.name})
                self._shown.discard(uid)
                if key.kind == "dataset" or self.cache.connector(key) is None:
                    self._forget(key)
                self.queue.add(key)
        for key in [*self.cache.connector_keys(), *self.cache.dataset_keys()]:
            self.queue.add(key, Priority.RESYNC)

    async def run(self) -> None:
        """Works until cancelled."""
        self._series.note_compared()  # the watches begin with a list: if no other comparison ever succeeds, the age says so
        REGISTRY.register(self._series)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.workers.run())
                group.create_task(self.resync())
                group.create_task(self.progress.run())
        finally:
            REGISTRY.unregister(self._series)
