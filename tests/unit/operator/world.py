"""A connector in memory: what a cluster would show of it, for tests of decisions. No Kubernetes, no clock of its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from connector_operator.decide.actions import CreateDiscovery, CreateRunner, DeleteJob, JobAction, SendOrders
from connector_operator.decide.decision import Decision, Look, decide
from connector_operator.decide.observation import Delivery, DryRun, Heard, Observation, Policy
from connector_operator.decide.peers import Peers
from connector_operator.resources import names
from connector_operator.resources.connector import config_hash, parse_spec, parse_status, selection_hash, spec_hash
from connector_operator.resources.dataset import resolve_dataset, selects_many
from connector_operator.resources.events import NodeSign
from connector_operator.resources.workload import ObservedJob, ObservedPod
from connector_runner.schemas.catalogue import CatalogueSummary, StreamSummary
from connector_runner.schemas.manifest import TakeOver
from connector_runner.schemas.orders import OrdersAnswer

START = datetime(2026, 1, 1, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "connectorType": "COINBASE",
    "datasetId": "YOUR_DATASET",
    "config": {"url": "wss://feed.example", "productId": ["BTC-USD"]},
}
DATASET: dict[str, Any] = {"spec": {"url": "postgresql://db/market"}, "status": {}}
CATALOGUE = CatalogueSummary((StreamSummary("ticker"), StreamSummary("matches")), 2)
replace = msgspec.structs.replace


class World:
    """Spec, status, Jobs and pods of one connector; `step` lets the operator look once."""

    def __init__(self, **spec: Any) -> None:
        self.now = START
        self.uid = "uid-1"
        self.generation = 1
        self.is_deleting = False
        self.spec: dict[str, Any] = {**SPEC, **spec}
        self.status: dict[str, Any] = {"observedGeneration": -1}
        self.datasets: dict[str, Any] = {"your-dataset": DATASET}
        self.jobs: dict[str, ObservedJob] = {}
        self.pods: dict[str, ObservedPod] = {}
        self.vanished: dict[int, ObservedJob] = {}
        self.vanished_attempts = 0
        self.catalogue: CatalogueSummary | None = CATALOGUE
        self.has_turn = True
        self.has_image_turn = False
        self.update_blocker = ""
        self.follows_image = True
        self.has_slot = True
        self.refusal = ""
        self.delivery: Delivery | None = None
        self.sent: list[SendOrders] = []
        self.orders_refusal = ""
        self.answer: OrdersAnswer | None = None
        self.warnings: tuple[tuple[str, str], ...] = ()
        self.node_signs: tuple[NodeSign, ...] = ()
        self.dry_run = DryRun()
        self.dry_runs = 0
        self.peers = Peers()
        self.created: datetime | None = START
        self.changed: datetime | None = None
        self.take_over: TakeOver | None = None
        self.heard: Heard | None = None
        self.policy = Policy()
        self.writes = 0
        self.history: list[Decision] = []
        self.serial = 0

    # What a person does.

    def patch(self, **spec: Any) -> None:
        """Merges into the spec, as kubectl patch does; None removes."""
        merged = {**self.spec, **spec}
        self.spec = {key: value for key, value in merged.items() if value is not None}
        self.generation += 1

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # What the operator sees and does.

    def observe(self) -> Observation:
        spec, problems = parse_spec(self.spec)
        wanted = self.spec.get("status", "")
        return Observation(
            now=self.now,
            namespace="default",
            name="your-connector",
            uid=self.uid,
            generation=self.generation,
            is_deleting=self.is_deleting,
            spec=spec,
            problems=problems,
            wanted=wanted if isinstance(wanted, str) else "",
            status=parse_status(self.status),
            stored=self.status,
            dataset=resolve_dataset(self.spec.get("datasetId", ""), self.datasets, is_many=selects_many(self.spec)),
            jobs=tuple(self.jobs.values()),
            vanished=dict(self.vanished),
            vanished_attempts=self.vanished_attempts,
            has_slot=self.has_slot,
            has_turn=self.has_turn,
            has_image_turn=self.has_image_turn,
            update_blocker=self.update_blocker,
            follows_image=self.follows_image,
            refusal=self.refusal,
            delivery=self.delivery,
            take_over=self.take_over,
            created=self.created,
            changed=self.changed,
            heard=self.heard,
            policy=self.policy,
        )

    def look(self) -> Decision:
        """Decides, with all looks that are asked for; changes nothing."""
        seen = self.observe()
        decision = decide(seen)
        for _ in range(4):
            if not decision.looks:
                return decision
            if decision.looks == {Look.PEERS}:
                seen = replace(seen, peers=self.peers)
            elif decision.looks == {Look.ANSWER}:
                done = seen.delivery or Delivery(job=self.live()[0].name)
                self.delivery = replace(done, looked=self.now)
                seen = replace(seen, answer=self.answer, delivery=self.delivery)
            elif Look.DRY_RUN in decision.looks:
                self.dry_runs += 1
                seen = replace(seen, dry_run=self.dry_run)
            else:
                seen = replace(seen, pods=tuple(self.pods.values()))
            if Look.EVENTS in decision.looks:
                seen = replace(seen, warnings=self.warnings, node_signs=self.node_signs)
            if Look.CATALOGUE in decision.looks:
                seen = replace(seen, catalogue=self.catalogue, catalogue_lost=self.catalogue is None)
            decision = decide(seen)
        raise AssertionError(f"never satisfied: {decision.looks}")

    def step(self, crash_after_status: bool = False) -> Decision:
        decision = self.look()
        self.history.append(decision)
        if decision.status is not None:
            self.status = json.loads(json.dumps(decision.status))
            self.writes += 1
        if not crash_after_status:
            for act in decision.actions:
                self.do(act)
        return decision

    def settle(self, most: int = 20) -> Decision:
        """Steps until there is nothing to do at this moment."""
        for _ in range(most):
            before = (self.writes, dict(self.jobs))
            decision = self.step()
            if (self.writes, self.jobs) == before:
                return decision
        raise AssertionError("does not settle: " + ", ".join(d.row.name for d in self.history[-most:]))

    def do(self, act: JobAction) -> None:
        if isinstance(act, DeleteJob):
            if act.job in self.jobs and act.in_foreground:
                job = self.jobs[act.job]
                self.jobs[act.job] = replace(job, deleting=job.deleting or self.now)
                for pod in [p for p in self.pods.values() if p.job == act.job]:
                    self.pods[pod.name] = replace(pod, deleting=pod.deleting or self.now + self.policy.grace)
            else:
                self.vanish(act.job)
            return
        if isinstance(act, SendOrders):
            self.receive(act)
            return
        if act.job in self.jobs:
            return
        spec, _ = parse_spec(self.spec)
        assert spec is not None
        is_runner = isinstance(act, CreateRunner)
        self.serial += 1
        dataset = resolve_dataset(self.spec.get("datasetId", ""), self.datasets, is_many=selects_many(self.spec))
        self.jobs[act.job] = ObservedJob(
            name=act.job,
            uid=f"job-{self.serial}",
            owner=self.uid,
            role=names.ROLE_RUNNER if is_runner else names.ROLE_DISCOVERY,
            run=act.run if isinstance(act, CreateRunner) else act.attempt,
            spec_hash=spec_hash(spec) if is_runner else "",
            dataset_hash=dataset.hash if is_runner else "",
            selection=selection_hash(spec) if is_runner else "",
            config_hash="" if is_runner else config_hash(spec),
            rediscover_at="" if is_runner else spec.rediscover_at,
            stream="" if is_runner else spec.asked,
            image=self.policy.image,
            defaults=self.policy.defaults,
            created=self.now,
            started=self.now,
        )
        role = names.ROLE_DISCOVERY if isinstance(act, CreateDiscovery) else names.ROLE_RUNNER
        self.pods[f"{act.job}-pod"] = ObservedPod(
            name=f"{act.job}-pod",
            job=act.job,
            role=role,
            phase="Running",
            created=self.now,
            accepted=self.now,
            started=self.now,
        )

    def receive(self, act: SendOrders) -> None:
        """As `cluster.orders` does it."""
        self.sent.append(act)
        done = self.delivery if self.delivery is not None and self.delivery.job == act.job else Delivery(job=act.job)
        again = self.now + timedelta(seconds=60)
        self.delivery = replace(done, mark=act.streams.whole_key, again=again, refusal=self.orders_refusal)

    # What the cluster does.

    def vanish(self, job: str) -> None:
        """The Job's object is gone, and its pods that are not alive."""
        gone = self.jobs.pop(job, None)
        if gone is not None and gone.owner == self.uid:
            if gone.role == names.ROLE_RUNNER:
                self.vanished[gone.run] = gone
            else:
                self.vanished_attempts = max(self.vanished_attempts, gone.run)
        self.pods = {n: p for n, p in self.pods.items() if p.job != job or p.is_alive}

    def orphan(self, job: str) -> None:
        """Somebody deletes the Job and has its pods stay."""
        self.vanish(job)
        self.pods = {n: replace(p, is_orphan=True) if p.job == job else p for n, p in self.pods.items()}

    def sweep(self) -> None:
        """A person deletes the pods that no Job owns."""
        self.pods = {n: p for n, p in self.pods.items() if not p.is_orphan}

    def live(self, role: str = names.ROLE_RUNNER) -> list[ObservedJob]:
        return [j for j in self.jobs.values() if j.role == role and j.finished is None]

    def ready(self) -> None:
        """The live execution's pod gets ready."""
        for job in self.live():
            self.jobs[job.name] = replace(job, ready=1)

    def leave(self) -> None:
        """Pods that were told to go are gone, and with them their Jobs."""
        for job in [j for j in self.jobs.values() if j.deleting is not None]:
            self.pods = {n: p for n, p in self.pods.items() if p.job != job.name}
            self.vanish(job.name)
        self.pods = {n: p for n, p in self.pods.items() if p.deleting is None}

    def end(self, exit_code: int, message: str = "", role: str = names.ROLE_RUNNER) -> None:
        """The live execution's (or discovery's) process ends by itself."""
        for job in self.live(role):
            self.jobs[job.name] = replace(job, finished=exit_code == 0, ended=self.now, ready=0)
            phase = "Succeeded" if exit_code == 0 else "Failed"
            for pod in [p for p in self.pods.values() if p.job == job.name]:
                ended = replace(pod, phase=phase, exit_code=exit_code, message=message, ended=self.now)
                self.pods[pod.name] = ended

    # Short cuts.

    def discover(self) -> Decision:
        self.settle()
        self.end(0, role=names.ROLE_DISCOVERY)
        return self.settle()

    @property
    def state(self) -> str:
        return str(self.status.get("state", {}).get("status", ""))

    def condition(self, kind: str) -> dict[str, Any]:
        return next(c for c in self.status["conditions"] if c["type"] == kind)

    @property
    def flags(self) -> str:
        """R, P, S as in the table, from the conditions."""
        kinds = {"R": "Ready", "P": "Reconciling", "S": "Stalled"}
        return "".join(flag for flag, kind in kinds.items() if self.condition(kind)["status"] == "True")
