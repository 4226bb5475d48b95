"""Some connectors of one namespace in memory: each sees of the others what the operator's cache would show. No Kubernetes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connector_operator.cluster.cache import ClusterCache, trim
from connector_operator.cluster.peers import gather_peers
from connector_operator.decide.actions import CreateDiscovery
from connector_operator.decide.facts import gather_facts
from connector_operator.decide.peers import Peers
from connector_operator.resources import names
from connector_operator.resources.connector import read_sharing_hash
from connector_operator.resources.times import format_time
from tests.unit.operator.world import START, World, replace


class Fleet:
    """Some connectors of one namespace, and what the operator's cache shows each of the others; no concurrency."""

    def __init__(self, count: int, **spec: Any) -> None:
        self.worlds: dict[str, World] = {}
        self.now = START
        self.gone: set[str] = set()
        self.made: list[str] = []
        self.orders: list[CreateDiscovery] = []
        for number in range(count):
            self.add(f"c{number}", **spec)

    def add(self, name: str, **spec: Any) -> World:
        world = Member(self, name, **spec)
        world.created = self.now
        self.worlds[name] = world
        return world

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def cache(self) -> ClusterCache:
        connectors: dict[Any, Any] = {}
        jobs: dict[Any, Any] = {}
        sharers: dict[Any, Any] = {}
        for name, world in self.worlds.items():
            meta = {"name": name, "namespace": "default", "uid": world.uid, "creationTimestamp": format_time(START)}
            connectors["default", name] = [trim({"metadata": meta, "spec": world.spec, "status": world.status})]
            sharers.setdefault(("default", read_sharing_hash(world.spec)), []).append(name)
        cache = ClusterCache()
        cache.bind(connectors, {}, jobs, sharers)
        return cache

    def visit(self, name: str) -> None:
        world = self.worlds[name]
        world.now = self.now
        world.peers = self.peers(world)
        decision = world.step()
        begun = [act for act in decision.actions if isinstance(act, CreateDiscovery)]
        self.made += [name for _ in begun]
        self.orders += begun

    def peers(self, world: World) -> Peers:
        seen = world.observe()
        cache = self.cache()
        known = {name: tuple(w.jobs.values()) for name, w in self.worlds.items()}
        cache.jobs = lambda key: known[key.name]  # type: ignore[method-assign]
        return gather_peers(cache, lambda _: False, gather_facts(seen))

    def visit_all(self, times: int = 3) -> None:
        for _ in range(times):
            for name in list(self.worlds):
                self.visit(name)

    def end(self, code: int, message: str = "") -> None:
        for world in self.worlds.values():
            world.now = self.now
            world.end(code, message, role=names.ROLE_DISCOVERY)

    def listing(self) -> list[str]:
        return [name for name, world in self.worlds.items() if world.live(names.ROLE_DISCOVERY)]


class Member(World):
    """One of a fleet, with a name of its own."""

    def __init__(self, fleet: Fleet, name: str, **spec: Any) -> None:
        super().__init__(**spec)
        self.name, self.uid = name, f"uid-{name}"

    def observe(self) -> Any:
        return replace(super().observe(), name=self.name)
