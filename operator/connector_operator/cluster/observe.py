"""The one module that reads the cluster: it builds an `Observation`, from the cache if possible, else by requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connector_operator.cluster.cache import ClusterCache
from connector_operator.cluster.client import METADATA_LIST, ApiError, KubeClient
from connector_operator.cluster.dry_run import DryRuns
from connector_operator.cluster.orders import Orders
from connector_operator.cluster.peers import gather_peers
from connector_operator.decide.decision import Look
from connector_operator.decide.facts import Facts
from connector_operator.decide.image_rollout import ImageTurns
from connector_operator.decide.observation import Heard, Observation, Policy
from connector_operator.engine.fair_queue import Key
from connector_operator.resources import names
from connector_operator.resources.connector import parse_spec, parse_status
from connector_operator.resources.dataset import resolve_dataset, selects_many
from connector_operator.resources.events import ObservedEvent, read_events
from connector_operator.resources.runner_rules import conflicts
from connector_operator.resources.times import parse_time
from connector_operator.resources.workload import ObservedPod, read_pods
from connector_operator.workloads.layers import Layer, follows_image, merge_layers
from connector_runner.schemas.catalogue import CatalogueSummary, parse_line
from connector_runner.schemas.kinds import naming
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.manifest import TakeOver

_LOG_LIMIT = 4 * 1024 * 1024
_LOG_TRIES = 3
_MOST_WARNINGS = 10
_WARNINGS = ",type=Warning"
_PAGE = "500"
_WATCHED = (
    (f"/apis/{naming.API_VERSION}", naming.CONNECTORS, ""),
    (f"/apis/{naming.API_VERSION}", naming.DATASETS, ""),
    ("/apis/batch/v1", "jobs", names.LABEL_CONNECTOR),
)
"""API, plural and label selector of what is watched."""


class Observer:
    """Reads; `has_turn` and `has_slot` are answered by their owners (the Dataset's rollout, the slots)."""

    def __init__(
        self,
        client: KubeClient,
        cache: ClusterCache,
        policy: Policy,
        has_turn: Callable[[Key, str], bool],
        has_slot: Callable[[Key], bool],
        dry_runs: DryRuns,
        layers: Callable[[], Iterable[Layer]],
        installation: Callable[[], str],
        orders: Orders,
        is_about_to_list: Callable[[Key], bool] = lambda _: False,
        defaults: Callable[[], str] = lambda: "",
        image_turns: Callable[[], ImageTurns] = ImageTurns,
        heard: Callable[[Key], Heard | None] = lambda _: None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._policy = policy
        self._has_turn = has_turn
        self._has_slot = has_slot
        self._is_about_to_list = is_about_to_list
        self._heard = heard
        self._dry_runs = dry_runs
        self._orders = orders
        self._layers = layers
        self._installation = installation
        self._defaults = defaults
        self._image_turns = image_turns

    def observe(self, key: Key, now: datetime, refusal: str) -> tuple[Observation, str] | None:
        """What the cache knows about a Connector, and its version; None when it is gone. No request."""
        raw = self._cache.connector(key)
        if raw is None:
            return None
        meta = raw["metadata"]
        spec, problems = parse_spec(raw["spec"])
        problems += self._conflicts(spec)
        dataset_id = raw["spec"].get("datasetId") or ""
        dataset = resolve_dataset(dataset_id, self._cache.datasets(key.namespace), is_many=selects_many(raw["spec"]))
        wanted, turns = raw["spec"].get("status"), self._image_turns()
        seen = Observation(
            now=now,
            namespace=key.namespace,
            name=key.name,
            uid=meta["uid"],
            generation=meta.get("generation", 1),
            is_deleting="deletionTimestamp" in meta,
            spec=spec,
            problems=problems,
            wanted=wanted if isinstance(wanted, str) else "",
            status=parse_status(raw["status"]),
            stored=raw["status"],
            dataset=dataset,
            jobs=self._cache.jobs(key),
            vanished=self._cache.vanished(key),
            vanished_attempts=max(self._cache.vanished(key, names.ROLE_DISCOVERY), default=0),
            has_slot=self._has_slot(key),
            has_turn=self._has_turn(key, dataset.name),
            has_image_turn=turns.has_turn((key.namespace, key.name)),
            update_blocker=turns.blocker_for((key.namespace, key.name)),
            follows_image=spec is not None and follows_image(spec.runner, self._layers()),
            created=parse_time(meta.get("creationTimestamp")),
            changed=parse_time(raw["changed"]) if raw["changed"] != meta.get("creationTimestamp") else None,
            delivery=self._orders.known(meta["uid"]),
            heard=self._heard(key),
            refusal=refusal,
            policy=self._own_policy(spec),
        )
        take_over = self._take_over(key, spec)
        return msgspec.structs.replace(seen, dry_run=self._dry_runs.known(seen), take_over=take_over), meta[
            "resourceVersion"
        ]

    def _take_over(self, key: Key, spec: ConnectorSpec | None) -> TakeOver | None:
        """Whom the table may be taken over from, with its whole name; None while that one has a live execution."""
        if spec is None or spec.take_over is None:
            return None
        named = spec.take_over.within(key.namespace)
        other = Key("connector", *named.connector.split("/", 1))
        jobs = () if other == key else self._cache.jobs(other)
        if any(job.role == names.ROLE_RUNNER and job.finished is None for job in jobs):
            return None
        return named

    def _conflicts(self, spec: ConnectorSpec | None) -> tuple[str, ...]:
        """Where a Connector's files would replace the installation's."""
        if spec is None or not (spec.runner.volumes or spec.runner.volume_mounts):
            return ()
        runner = spec.runner.raw()
        return tuple(conflicts(runner, merge_layers(self._layers()), "spec.runner"))

    def _own_policy(self, spec: ConnectorSpec | None) -> Policy:
        own = spec.runner.termination_grace_period_seconds if spec else None
        policy = msgspec.structs.replace(self._policy, installation=self._installation(), defaults=self._defaults())
        return policy if own is None else msgspec.structs.replace(policy, grace=timedelta(seconds=own))

    async def look(self, facts: Facts, looks: frozenset[Look]) -> Observation:
        """Completes an observation by requests."""
        seen = facts.seen
        if Look.DRY_RUN in looks:
            return msgspec.structs.replace(seen, dry_run=await self._dry_runs.ask(facts))
        if Look.PEERS in looks:
            return msgspec.structs.replace(seen, peers=gather_peers(self._cache, self._is_about_to_list, facts))
        if Look.ANSWER in looks:
            return await self._answer(facts)
        pods = await self._pods(seen) if Look.PODS in looks else seen.pods or ()
        seen = msgspec.structs.replace(seen, pods=pods)
        if Look.EVENTS in looks:
            events = await self._events(seen, pods)
            warnings = tuple((e.subject, e.message) for e in events if e.names_cause)[-_MOST_WARNINGS:]
            signs = tuple(e.sign for e in events if e.sign is not None)
            seen = msgspec.structs.replace(seen, warnings=warnings, node_signs=signs)
        if Look.CATALOGUE in looks:
            catalogue = await self._catalogue(facts, pods)
            seen = msgspec.structs.replace(seen, catalogue=catalogue, catalogue_lost=catalogue is None)
        return seen

    async def _answer(self, facts: Facts) -> Observation:
        """What the live runner says about the selection that it was told."""
        seen = facts.seen
        seen = msgspec.structs.replace(seen, pods=await self._pods(seen) if seen.pods is None else seen.pods)
        answer, delivery = await self._orders.read_answer(seen, facts.live[0].job.name)
        return msgspec.structs.replace(seen, answer=answer, delivery=delivery)

    async def existing(self, namespaces: Iterable[str]) -> set[str]:
        """The UIDs of all existing Connectors, Datasets and connectors' Jobs, from lists of their metadata.

        Args:
            namespaces: The watched ones; none: all.

        Raises:
            ApiError: The request was refused, or the server not reached.
        """
        found: set[str] = set()
        scopes = [f"/namespaces/{namespace}" for namespace in namespaces] or [""]
        for api, plural, selector in _WATCHED:
            for scope in scopes:
                query = {"limit": _PAGE, **({"labelSelector": selector} if selector else {})}
                while True:
                    page = await self._client.request(
                        "GET", f"{api}{scope}/{plural}", query=query, accept=METADATA_LIST
                    )
                    found.update(item["metadata"]["uid"] for item in page["items"] or ())  # an empty list is null
                    if not page["metadata"].get("continue"):
                        break
                    query["continue"] = page["metadata"]["continue"]
        return found

    async def _pods(self, seen: Observation) -> tuple[ObservedPod, ...]:
        """All pods that were made for this connector or an earlier namesake, without those that only have its label."""
        path = f"/api/v1/namespaces/{seen.namespace}/pods"
        found = await self._client.request("GET", path, query={"labelSelector": f"{names.LABEL_CONNECTOR}={seen.name}"})
        known = {job.name for job in (*seen.jobs, *seen.vanished.values())}
        return tuple(pod for pod in read_pods(found["items"]) if pod.maker or pod.job in known)

    async def _events(self, seen: Observation, pods: tuple[ObservedPod, ...]) -> list[ObservedEvent]:
        """Events about Jobs without a pod, and about pods that don't start: only events say why."""
        jobs = [j for j in seen.jobs if j.owner == seen.uid and j.finished is None and not j.ready]
        subjects: list[tuple[str, str]] = []
        for job in jobs:
            mine = [p for p in pods if p.job == job.name]
            # Unschedulable pods: events that are not warnings report a node that is being created.
            pending = [(p.name, "" if p.unschedulable else _WARNINGS) for p in mine if p.phase == "Pending"]
            subjects += pending if mine else [(job.name, _WARNINGS)]
        found: list[Mapping[str, Any]] = []
        for subject, kind in subjects:
            path = f"/api/v1/namespaces/{seen.namespace}/events"
            query = {"fieldSelector": f"involvedObject.name={subject}{kind}", "limit": "50"}
            found += (await self._client.request("GET", path, query=query))["items"] or ()
        return read_events(found)

    async def _catalogue(self, facts: Facts, pods: tuple[ObservedPod, ...]) -> CatalogueSummary | None:
        """The discovery's answer from its pod's log; None when it can't be read completely."""
        unread = facts.unread
        pod = next((p for p in pods if unread is not None and p.job == unread.job.name and p.exit_code == 0), None)
        if pod is None:
            return None
        path = f"/api/v1/namespaces/{facts.seen.namespace}/pods/{pod.name}/log"
        for _ in range(_LOG_TRIES):
            try:
                text = await self._client.request(
                    "GET", path, query={"container": names.CONTAINER, "limitBytes": str(_LOG_LIMIT)}, is_text=True
                )
            except ApiError as error:
                if error.is_transient:
                    raise
                return None
            catalogue = parse_line(text, pod.message)
            if catalogue is not None:
                return catalogue
        return None
